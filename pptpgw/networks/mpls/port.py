"""
The TAP device through which the kernel's MPLS router exchanges packets with the sessions.
"""

from __future__ import annotations

import fcntl
import socket
from pathlib import Path
from struct import Struct
from typing import Any

from twisted.internet.defer import Deferred

from pptpgw.counting.counters import Counters
from pptpgw.error import NotPermitted
from pptpgw.log import Logger
from pptpgw.ports.device import Device

SYSCTL = Path("/proc/sys/net/mpls")
"""
The folder of the kernel's MPLS settings, which exists while the kernel has MPLS.
"""

_SIOCGIFHWADDR = 0x8927
_REQUEST = Struct("16s2x6s16x")


class MPLSPort(Device):
    """
    A TAP device from which the kernel accepts labelled packets.

    @ivar address: the kernel's Ethernet address on the device, valid once it is open.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        name: str,
        mtu: int,
        counters: Counters,
        sysctl: Path = SYSCTL,
    ) -> None:
        """
        @param name: the device's name.
        @param mtu: the largest packet, with its label stack, in octets.
        @param sysctl: the folder of the kernel's MPLS settings.
        @raise ConfigurationError: C{name} can't be the name of an interface.
        """
        super().__init__(reactor, name, mtu, counters, ethernet=True, key="[mpls] interface")
        self.address = bytes(6)
        self._sysctl = sysctl
        # The file of the setting that admits labelled packets, and its text before this class
        # changed it.
        self._switch: tuple[Path, str] | None = None

    def start(self) -> None:
        """
        Open the device, bring it up, and have the kernel accept labelled packets from it.

        @raise pptpgw.error.PPTPGWError: the text says what failed and what to do.
        """
        if not self._sysctl.is_dir():
            raise NotPermitted(
                "this kernel has no MPLS: modprobe mpls_router loads it, and mpls_iptunnel for "
                "routes that push labels; or leave mpls out of [network] protocols"
            )
        super().start()
        if (self._sysctl / "platform_labels").read_text().strip() == "0":
            self._log.warn(
                "the kernel forwards no labelled packet as long as net.mpls.platform_labels is 0: "
                "sysctl -w net.mpls.platform_labels=1048575 allows every label"
            )

    def stop(self) -> Deferred[None]:
        """
        Restore the kernel's setting for the device, and close the device.
        """
        if self._switch is not None:
            path, before = self._switch
            self._switch = None
            try:
                path.write_text(before)
            except OSError:
                # The setting is gone with the device, or the process has lost its privileges.
                pass
        return super().stop()

    def prepare(self) -> None:
        """
        Have the kernel accept labelled packets from the device. See L{Device.prepare}.
        """
        self.address = _hardwareAddress(self.name)
        self._switchOn(self._sysctl / "conf" / self.name / "input")

    def _switchOn(self, path: Path) -> None:
        try:
            before = path.read_text()
            path.write_text("1\n")
        except OSError as error:
            raise NotPermitted(
                f"{path} can't be set ({error.strerror}): labelled packets from {self.name} would "
                "be dropped; it needs CAP_NET_ADMIN and a writable /proc/sys"
            ) from error
        if self._switch is None:
            self._switch = (path, before)


def _hardwareAddress(name: str) -> bytes:
    """
    Return the Ethernet address of the interface C{name}.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_:
        answer = fcntl.ioctl(any_, _SIOCGIFHWADDR, _REQUEST.pack(name.encode(), b""))
    address: bytes = _REQUEST.unpack(answer)[1]
    return address
