"""
Counters of packets, and limits on how often something may happen.
"""
