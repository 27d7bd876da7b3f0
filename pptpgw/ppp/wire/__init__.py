"""
Octets to values and back, for the protocols of a link: no Twisted, no clock, no state.
"""
