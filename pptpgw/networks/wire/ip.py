"""
The numbers and the sizes of the headers in IPv4 packets (RFC 791) and in IPv6 packets (RFC 8200).
"""

from __future__ import annotations

IPV4_HEADER = 20
"""
Octets of an IPv4 header without options.
"""
IPV6_HEADER = 40
"""
Octets of an IPv6 header without extension headers.
"""
TCP_HEADER = 20
"""
Octets of a TCP header without options.
"""

# Protocol numbers, which IPv6 calls Next Header values, as assigned by IANA.
ICMP = 1
TCP = 6
UDP = 17
ICMPV6 = 58

# Extension headers that may stand before those (RFC 8200 section 4).
HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION_OPTIONS = 0, 43, 44, 60
EXTENSIONS = frozenset((HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION_OPTIONS))

# What hosts send to routers of their link, and routers to hosts (RFC 4861), and the ports of DHCPv6
# (RFC 8415).
ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT = 133, 134
DHCPV6_CLIENT, DHCPV6_SERVER = 546, 547

EXTENSION_LIMIT = 6
"""
The most extension headers that are looked into; a packet has four or five at most (RFC 8200 section
4.1).
"""
