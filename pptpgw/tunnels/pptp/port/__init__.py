"""
PPTP's file descriptors and system calls: TCP port 1723 and the raw sockets of GRE.
"""
