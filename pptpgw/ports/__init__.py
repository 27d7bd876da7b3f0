"""
File descriptors and system calls that belong to no single protocol.
"""
