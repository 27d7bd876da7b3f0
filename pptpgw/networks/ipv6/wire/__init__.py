"""
Encoding and decoding of IPv6 and DHCPv6: no Twisted, no clock, no state.
"""
