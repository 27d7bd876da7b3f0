"""
Encoding of capture files: no Twisted, no clock, no state.
"""
