"""
Tests of the connection to charon.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor as running
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from pptpgw.error import Unavailable
from pptpgw.ipsec.vici import TIMEOUT, Charon, Rejected, connect
from pptpgw.ipsec.wire import Message
from tests.ipsec.charon import charonAt, ike

reactor: Any = running


async def test_requestsAndLists(tmp_path: Path) -> None:
    """
    Each request gets its own answer, and a list is not mixed with events. What charon doesn't know
    or can't do is said.
    """
    heard: list[tuple[str, Message]] = []
    charon = Charon(Clock(), lambda *event: heard.append(event))
    async with charonAt(reactor, tmp_path / "vici") as daemon:
        await connect(reactor, str(tmp_path / "vici"), charon)
        await charon.register("child-updown")
        first, second = charon.ask("version"), charon.ask("get-shared")
        asked = [Deferred.fromCoroutine(one) for one in (first, second)]
        daemon.tell("child-updown", ike({}))
        assert (await asked[0])["version"] == b"5.9.8"
        assert (await asked[1])["keys"] == [b"ike-pptpgw-psk"]
        (listed,) = await charon.stream("list-conns", "list-conn")
        assert list(listed) == ["pptpgw-psk"]
        assert heard == [("child-updown", ike({}))]
        daemon.answers["get-keys"] = {"success": b"no", "errmsg": b"not today"}
        with pytest.raises(Rejected, match="not today"):
            await charon.ask("get-keys")
        with pytest.raises(Rejected, match="the command dance"):
            await charon.ask("dance")
        with pytest.raises(Rejected, match="the event nonsense"):
            await charon.register("nonsense")
        charon.close()


async def test_theConnectionEnds(tmp_path: Path) -> None:
    """
    Whoever waits is told, whether charon ends or doesn't answer; later requests fail too.
    """
    path = tmp_path / "vici"
    with pytest.raises(Unavailable, match=f"{path}: No such file"):
        await connect(reactor, str(path), Charon(Clock()))
    async with charonAt(reactor, path) as daemon:
        daemon.silent.add("version")
        for end, why in (("hangUp", "closed the connection"), ("advance", "no answer within 10 s")):
            clock, ended = Clock(), iter([True])
            charon = Charon(clock, ended=ended.__next__)
            await connect(reactor, str(path), charon)
            asked = Deferred.fromCoroutine(charon.ask("version"))
            await _until(lambda: "version" in daemon.asked)
            daemon.asked.clear()
            if end == "hangUp":
                daemon.hangUp()
            else:
                clock.advance(TIMEOUT)
            with pytest.raises(Unavailable, match=why):
                await asked
            assert not list(ended)
            with pytest.raises(Unavailable, match=why):
                await charon.ask("version")
            assert not clock.getDelayedCalls()


async def _until(condition: Any) -> None:
    while not condition():
        pause: Deferred[None] = Deferred()
        reactor.callLater(0.01, pause.callback, None)
        await pause


def test_octetsThatArentVici() -> None:
    """
    The connection is ended.
    """

    class Transport:
        aborted = 0

        def abortConnection(self) -> None:
            self.aborted += 1

        def write(self, data: bytes) -> None: ...

    for octets in ("00000001ff", "ffffffff", "0000000101", "000000020702"):
        charon: Any = Charon(Clock())
        charon.transport = transport = Transport()
        charon.dataReceived(bytes.fromhex(octets))
        charon.dataReceived(b"")
        assert transport.aborted == 1, octets
