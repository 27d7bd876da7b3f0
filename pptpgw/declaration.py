"""
A network protocol that is declared, not programmed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Destination(NamedTuple):
    """
    Where packets go.

    @ivar scheme: C{hub}, C{unix}, C{udp} or C{object}.
    @ivar place: the path, the address or the dotted name; empty for a hub.
    @ivar port: of UDP.
    """

    scheme: str
    place: str = ""
    port: int = 0

    def __str__(self) -> str:
        host = f"[{self.place}]" if ":" in self.place else self.place
        return {
            "hub": "hub",
            "unix": f"unix:{self.place}",
            "udp": f"udp:{host}:{self.port}",
            "object": f"object:{self.place}",
        }[self.scheme]


HUB = Destination("hub")


@dataclass(frozen=True, slots=True)
class Rule:
    """
    How an option is negotiated; values are the octets after type and length.

    @ivar accept: the lengths in octets of the values that the peer may ask for, empty for any; None
        where it may ask for none.
    @ivar fixed: the one value that the peer may have; another is answered with it.
    @ivar assign: the first and the last of the values, of one length, of which each session is
        given one of its own.
    @ivar ask: the value that we ask for; the peer's Configure-Nak changes it.
    @ivar required: whether the protocol is given up where the peer won't grant that.
    """

    accept: tuple[int, ...] | None = None
    fixed: bytes | None = None
    assign: tuple[bytes, bytes] | None = None
    ask: bytes | None = None
    required: bool = False


@dataclass(frozen=True, slots=True)
class Declaration:
    """
    A network protocol.

    @ivar name: what it is called, and chosen by.
    @ivar control: the PPP protocol number of its control protocol.
    @ivar data: those of its packets.
    @ivar to: where its packets go.
    @ivar options: how its options are negotiated, by type; others are rejected.
    @ivar description: one line on it.
    """

    name: str
    control: int
    data: tuple[int, ...]
    to: Destination = HUB
    options: Mapping[int, Rule] = field(default_factory=dict)
    description: str = ""
