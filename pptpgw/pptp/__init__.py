"""
Tunnel state: the control connection, its calls, and the GRE window (RFC 2637).
"""
