"""
The octets of L2TP (RFC 2661).
"""
