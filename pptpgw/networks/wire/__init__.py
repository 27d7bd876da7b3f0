"""
Octets that several network protocols have in common: no Twisted, no clock, no state.
"""
