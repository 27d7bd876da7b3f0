"""
An access gateway on Twisted: calls that come through tunnels such as PPTP (RFC 2637) are answered,
authenticated and given access to networks by PPP (RFC 1661).
"""

__version__ = "0.2.0.dev0"
