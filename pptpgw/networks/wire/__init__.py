"""
Encodings that several network protocols use: no Twisted, no clock, no state.
"""
