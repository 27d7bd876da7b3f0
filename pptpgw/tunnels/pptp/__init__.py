"""
The PPTP tunnel (RFC 2637).
"""
