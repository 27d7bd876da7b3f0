"""
RADIUS: servers judge callers (RFC 2865), take accounting records (RFC 2866), and end or change
sessions (RFC 5176).
"""
