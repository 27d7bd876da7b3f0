"""
Octets to values and back, for PPTP and its GRE: no Twisted, no clock, no state.
"""
