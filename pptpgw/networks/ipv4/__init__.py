"""
IPv4: IPCP, and the addresses of the sessions.
"""
