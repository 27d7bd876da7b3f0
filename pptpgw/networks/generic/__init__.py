"""
Declared protocols: where their packets go.
"""
