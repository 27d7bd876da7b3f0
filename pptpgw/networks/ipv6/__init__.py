"""
IPv6: addresses and prefixes of the sessions, and the router and DHCPv6 server of each link.
"""
