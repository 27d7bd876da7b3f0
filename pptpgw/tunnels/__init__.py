"""
Tunnels, by which callers reach the gateway: one folder for each protocol.
"""
