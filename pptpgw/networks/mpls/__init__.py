"""
MPLS: callers as neighbours of the kernel's router, or of a label switch of our own.
"""
