"""
IPsec beneath tunnels that leave encryption to it, as L2TP does (RFC 3193). IPsec itself is
strongSwan's: here is what its daemon, charon, is given and asked.
"""
