"""
Ethernet over PPP: a switch between the callers and a TAP device.
"""
