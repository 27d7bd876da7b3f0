"""
Sessions, and what they are given: addresses, limits.
"""
