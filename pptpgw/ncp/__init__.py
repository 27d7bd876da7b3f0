"""
Network control protocols, one module each.
"""
