"""
The security associations (SAs) of IPsec that packets of clients come through, as charon reports
them.

The rules:

 - A child SA is known from the event of its beginning, or from a list, to that of its end. The one
   that a client makes when it rekeys takes the place of the old one, whose end charon doesn't
   report. charon ends the children of an IKE SA before it reports the end of that.
 - A caller's association is the newest one from its address whose selector has the caller's port.
   Several clients behind one NAT that use the same port can't be told apart, and are said to share.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pptpgw.ipsec.vici import parts, text, texts, within
from pptpgw.ipsec.wire import Message

CHILD_UPDOWN, CHILD_REKEY = "child-updown", "child-rekey"
EVENTS = (CHILD_UPDOWN, CHILD_REKEY)
"""
The events of charon that tell of associations.
"""

_L2TP = 1701
# The names that /etc/services may have for the port, in which charon shows it.
_NAMES = {"l2tp": _L2TP, "l2f": _L2TP}

MOST = 65536
"""
The most associations that are known at a time.
"""

LONGEST_IDENTITY = 128
"""
The characters that are kept of how a peer identified itself, which it chooses.
"""


@dataclass(frozen=True, slots=True)
class Association:
    """
    A pair of child SAs, one for each direction.

    @ivar number: charon's number of the child SA.
    @ivar ike: charon's name and number of the IKE SA that made it, as swanctl shows them.
    @ivar address: the address of the peer, in text.
    @ivar port: the UDP port of the peer that the selector has; 0 for every port.
    @ivar identity: how the peer identified itself to IKE.
    @ivar algorithms: those of ESP, in words.
    @ivar encapsulated: whether ESP is within UDP, because of a NAT.
    """

    number: int
    ike: str
    address: str
    port: int
    identity: str
    algorithms: str
    encapsulated: bool

    def __str__(self) -> str:
        carrier = "ESP in UDP" if self.encapsulated else "ESP"
        return f"{carrier} {self.algorithms}, {self.ike}, from {self.identity}"


class Associations:
    """
    The associations that charon has, as far as it has told, by the address of the peer. There are
    at most L{MOST}: what charon tells of others is ignored.
    """

    def __init__(self) -> None:
        # By the address of the peer, then by number, the newest last.
        self._known: dict[str, dict[int, Association]] = {}
        self._addresses: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._addresses)

    def __iter__(self) -> Iterator[Association]:
        for some in self._known.values():
            yield from some.values()

    def find(self, address: str, port: int) -> list[Association]:
        """
        Return the associations that packets from this address and UDP port may come through, the
        newest last.
        """
        found = self._known.get(address, {}).values()
        return [one for one in found if one.port in (0, port)]

    def replace(self, listed: Iterable[Message]) -> set[str]:
        """
        Know from now on only what charon has listed.

        @return: the addresses of the peers of associations that are there no more.
        """
        before = dict(self._addresses)
        self._known.clear()
        self._addresses.clear()
        for message in listed:
            for name, ike in parts(message).items():
                for child in parts(within(ike, "child-sas")).values():
                    if text(child, "state") in ("INSTALLED", "REKEYING", "INSTALLING", "UPDATING"):
                        self._add(name, ike, child)
        return {address for number, address in before.items() if number not in self._addresses}

    def heard(self, event: str, message: Message) -> set[str]:
        """
        Take note of an event.

        @return: the addresses of the peers of associations that have ended.
        """
        ended = set()
        for name, ike in parts(message).items():
            for child in parts(within(ike, "child-sas")).values():
                if event == CHILD_REKEY:
                    self._remove(within(child, "old"))
                    self._add(name, ike, within(child, "new"))
                elif text(message, "up"):
                    self._add(name, ike, child)
                else:
                    ended |= self._remove(child)
        return ended

    def _add(self, name: str, ike: Message, child: Message) -> None:
        number, address = text(child, "uniqueid"), text(ike, "remote-host")
        if not number.isdecimal() or len(self) >= MOST:
            return
        self._remove(child)
        self._addresses[int(number)] = address
        self._known.setdefault(address, {})[int(number)] = Association(
            int(number),
            f"{name}[{text(ike, 'uniqueid')}]",
            address,
            _port(texts(child, "remote-ts")),
            text(ike, "remote-id")[:LONGEST_IDENTITY],
            _algorithms(child),
            text(child, "encap") == "yes",
        )

    def _remove(self, child: Message) -> set[str]:
        number = text(child, "uniqueid")
        address = self._addresses.pop(int(number), None) if number.isdecimal() else None
        if address is None:
            return set()
        some = self._known[address]
        del some[int(number)]
        if not some:
            del self._known[address]
        return {address}


def _port(selectors: list[str]) -> int:
    """
    Return the UDP port of the first selector; 0 if it has none, or one by an unknown name.
    """
    found = re.search(r"\[udp/([\w-]+)\]", "".join(selectors[:1]))
    if found is None:
        return 0
    return int(found[1]) if found[1].isdecimal() else _NAMES.get(found[1], 0)


def _algorithms(child: Message) -> str:
    words = "-".join(filter(None, (text(child, "encr-alg"), text(child, "encr-keysize"))))
    return "/".join(filter(None, (words, text(child, "integ-alg"))))
