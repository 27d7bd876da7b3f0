"""
The sockets of PPTP: TCP, port 1723, for control connections, and raw sockets for GRE.
"""
