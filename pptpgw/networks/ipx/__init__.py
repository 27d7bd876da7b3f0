"""
IPX: callers, and DOSBox, on one network with a router.
"""
