"""
Network protocols, a folder each: octets, control protocol, and what the sessions share.
"""
