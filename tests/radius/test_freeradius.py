"""
Tests for whole sessions of our own client that a FreeRADIUS accounts for, changes and ends.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet import reactor

from pptpgw.config.configuration import Configuration, parse
from pptpgw.radius import accounting
from pptpgw.radius.spool import WINDOW
from tests.radius.freeradius import PROGRAM, SECRET, FreeRADIUS, freePort
from tests.radius.served import Served, onTheReactor, radclient

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="needs FreeRADIUS")

USERS = """
alice Cleartext-Password := "open sesame"
    Framed-IP-Address = 10.77.0.9,
    Class = 0x0102ff,
    Session-Timeout = 3600
DEFAULT Cleartext-Password := "open sesame"
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FreeRADIUS]:
    made = FreeRADIUS(tmp_path / "freeradius", USERS)
    yield made
    made.stop()


def configured(server: FreeRADIUS, more: str = "", clients: str = "") -> Configuration:
    return parse(
        f"""
        [radius]
        nas-identifier = "gate"
        timeout = 1
        deadline = 3
        {more}
        [[radius.server]]
        host = "127.0.0.1"
        auth-port = {server.authPort}
        acct-port = {server.acctPort}
        secret = "{SECRET}"
        {clients}
        [[network.filter]]
        name = "slow"
        rules = ["permit ip from any to any"]
        """,
        "test",
    )


def kinds(records: list[dict[str, str]]) -> list[str]:
    return [record["Acct-Status-Type"] for record in records]


@onTheReactor
async def test_aWholeSession(server: FreeRADIUS, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The server has all records of a session, with its address, 64-bit counters and the cause of its
    end.
    """
    monkeypatch.setattr(accounting, "SETTLING", 0.05)
    server.start()
    served = Served(reactor, configured(server))
    served.start()
    await served.until(lambda: kinds(server.records()) == ["Accounting-On"])
    call = await served.dial("alice", "open sesame")
    session = served.session("alice")
    await served.until(lambda: len(server.records()) == 2)
    session.counters.octetsReceived = (3 << 32) + 1000
    session.counters.octetsSent = (1 << 32) + 7
    session.counters.packetsReceived, session.counters.packetsSent = 20, 30
    session.change(session.profile)
    await served.until(lambda: len(server.records()) == 3)
    await call.hangUp()
    await served.until(lambda: len(server.records()) == 4)
    await served.stop()

    records = server.records()
    assert kinds(records) == [
        "Accounting-On",
        "Start",
        "Interim-Update",
        "Stop",
        "Accounting-Off",
    ]
    on, start, interim, stop, off = records
    assert on["Acct-Session-Id"] == off["Acct-Session-Id"] != start["Acct-Session-Id"]
    assert off["Acct-Terminate-Cause"] == "Admin-Reboot"
    for record in records:
        assert record["NAS-Identifier"] == "gate"
        assert abs(int(record["Timestamp"]) - time.time()) < 60
        assert "Event-Timestamp" in record
    for record in (start, interim, stop):
        assert (
            record.items()
            >= {
                "Acct-Session-Id": session.identifier,
                "User-Name": "alice",
                "Framed-IP-Address": "10.77.0.9",
                "Class": "0x0102ff",
                "NAS-Port-Type": "Virtual",
                "Service-Type": "Framed-User",
                "Framed-Protocol": "PPP",
                "Calling-Station-Id": "192.0.2.7",
                "Called-Station-Id": "192.0.2.1",
                "NAS-IP-Address": "192.0.2.1",
                "Tunnel-Type:0": "PPTP",
                "Tunnel-Medium-Type:0": "IPv4",
                "Tunnel-Client-Endpoint:0": "192.0.2.7",
            }.items()
        ), record
    for record in (interim, stop):
        assert int(record["Acct-Input-Gigawords"]) == 3
        assert int(record["Acct-Output-Gigawords"]) == 1
        assert 1000 <= int(record["Acct-Input-Octets"]) < 1100
        assert 7 <= int(record["Acct-Output-Octets"]) < 107
        assert record["Acct-Input-Packets"] == "20" and record["Acct-Output-Packets"] == "30"
        assert 0 <= int(record["Acct-Session-Time"]) < 20
    assert stop["Acct-Terminate-Cause"] == "User-Request"
    assert stop["Acct-Delay-Time"] == "0"


@onTheReactor
async def test_anAddressWaitsForTheStop(server: FreeRADIUS) -> None:
    """
    The address of an ended session isn't given again before the server has the Stop.
    """
    server.start()
    served = Served(reactor, configured(server, "accounting = true"))
    served.start()
    call = await served.dial("alice", "open sesame")
    await served.until(lambda: len(server.records()) == 2)
    server.signal(signal.SIGSTOP)
    try:
        await call.hangUp()
        await served.until(lambda: not served.gateway.sessions)
        assert served.pool.used == 1
    finally:
        server.signal(signal.SIGCONT)
    await served.until(lambda: not served.pool.used, 4)
    assert kinds(server.records())[-1] == "Stop"
    await served.stop()


@onTheReactor
async def test_disconnectAndChange(server: FreeRADIUS) -> None:
    """
    radclient changes and ends a live session. Its requests without the right secret, or without a
    date, get no answer.
    """
    server.start()
    port = freePort()
    more = f'dynamic = "127.0.0.1:{port}"'
    client = '[[radius.client]]\nhost = "127.0.0.1"\nsecret = "for changes"'
    served = Served(reactor, configured(server, more, client))
    served.start()
    await served.dial("alice", "open sesame")
    await served.dial("bob", "open sesame")
    session = served.session("alice")

    async def send(kind: str, attributes: str, secret: str = "for changes") -> str:
        now = f"Event-Timestamp={int(time.time())}"
        out, err, _ = await radclient(reactor, port, kind, secret, attributes.replace("NOW", now))
        return (out + err).decode()

    name = f'Acct-Session-Id="{session.identifier}",User-Name=alice,NAS-Identifier=gate'
    signed = "Message-Authenticator=0x00,NOW"
    changed = await send(
        "coa",
        f'{name},Session-Timeout=60,Idle-Timeout=30,Filter-Id=slow,Mikrotik-Rate-Limit="1M/2M",'
        f"{signed}",
    )
    assert "Received CoA-ACK" in changed, changed
    profile = session.profile
    assert (profile.sessionTimeout, profile.idleTimeout, profile.filter) == (60, 30, "slow")
    assert (profile.receiveRate, profile.sendRate) == (1_000_000, 2_000_000)
    refused = await send("coa", f"{name},Framed-Pool=other,{signed}")
    assert "Received CoA-NAK" in refused and "Unsupported-Attribute" in refused
    unknown = await send("disconnect", f"User-Name=carol,{signed}")
    assert "Received Disconnect-NAK" in unknown and "Session-Context-Not-Found" in unknown
    forged = await send("disconnect", f"User-Name=alice,{signed}", "another secret")
    assert "No reply" in forged
    undated = await send("disconnect", "User-Name=alice")
    assert "No reply" in undated
    assert len(served.gateway.sessions) == 2

    ended = await send("disconnect", f"Framed-IP-Address=10.77.0.9,{signed}")
    assert "Received Disconnect-ACK" in ended
    await served.until(lambda: [one.user for one in served.gateway.sessions] == ["bob"])
    stop = await served.until(
        lambda: [one for one in server.records() if one["Acct-Status-Type"] == "Stop"]
    )
    assert stop[0]["Acct-Terminate-Cause"] == "Admin-Reset"
    await served.stop()


@onTheReactor
async def test_killedUnderLoad(server: FreeRADIUS, tmp_path: Path) -> None:
    """
    The server has the Stop of every session in the end, after its Start, if it is killed while
    sessions end and then started again. Late records say so.
    """
    server.start()
    served = Served(reactor, configured(server, f'spool = "{tmp_path / "spool"}"'))
    served.start()
    users = [f"user{number}" for number in range(40)]
    calls = [await served.dial(user, "open sesame") for user in users]
    for call in calls[:20]:
        call.hangUp()
    await served.until(lambda: kinds(server.records()).count("Stop") >= 5)
    server.kill()
    for call in calls[20:]:
        call.hangUp()
    await served.until(lambda: not served.gateway.sessions)
    before = kinds(server.records()).count("Stop")
    assert before < 40
    server.start()

    def stopped() -> set[str]:
        return {one["User-Name"] for one in server.records() if one["Acct-Status-Type"] == "Stop"}

    await served.until(lambda: stopped() == set(users), 30)
    records = server.records()
    assert kinds(records).count("Start") >= 40
    for user in users:
        mine = kinds([one for one in records if one.get("User-Name") == user])
        assert mine[0] == "Start" and mine[-1] == "Stop"
    # A server that was killed before it sent its answer has the record twice.
    assert kinds(records).count("Stop") <= 40 + WINDOW
    await served.stop()


@onTheReactor
async def test_restartedWithASpool(server: FreeRADIUS, tmp_path: Path) -> None:
    """
    Stops that no server has taken when the gateway stops are sent by its next run, before
    Accounting-On.
    """
    spool = f'spool = "{tmp_path / "spool"}"'
    server.start()
    first = Served(reactor, configured(server, spool))
    first.start()
    users = [f"user{number}" for number in range(5)]
    for user in users:
        await first.dial(user, "open sesame")
    await first.until(lambda: kinds(server.records()).count("Start") == 5)
    server.kill()
    await first.stop()
    assert "Stop" not in kinds(server.records())
    files = list((tmp_path / "spool").iterdir())
    assert files and all(file.stat().st_mode & 0o777 == 0o600 for file in files)

    server.start()
    second = Served(reactor, configured(server, spool))
    second.start()
    await second.until(lambda: kinds(server.records()).count("Accounting-On") == 2)
    later = server.records()[6:]
    assert sorted(kinds(later[:5])) == ["Stop"] * 5
    assert {one["User-Name"] for one in later[:5]} == set(users)
    assert {one["Acct-Terminate-Cause"] for one in later[:5]} == {"Admin-Reboot"}
    assert kinds(later[5:]) == ["Accounting-Off", "Accounting-On"]
    await second.stop()
