"""
Octets to values and back, for MPLS and its neighbours: no Twisted, no clock, no state.
"""
