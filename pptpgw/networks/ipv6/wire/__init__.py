"""
Octets to values and back, for IPv6 and DHCPv6: no Twisted, no clock, no state.
"""
