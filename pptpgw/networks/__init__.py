"""
Network protocols, one package each: how its packets are encoded, its control protocol, and what its
sessions share.
"""
