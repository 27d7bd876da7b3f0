"""
Sockets of the family PPPoX (C{linux/if_pppox.h}), each of which carries the frames of one call for
the kernel's PPP.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import sys
from typing import Any

from pptpgw.error import NotPermitted

FAMILY = 24
L2TP, PPTP = 1, 2
"""
The protocols of the family.
"""

_MODULES = {L2TP: ("L2TP", "l2tp_ppp"), PPTP: ("PPTP", "pptp")}

_GET_CHANNEL = 0x80047437
_library = ctypes.CDLL(None, use_errno=True)


def openPPPoX(protocol: int) -> socket.socket:
    """
    Open a socket of the family.

    @raise NotPermitted: the kernel has nothing for C{protocol}.
    @raise OSError: the kernel refuses.
    """
    try:
        return socket.socket(FAMILY, socket.SOCK_STREAM | socket.SOCK_CLOEXEC, protocol)
    except OSError as error:
        if error.errno in (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT):
            name, module = _MODULES[protocol]
            raise NotPermitted(
                f"the kernel has no {name} of its own: its module {module} isn't there"
            ) from error
        raise


def lackingPPPoX(protocol: int) -> str:
    """
    Return why there can be no sockets of the family for C{protocol}; an empty text if there can.
    """
    try:
        openPPPoX(protocol).close()
    except (OSError, NotPermitted) as error:
        return str(error)
    return ""


def bind(opened: socket.socket, address: bytes) -> None:
    """
    Bind a socket of the family, which the module socket doesn't know.

    @param address: the kernel's structure of the address.
    @raise OSError: the kernel refuses.
    """
    _call(_library.bind, opened, address)


def connect(opened: socket.socket, address: bytes) -> None:
    """
    Connect a socket of the family, which the module socket doesn't know.

    @param address: the kernel's structure of the address.
    @raise OSError: the kernel refuses.
    """
    _call(_library.connect, opened, address)


def channelOf(opened: socket.socket) -> int:
    """
    Return the kernel's number of the channel that a socket is for its PPP.

    @raise OSError: the kernel refuses.
    """
    answer = fcntl.ioctl(opened.fileno(), _GET_CHANNEL, bytes(4))
    return int.from_bytes(answer, sys.byteorder)


def _call(function: Any, opened: socket.socket, address: bytes) -> None:
    if function(opened.fileno(), address, len(address)) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
