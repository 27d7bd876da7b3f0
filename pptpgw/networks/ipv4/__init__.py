"""
IPv4: its control protocol IPCP, and the addresses of the sessions.
"""
