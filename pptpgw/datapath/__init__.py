"""
Packets: from calls to the network and back.
"""
