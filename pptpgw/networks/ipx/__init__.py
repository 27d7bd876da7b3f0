"""
IPX: callers and DOSBox clients on one network, with a router.
"""
