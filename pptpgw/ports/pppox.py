"""
Sockets of the family PPPoX (C{linux/if_pppox.h}), each of which carries the frames of one call for
the kernel's PPP.
"""

from __future__ import annotations

import errno
import socket

from pptpgw.error import NotPermitted

FAMILY = 24
PPTP = 2
"""
The protocol of the family for PPTP, which is the kernel module pptp.
"""


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
            raise NotPermitted(
                "the kernel has no PPTP of its own: its module pptp isn't there"
            ) from error
        raise
