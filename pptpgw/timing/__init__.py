"""
Timers, long work in slices, and stopping within a deadline.
"""
