"""
Every file descriptor and system call.
"""
