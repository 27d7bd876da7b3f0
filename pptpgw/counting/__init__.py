"""
Counters, and how much of something is allowed in a time.
"""
