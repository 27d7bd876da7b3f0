"""
Three sessions, and requests that end and change them. pyrad makes the requests, signs them and
checks the answers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Any

from pyrad.packet import CoAPacket, Packet
from twisted.internet.task import Clock

from pptpgw.counting.counters import Counters
from pptpgw.radius.dynamic import DynamicAuthorization
from pptpgw.radius.nas import NAS
from pptpgw.radius.packet import COA_REQUEST, DISCONNECT_REQUEST, dictionary
from pptpgw.sessions.profile import Profile
from pptpgw.sessions.registry import Registry
from pptpgw.testing import makeSession

HOST, SECRET = "192.0.2.9", b"the secret of tests"
NOW = 1_700_000_000
WINDOW = 300.0


@dataclass
class World:
    """
    Three sessions, two of them alice's, and the rules for requests.
    """

    timestamps: bool = True
    clock: Clock = field(default_factory=Clock)
    counters: Counters = field(default_factory=Counters)
    hungUp: list[tuple[str, str]] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    port: int = 4000

    def __post_init__(self) -> None:
        self.clock.advance(NOW)
        self.sessions = Registry(self.clock)
        for number, user in enumerate(("alice", "alice", "bob"), 1):
            identifier = f"run{number}"
            session = makeSession(
                Profile(user, accountingClass=(b"class %d" % number,)),
                number,
                identifier=identifier,
                caller=f"198.51.100.{number}",
                since=NOW,
                hangUp=lambda cause, identifier=identifier: self.hungUp.append((identifier, cause)),  # type: ignore[misc]
                changed=lambda session: self.changes.append(session.identifier),
            )
            session.networks["ipv4"] = (IPv4Network(f"10.0.0.{number}"),)
            session.networks["ipv6"] = (
                IPv6Network(f"2001:db8:0:{number}::/64"),
                IPv6Network(f"2001:db8:{number}00::/56"),
            )
            self.sessions.sessionStarted(session)
        self.rules = DynamicAuthorization(
            self.clock,
            {HOST: SECRET, "2001:db8::9": b"another"},
            NAS(b"gate", (IPv4Address("192.0.2.1"),)),
            self.sessions,
            WINDOW,
            self.timestamps,
            self.counters,
            ("slow",),
            self.clock.seconds,
        )

    def request(
        self,
        code: int,
        *attributes: tuple[str, Any],
        secret: bytes = SECRET,
        when: float | None = 0,
        signed: bool = True,
    ) -> CoAPacket:
        """
        A request that is dated C{when} seconds from now, or without a date for C{None}.
        """
        packet = CoAPacket(code=code, id=7, secret=secret, dict=dictionary())
        for name, value in attributes:
            packet.AddAttribute(name, value)
        if when is not None:
            packet.AddAttribute("Event-Timestamp", int(self.clock.seconds() + when))
        if signed:
            packet.add_message_authenticator()
        return packet

    def send(self, packet: CoAPacket, host: str = HOST) -> Packet | None:
        """
        Send a request.

        @return: the answer, whose signature must be right, or C{None}.
        """
        octets = self.rules.received(packet.RequestPacket(), host, self.port)
        if octets is None:
            return None
        reply = Packet(secret=packet.secret, dict=dictionary(), packet=octets)
        assert 80 in reply and packet.VerifyReply(reply, octets)
        return reply

    def disconnect(self, *attributes: tuple[str, Any], **more: Any) -> Packet | None:
        return self.send(self.request(DISCONNECT_REQUEST, *attributes, **more))

    def change(self, *attributes: tuple[str, Any], **more: Any) -> Packet | None:
        return self.send(self.request(COA_REQUEST, *attributes, **more))

    def assertNothingDone(self) -> None:
        assert self.hungUp == [] and self.changes == []


def refused(reply: Packet | None, code: int) -> int:
    """
    The Error-Cause of a refusal.
    """
    assert reply is not None and reply.code == code
    [octets] = reply[101]
    return int.from_bytes(octets, "big")


def assertDiscarded(world: World, reason: str) -> None:
    assert world.counters.discards == {f"dynamic authorization: {reason}": 1}
    world.assertNothingDone()
