"""
Unix sockets: who is at the other end, and files that a killed process has left.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
from pathlib import Path
from typing import Any

# From linux/socket.h: struct ucred has the process, the user and the group.
_CREDENTIALS = struct.Struct("=iII")


def peerUser(transport: Any) -> int | None:
    """
    Return the user ID of the process that opened the connection C{transport}; None if the kernel
    doesn't say.
    """
    try:
        octets = transport.getHandle().getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size
        )
    except (AttributeError, OSError):
        return None
    _, user, _ = _CREDENTIALS.unpack(octets)
    return int(user)


def prepare(path: str) -> None:
    """
    Make the folder of the socket at C{path}, if it isn't there, and remove a socket on which nobody
    listens any more.

    @raise OSError: the folder can't be made, or the socket can't be removed.
    """
    Path(path).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except OSError:
            # Somebody listens, and has no time.
            return
