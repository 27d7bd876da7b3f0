"""
Tunnels: the ways by which callers arrive, one folder each.
"""
