"""
The interfaces of this machine that get addresses of delegated prefixes, and the machine's name for
DHCPv6 servers.
"""

from __future__ import annotations

import errno
import os
import socket
from contextlib import closing, suppress
from ipaddress import IPv6Interface, IPv6Network
from pathlib import Path
from uuid import NAMESPACE_OID, UUID, uuid4, uuid5

from pptpgw.ports import rtnetlink
from pptpgw.ports.rtnetlink import RequestSocket

MACHINE = Path("/etc/machine-id")
"""
The file with the number of this machine (machine-id(5)).
"""


class Devices:
    """
    A L{pptpgw.networks.ipv6.site.SiteDevices}.
    """

    def addAddress(self, name: str, address: IPv6Interface) -> str:
        """
        See L{pptpgw.networks.ipv6.site.SiteDevices.addAddress}.
        """
        try:
            index = socket.if_nametoindex(name)
        except OSError:
            return f"there is no interface {name}"
        return _ask(rtnetlink.addAddress(index, address), errno.EEXIST)

    def removeAddress(self, name: str, address: IPv6Interface) -> str:
        """
        See L{pptpgw.networks.ipv6.site.SiteDevices.removeAddress}.
        """
        with suppress(OSError):
            index = socket.if_nametoindex(name)
            return _ask(rtnetlink.removeAddress(index, address), errno.EADDRNOTAVAIL)
        # Its addresses are gone with it.
        return ""

    def addUnreachable(self, network: IPv6Network) -> str:
        """
        See L{pptpgw.networks.ipv6.site.SiteDevices.addUnreachable}.
        """
        return _ask(rtnetlink.addUnreachable(network), errno.EEXIST)

    def removeUnreachable(self, network: IPv6Network) -> str:
        """
        See L{pptpgw.networks.ipv6.site.SiteDevices.removeUnreachable}.
        """
        return _ask(rtnetlink.removeUnreachable(network), errno.ESRCH)


def machineUUID(name: str) -> UUID:
    """
    Return the UUID by which this machine is known for one purpose, always the same one if the
    machine has a number. Nobody can find out the number itself.

    @param name: the purpose.
    """
    try:
        number = MACHINE.read_text().strip()
    except OSError:
        return uuid4()
    return uuid5(NAMESPACE_OID, f"pptpgw {number} {name}")


def _ask(request: bytes, *fine: int) -> str:
    try:
        with closing(RequestSocket()) as kernel:
            (code,) = kernel.ask([request])
    except OSError as error:
        return str(error.strerror)
    return "" if code == 0 or code in fine else os.strerror(code)
