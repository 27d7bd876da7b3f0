"""
IPv6: its control protocol IPV6CP, the addresses and prefixes of the sessions, and the router and
DHCPv6 server of each link.
"""
