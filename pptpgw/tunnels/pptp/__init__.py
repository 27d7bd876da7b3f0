"""
PPTP as a tunnel of the gateway (RFC 2637).
"""
