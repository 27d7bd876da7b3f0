"""
Ethernet: callers and a TAP device on one switch.
"""
