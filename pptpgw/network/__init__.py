"""
Network protocols as the whole gateway has them, one module each: what its sessions share.
"""
