"""
Octets to values and back: no Twisted, no clock, no state.
"""
