"""
When work is done: timers, long work in slices, and stopping within a deadline.
"""
