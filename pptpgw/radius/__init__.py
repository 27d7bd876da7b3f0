"""
RADIUS: whether callers may come in, and what they get, asked of servers (RFC 2865).
"""
