"""
Tests that requests after a reload go to the new RADIUS servers, and those under way are finished by
the old ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyrad.packet import CoAPacket
from twisted.internet.protocol import DatagramProtocol

from pptpgw.auth.protocols import PAP
from pptpgw.error import CallError, ConfigurationError
from pptpgw.interfaces import Reloaded
from pptpgw.radius import client, udp
from pptpgw.radius.checker import RADIUSChecker
from pptpgw.radius.packet import (
    ACCESS_ACCEPT,
    ACCESS_REQUEST,
    ACCOUNTING_REQUEST,
    DISCONNECT_REQUEST,
    STATUS_SERVER,
    dictionary,
)
from pptpgw.radius.record import INTERIM_UPDATE, ON, START, STOP
from pptpgw.testing import resultOf
from tests.radius.wire import SECRET, Port, answer, asked
from tests.reload.world import World, shows

LINK = '[link]\nauthentication = ["pap"]\nencryption = "off"\n'
JUDGED = '[auth]\ncheckers = ["radius"]\n'


def server(host: str, more: str = "", secret: str = SECRET.decode()) -> str:
    """
    The table of a server.
    """
    return f'[[radius.server]]\nhost = "{host}"\nsecret = "{secret}"\n{more}\n'


class Served(World):
    """
    A gateway whose callers are judged by RADIUS servers that this answers for.

    @ivar asked: the address of each server that was asked, and the request.
    @ivar silent: the addresses of the servers that don't answer.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, text: str, **options: Any) -> None:
        self.ports: list[Port] = []
        self.asked: list[tuple[str, bytes]] = []
        self.silent: set[str] = set()
        monkeypatch.setattr(udp, "connectedUDP", self.connected)
        super().__init__(LINK + (JUDGED if options["users"] else "") + text, **options)
        for name in ("RADIUS", "reports of ended sessions"):
            (service,) = (one for one in self.service.services if one.name == name)
            service.startService()

    def reload(self, text: str = "") -> Reloaded:
        """
        See L{World.reload}. Callers are judged by the servers.
        """
        return super().reload(LINK + JUDGED + text)

    def connected(self, reactor: Any, protocol: DatagramProtocol, host: str, port: int) -> None:
        """
        Open a port to a server.
        """
        wire: Any = self
        opened: Any = Port(wire, protocol, (host, port))
        self.ports.append(opened)
        protocol.makeConnection(opened)

    def arrived(self, port: Port, octets: bytes) -> None:
        """
        Answer a request, unless the server is silent.
        """
        self.asked.append((port.peer[0], octets))
        if port.peer[0] not in self.silent:
            code = {ACCESS_REQUEST: ACCESS_ACCEPT, ACCOUNTING_REQUEST: 5, STATUS_SERVER: 2}
            signed: dict[str, Any] = {}
            if octets[0] != ACCOUNTING_REQUEST:
                signed["message_authenticator"] = True
            port.deliver(answer(octets, code[octets[0]], **signed))

    def caller(self, name: str = "alice") -> Any:
        """
        Place a call by PAP.
        """
        return self.call(name, methods=(PAP,), encryption="off")

    def hosts(self, code: int = ACCESS_REQUEST) -> list[str]:
        """
        The servers that requests with this code were sent to, in order.
        """
        return [host for host, octets in self.asked if octets[0] == code]

    def statuses(self) -> list[int]:
        """
        The kinds of the accounting records.
        """
        return [
            int.from_bytes(asked(octets)[40][0], "big")
            for _, octets in self.asked
            if octets[0] == ACCOUNTING_REQUEST
        ]


@shows("[radius] server", "[auth] checkers")
def test_otherServers(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The next request goes to the new server. One that the old server is asked is answered by it.
    """
    world = Served(monkeypatch, server("192.0.2.11"), users=[RADIUSChecker()])
    resultOf(world.caller())
    world.silent.add("192.0.2.11")
    waiting = world.caller("bob")
    (port,) = (one for one in world.ports if one.peer == ("192.0.2.11", 1812))
    request = world.asked[-1][1]
    world.reload(server("192.0.2.12"))
    resultOf(world.caller("carol"))
    assert "192.0.2.12" in world.hosts()
    port.deliver(answer(request, ACCESS_ACCEPT, message_authenticator=True))
    world.run(1)
    resultOf(waiting)
    assert not port.closed
    world.rest(client.RETIRED_SECONDS)
    assert port.closed


def test_theSameServersStayAsTheyAre(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Neither their ports nor what is known of their health changes.
    """
    text = server("192.0.2.11") + server("192.0.2.12")
    world = Served(monkeypatch, text, users=[RADIUSChecker()])
    resultOf(world.caller())
    before = list(world.ports)
    homes = [home for those in world.service.radius._homes.values() for home in those]
    world.reload(text + "[limits]\nmax-sessions = 9")
    assert [home for those in world.service.radius._homes.values() for home in those] == homes
    resultOf(world.caller("bob"))
    assert not any(one.closed for one in before)


def test_anotherSecretInItsFile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    A reload reads the files of secrets, even if the configuration is the same.
    """
    file = tmp_path / "secret"
    file.touch(0o600)
    file.write_bytes(b"old")
    text = f'[[radius.server]]\nhost = "192.0.2.11"\nsecret-file = "{file}"\n'
    world = Served(monkeypatch, text, users=[RADIUSChecker()])
    file.write_bytes(SECRET)
    assert not world.reload(text).changes
    resultOf(world.caller())


def test_anotherSecretThatCannotBeRead(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Nothing at all is applied.
    """
    world = Served(monkeypatch, server("192.0.2.11"), users=[RADIUSChecker()])
    text = '[limits]\nmax-sessions = 1\n[[radius.server]]\nhost = "192.0.2.12"\n'
    with pytest.raises(ConfigurationError, match="secret or secret-file is missing"):
        world.reload(text)
    resultOf(world.caller())
    resultOf(world.caller("bob"))
    assert set(world.hosts()) == {"192.0.2.11"}


def test_fromNoServerToOne(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A gateway without RADIUS moves its users there, and tells the server of sessions from then on.
    """
    world = Served(monkeypatch, "", users=[])
    clients: list[Any] = [world.service.radius]
    with pytest.raises(CallError):
        resultOf(world.caller())
    spools: list[Any] = [world.service.spool]
    world.reload(server("192.0.2.11"))
    spools.append(world.service.spool)
    assert spools[0] is None and len(spools[1]) == 0
    clients.append(world.service.radius)
    assert [one is None for one in clients] == [True, False]
    resultOf(world.caller("bob")).hangUp("enough")
    world.run(5)
    assert world.statuses() == [ON, START, STOP]


def test_aCheckerThatLosesItsServers(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Served(monkeypatch, server("192.0.2.11"), users=[RADIUSChecker()])
    with pytest.raises(ConfigurationError, match="names no server"):
        world.reload()
    resultOf(world.caller())


@shows("[radius] accounting")
def test_accountingOff(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The current session has its Stop, and the next one has no records.
    """
    world = Served(monkeypatch, server("192.0.2.11"), users=[RADIUSChecker()])
    old = resultOf(world.caller())
    world.reload("[radius]\naccounting = false\n" + server("192.0.2.11"))
    resultOf(world.caller("bob"))
    old.hangUp("enough")
    world.run(5)
    assert world.statuses() == [ON, START, STOP]


@shows("[radius] interim")
def test_interim(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The current session is reported at the new interval.
    """
    text = server("192.0.2.11")
    world = Served(monkeypatch, "[radius]\ninterim = 0\n" + text, users=[RADIUSChecker()])
    resultOf(world.caller())
    world.rest(100)
    world.reload("[radius]\ninterim = 60\n" + text)
    world.rest(70)
    assert world.statuses() == [ON, START, INTERIM_UPDATE]


@shows("[radius] nas-identifier", "[radius] nas-address")
def test_ourName(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    In requests, and in the records of a session that is there already.
    """
    text = server("192.0.2.11")
    world = Served(monkeypatch, text, users=[RADIUSChecker()])
    old = resultOf(world.caller())
    world.reload('[radius]\nnas-identifier = "gate"\nnas-address = ["198.51.100.1"]\n' + text)
    resultOf(world.caller("bob"))
    old.hangUp("enough")
    world.run(5)
    requests = [asked(octets) for _, octets in world.asked]
    names = [(one[32][0], one[4][0]) for one in requests if 4 in one]
    assert names[0] == (b"pptpgw", bytes((192, 0, 2, 1)))
    assert set(names[-3:]) == {(b"gate", bytes((198, 51, 100, 1)))}


@shows("[radius] timeout", "[radius] deadline")
def test_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A silent server is left after the new time-out, and a caller is told so after the new deadline.
    """
    text = server("192.0.2.11") + server("192.0.2.12", "weight = 0")
    world = Served(monkeypatch, text, users=[RADIUSChecker()])
    world.reload("[radius]\ntimeout = 1\ndeadline = 3\n" + text)
    world.silent |= {"192.0.2.11", "192.0.2.12"}
    waiting = world.caller()
    world.run(2)
    assert "192.0.2.12" in world.hosts()
    world.run(4)
    with pytest.raises(CallError):
        resultOf(waiting)


@shows("[radius] dead-time", "[radius] probe-interval")
@pytest.mark.parametrize(("key", "probed"), [("dead-time", "false"), ("probe-interval", "true")])
def test_aDeadServer(monkeypatch: pytest.MonkeyPatch, key: str, probed: str) -> None:
    """
    It is tried again after the new time.
    """
    text = server("192.0.2.11", f"status-server = {probed}") + server("192.0.2.12", "weight = 0")
    world = Served(monkeypatch, text, users=[RADIUSChecker()])
    world.reload(f"[radius]\n{key} = 3\n" + text)
    world.silent.add("192.0.2.11")
    world.caller()
    world.run(8)
    assert world.hosts()[-1] == "192.0.2.12"
    world.silent.clear()
    world.rest(25)
    resultOf(world.caller("bob"))
    assert world.hosts()[-1] == "192.0.2.11"


def disconnect(secret: bytes, when: float, session: str, number: int) -> bytes:
    """
    A request to end a session.
    """
    packet = CoAPacket(code=DISCONNECT_REQUEST, id=number, secret=secret, dict=dictionary())
    packet.AddAttribute("Acct-Session-Id", session)
    if when:
        packet.AddAttribute("Event-Timestamp", int(when))
    packet.add_message_authenticator()
    octets: bytes = packet.RequestPacket()
    return octets


@shows(
    "[radius] dynamic",
    "[radius] client",
    "[radius] dynamic-window",
    "[radius] require-event-timestamp",
)
def test_dynamicAuthorization(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A port is opened, moves and is closed. Who may send, and how old a request may be, follows too.
    """
    world = World()
    resultOf(world.call())
    (session,) = world.service.sessions
    (service,) = (
        one for one in world.service.services if one.name == "RADIUS dynamic authorization"
    )
    service.startService()
    dynamic: Any = service
    opened: list[tuple[str, int]] = []
    closed: list[tuple[str, int]] = []

    class Opened:
        def __init__(self, place: tuple[str, int]) -> None:
            self.place = place
            opened.append(place)

        def stopListening(self) -> None:
            closed.append(self.place)

    dynamic._reactor = type(
        "Reactor",
        (),
        {"listenUDP": staticmethod(lambda port, protocol, interface: Opened((interface, port)))},
    )

    def text(more: str = "", port: int = 3799, secret: str = "one") -> str:
        return (
            f'[radius]\ndynamic = "127.0.0.1:{port}"\n{more}\n'
            f'[[radius.client]]\nhost = "192.0.2.9"\nsecret = "{secret}"\n'
        )

    def answered(octets: bytes) -> bool:
        return dynamic._rules.received(octets, "192.0.2.9", 4000) is not None

    now = dynamic._rules._now
    nobody = "unknown"
    assert not answered(disconnect(b"one", now(), nobody, 1))
    world.reload(text())
    assert answered(disconnect(b"one", now(), nobody, 2))
    world.reload(text(port=3800, secret="two"))
    assert not answered(disconnect(b"one", now(), nobody, 4))
    assert answered(disconnect(b"two", now(), nobody, 5))
    assert (opened, closed) == ([("127.0.0.1", 3799), ("127.0.0.1", 3800)], [("127.0.0.1", 3799)])
    assert answered(disconnect(b"two", now() - 100, nobody, 6))
    world.reload(text("dynamic-window = 10", 3800, "two"))
    assert not answered(disconnect(b"two", now() - 100, nobody, 7))
    assert not answered(disconnect(b"two", 0, nobody, 8))
    world.reload(text("dynamic-window = 10\nrequire-event-timestamp = false", 3800, "two"))
    assert answered(disconnect(b"two", 0, session.identifier, 9))
    world.run(5, 0.1)
    assert len(world.service.sessions) == 0
    world.reload(text("dynamic-window = 300", 3800, "two"))
    # It may be a replay of one that was answered before, and forgotten.
    assert not answered(disconnect(b"two", now() - 100, nobody, 10))
    world.reload()
    assert closed[-1] == ("127.0.0.1", 3800)
    assert not answered(disconnect(b"two", now(), nobody, 11))
