"""
The data path: the packets between calls and networks.
"""
