"""
MPLS: callers as neighbours of the kernel's MPLS router, or of the gateway's own label switch.
"""
