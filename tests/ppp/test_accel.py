"""
Tests for our end of a link to a server that behaves as accel-ppp does after authentication.

accel-ppp begins its network control protocols some milliseconds after it has sent the Success. It
silently discards what comes for them before, and so a peer that asked at once waits for its Restart
timer. It begins IPCP with CCP, and doesn't wait until MPPE is open: to a peer that answers with a
Terminate-Ack it speaks again after its own Restart timer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from pptpgw.interfaces import IKeys
from pptpgw.ppp import link
from pptpgw.ppp.link import Phase
from pptpgw.ppp.networkphase import NetworkPhase
from pptpgw.ppp.wire import ppp
from tests.ppp.test_link import CLIENT, SERVER, Pair

SECONDS = 1.0
"""
The time that a call may take. One Restart timer is 3 seconds.
"""


class AccelPhase(NetworkPhase):
    """
    The network phase of accel-ppp.

    @cvar delay: seconds after the Success until the control protocols begin.
    """

    delay = 0.0

    def begin(self, keys: IKeys | None) -> None:
        """
        Begin all control protocols together, some time later.
        """

        def begin() -> None:
            NetworkPhase.begin(self, keys)
            self._release()

        self.clock.callLater(self.delay, begin)

    def _keep(self, protocol: int, packet: bytes) -> None:
        """
        Discard a packet that comes too early.
        """


@pytest.fixture
def accel(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[AccelPhase]]:
    """
    The network phase of the server.
    """

    def makePhase(clock: Any, settings: Any, *others: Any) -> NetworkPhase:
        kind = AccelPhase if settings.methods else NetworkPhase
        return kind(clock, settings, *others)

    monkeypatch.setattr(link, "NetworkPhase", makePhase)
    yield AccelPhase
    AccelPhase.delay = 0.0


class Watcher:
    """
    Notes the frames of our end.
    """

    def __init__(self) -> None:
        self.frames: list[tuple[bool, int, bytes]] = []

    def frame(self, isSent: bool, protocol: int, information: bytes) -> None:
        self.frames.append((isSent, protocol, information))

    def begins(self, stage: str) -> None: ...
    def passed(self, stage: str, following: str = "") -> None: ...
    def failed(self, stage: str, reason: str) -> None: ...


@pytest.mark.parametrize("encryption", ["require", "prefer", "off"])
@pytest.mark.parametrize("milliseconds", [0, 1, 5, 40, 200])
def test_itComesUpAtOnce(encryption: Any, milliseconds: int, accel: type[AccelPhase]) -> None:
    """
    IPCP opens as soon as the server is ready, whatever was lost before, and with MPPE once that is
    open. Nothing is terminated.
    """
    accel.delay = milliseconds / 1000
    pair = Pair(replace(SERVER, encryption=encryption), replace(CLIENT, encryption=encryption))
    pair.client.watcher = watcher = Watcher()
    pair.start()
    pair.run(SECONDS, 0.001)
    assert pair.caller.opened and pair.gateway.opened
    expected = "not encrypted" if encryption == "off" else "MPPE 128 bit stateless"
    assert pair.client.encryption == pair.server.encryption == expected
    codes = {information[0] for _, _, information in watcher.frames}
    assert not codes & {ppp.TERMINATE_REQUEST, ppp.TERMINATE_ACK}
    # And it stays so.
    pair.run(20, 0.01)
    assert (len(pair.caller.opened), pair.caller.closed) == (1, 0)
    assert (len(pair.gateway.opened), pair.gateway.closed) == (1, 0)
    assert pair.client.phase is Phase.NETWORK


@pytest.mark.parametrize("encryption", ["require", "off"])
def test_atMostOneRequestTooMany(encryption: Any) -> None:
    """
    A server that is ready in time gets at most one request of each control protocol twice, and
    nothing is negotiated twice.
    """
    pair = Pair(replace(SERVER, encryption=encryption), replace(CLIENT, encryption=encryption))
    pair.client.watcher = watcher = Watcher()
    pair.start()
    pair.run(SECONDS, 0.001)
    for protocol in (ppp.CCP, ppp.IPCP):
        sent = [one for isSent, number, one in watcher.frames if isSent and number == protocol]
        assert len(sent) - len(set(sent)) <= 1
    assert (len(pair.gateway.opened), pair.gateway.closed) == (1, 0)
