"""
Refusing UDP packets that IPsec doesn't protect: two policies of the kernel's IPsec (XFRM), of the
lowest priority, block those to and from a port of this machine. Packets for which an IKE daemon has
negotiated something meet its policies first, and pass as those say. What is blocked reaches no
socket and no tunnel of the kernel's; who sends to a peer whose association has ended gets an error.
Packets on the loopback device meet no policy, unless its switches C{disable_policy} and
C{disable_xfrm} are off.

nftables can match protected packets too (C{meta secpath}), but makes its table by another program,
which takes a while, and isn't in every kernel.

The policies are there before a port is opened, and remain if the process is killed: then the port
stays closed to packets in clear until the gateway runs again, with or without them. If another
program takes them away, they are made again.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address
from struct import Struct
from typing import Any

from zope.interface import implementer

from pptpgw.error import NotPermitted
from pptpgw.interfaces import IHealth
from pptpgw.ports.netlink import request
from pptpgw.ports.rtnetlink import Kernel, RequestSocket
from pptpgw.ports.upkeep import Upkeep
from pptpgw.ports.watch import Watch

XFRM = 6
"""
The netlink protocol of IPsec.
"""

_POLICY_GROUPS = (4,)

# From linux/xfrm.h: types of messages, directions, and what to do.
_DELETE, _UPDATE, _FLUSH = 0x14, 0x19, 0x1D
_IN, _OUT = 0, 1
_BLOCK = 1
_LOWEST = 0xFFFFFFFF

_selector = Struct("=16s16sHHHHHBBBxxxII")
_policy = Struct("=8Q4QIIBBBB4x")
_identity = Struct("=IBxxx")
# No limit of octets or packets, and none of time.
_UNLIMITED = (0xFFFFFFFFFFFFFFFF,) * 4 + (0,) * 4


def policySocket() -> RequestSocket:
    """
    Open a socket for requests about IPsec.

    @raise OSError: the kernel has no IPsec.
    """
    return RequestSocket(XFRM)


def lackingPolicies(open: Callable[[], Kernel] = policySocket) -> str:
    """
    Return why this machine can't refuse packets in clear, as far as that is seen without trying it;
    an empty text if nothing is seen.
    """
    try:
        open().close()
    except OSError as error:
        return f"the kernel has no IPsec ({error.strerror}): modprobe xfrm_user"
    return ""


@implementer(IHealth)
class Cleartext:
    """
    The policies for one UDP port.
    """

    def __init__(
        self,
        reactor: Any,
        port: int,
        addresses: Sequence[IPv4Address],
        key: str,
        outward: bool = True,
        open: Callable[[], Kernel] = policySocket,
    ) -> None:
        """
        @param port: the UDP port.
        @param addresses: the local addresses; empty for every address.
        @param key: the key of the configuration that asks for this, and its value.
        @param outward: whether packets that would leave in clear are refused too. It must be false
            where packets get the mark of their association after they were routed: before, they
            meet no other policy.
        """
        self._key = key
        self._open = open
        self._kernel: Kernel | None = None
        every = [(address, 32) for address in addresses] or [(IPv4Address(0), 0)]
        self._selectors = [
            (_encode(here, direction, port), direction)
            for here in every
            for direction in ((_IN, _OUT) if outward else (_IN,))
        ]
        self._upkeep = Upkeep(reactor, lambda: f"IPsec's policies for UDP port {port}", self._make)
        self._watch = Watch(reactor, self._isTaken, self._upkeep.lost, _POLICY_GROUPS, XFRM)

    @property
    def fault(self) -> str:
        """
        See L{IHealth}.
        """
        return self._upkeep.fault

    def refuse(self) -> None:
        """
        Refuse packets in clear from now on. Calling this again does nothing.

        @raise NotPermitted: the kernel doesn't let this process do so.
        """
        if self._kernel is not None:
            return
        self._watch.start()
        try:
            self._make()
        except OSError as error:
            self._watch.stop()
            raise NotPermitted(
                f"{self._key}: the kernel takes no IPsec policy ({error.strerror}); modprobe "
                "xfrm_user, and run as root or with CAP_NET_ADMIN"
            ) from error

    def accept(self) -> None:
        """
        Refuse nothing any more, also not by policies that an earlier run has left. Calling this
        again does nothing.
        """
        self._upkeep.stop()
        self._watch.stop()
        kernel, self._kernel = self._kernel, None
        try:
            kernel = kernel or self._open()
            kernel.ask([_identified(*one) for one in self._selectors])
            kernel.close()
        except OSError:
            # A kernel without IPsec has no policies.
            return

    def _make(self) -> None:
        """
        Have the policies, whether they are there or not.

        @raise OSError: the kernel refuses.
        """
        kernel = self._kernel or self._open()
        for error in kernel.ask([_blocking(*one) for one in self._selectors]):
            if error:
                if kernel is not self._kernel:
                    kernel.close()
                raise OSError(error, os.strerror(error))
        self._kernel = kernel

    def _isTaken(self, kind: int, sender: int, body: bytes) -> str:
        """
        Return what another program has taken away: see L{pptpgw.ports.watch.Announced}.
        """
        if self._kernel is None or sender == self._kernel.port:
            return ""
        if kind == _FLUSH:
            return "all policies were deleted"
        selectors = [selector for selector, _ in self._selectors]
        return "one was deleted" if kind == _DELETE and _of(body) in selectors else ""


def _of(body: bytes) -> bytes:
    """
    Return the selector with which a message about a policy begins.
    """
    return body[: _selector.size]


def _encode(here: tuple[IPv4Address, int], direction: int, port: int) -> bytes:
    """
    Return the selector of the packets of a local address, with the length of its prefix, and port.
    """
    address, length = here[0].packed, here[1]
    number, mask = socket.htons(port), 0xFFFF
    nowhere = bytes(16)
    ours = address + bytes(12)
    if direction == _IN:
        ends = ours, nowhere, number, mask, 0, 0
        lengths = length, 0
    else:
        ends = nowhere, ours, 0, 0, number, mask
        lengths = 0, length
    return _selector.pack(*ends, socket.AF_INET, *lengths, socket.IPPROTO_UDP, 0, 0)


def _blocking(selector: bytes, direction: int) -> bytes:
    body = _policy.pack(*_UNLIMITED, 0, 0, 0, 0, _LOWEST, 0, direction, _BLOCK, 0, 0)
    return request(_UPDATE, 0, selector + body)


def _identified(selector: bytes, direction: int) -> bytes:
    return request(_DELETE, 0, selector + _identity.pack(0, direction))
