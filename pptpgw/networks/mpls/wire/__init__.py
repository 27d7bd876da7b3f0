"""
Encoding and decoding of label stacks and ARP: no Twisted, no clock, no state.
"""
