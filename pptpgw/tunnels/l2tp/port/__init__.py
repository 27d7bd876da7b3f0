"""
The sockets of L2TP.
"""
