"""
The queues that the kernel has for a socket.
"""

from __future__ import annotations

import socket

# Linux's socket options that the module socket doesn't have.
_SO_SNDBUFFORCE = 32
_SO_RCVBUFFORCE = 33
_BUFFERS = ((socket.SO_RCVBUF, _SO_RCVBUFFORCE), (socket.SO_SNDBUF, _SO_SNDBUFFORCE))


def enlarge(opened: socket.socket, octets: int) -> None:
    """
    Let the kernel queue so many octets in each direction for a socket, or the system's limit
    without CAP_NET_ADMIN.
    """
    for option, forced in _BUFFERS:
        try:
            opened.setsockopt(socket.SOL_SOCKET, forced, octets)
        except PermissionError:
            opened.setsockopt(socket.SOL_SOCKET, option, octets)
