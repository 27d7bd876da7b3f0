"""
Packets: from GRE to the network and back.
"""
