"""
Tests for L{pptpgw.ports.ppp} and L{pptpgw.ports.pppprobe}, with a fake of /dev/ppp.
"""

from __future__ import annotations

from errno import EACCES, EINVAL, ENXIO
from typing import Any, cast

import pytest

from pptpgw.error import NotPermitted
from pptpgw.interfaces import MPPEParameters
from pptpgw.ports import pppprobe
from pptpgw.ports.bpf import KEEP, Assembled, result
from pptpgw.ports.ppp import (
    BATCH,
    CCP_OPEN,
    CCP_UP,
    COMPRESS_PROTOCOL,
    DROP,
    MUST_COMPRESS,
    PPPChannel,
    PPPUnit,
    UnitNumbers,
)
from tests.ports.fakeppp import GONE, FakePPPSystem
from tests.ports.namespace import Readers

Frames = list[tuple[int, bytes]]
KEYS = MPPEParameters(bytes(range(16)), 128)


class Fixture:
    """
    A channel and a unit.

    @ivar frames: the frames that were received.
    """

    def __init__(self) -> None:
        self.system = FakePPPSystem()
        self.reactor = cast(Any, Readers())
        self.frames: Frames = []
        self.channel = PPPChannel(self.reactor, 7, self._received, self.system)
        self.unit = PPPUnit(self.reactor, UnitNumbers(), 3, 1400, self._received, self.system)

    def _received(self, protocol: int, information: bytes) -> None:
        self.frames.append((protocol, information))


@pytest.fixture
def ppp() -> Fixture:
    return Fixture()


def test_opened(ppp: Fixture) -> None:
    assert ppp.system.asked() == [("attach", 7), ("unit", 3), ("mru", 1400)]
    assert (ppp.unit.number, ppp.unit.name, ppp.unit.index) == (3, "ppp3", 1003)
    ppp.channel.connect(ppp.unit)
    ppp.channel.setFlags(COMPRESS_PROTOCOL)
    ppp.unit.setMode(0x21, DROP)
    ppp.unit.setFilter(Assembled((result(KEEP),)))
    assert ppp.system.asked() == [
        ("connect", 3),
        ("flags", 1),
        ("mode", (0x21, DROP)),
        ("filter", 1),
    ]


def test_flags(ppp: Fixture) -> None:
    """
    Flags of a unit are set and cleared one by one, and the kernel's own are read.
    """
    ppp.system.asked()
    ppp.unit.setFlags(on=CCP_OPEN | CCP_UP)
    ppp.unit.setFlags(on=MUST_COMPRESS, off=CCP_UP)
    ppp.system.state = 0x00800040
    assert ppp.system.asked() == [("flags", 0xC0), ("flags", 0x00400040)]
    assert ppp.unit.state == 0x00800040


@pytest.mark.parametrize(
    ("bits", "option"),
    [(128, "120601000040"), (40, "120601000020"), (56, "120601000080")],
)
def test_mppe(bits: int, option: str, ppp: Fixture) -> None:
    """
    The kernel is given the option of CCP (RFC 3078 section 2.1), and the key in 16 octets.
    """
    ppp.system.asked()
    ppp.unit.setMPPE(MPPEParameters(b"\xab" * (16 if bits == 128 else 8), bits), True)
    key = (b"\xab" * (16 if bits == 128 else 8)).ljust(16, b"\0")
    assert ppp.system.asked() == [("mppe", (bytes.fromhex(option) + key, True))]


def test_reading(ppp: Fixture) -> None:
    """
    Frames are read in batches. What has no protocol number is passed on as protocol 0.
    """
    frames: list[bytes | OSError] = [b"\xc0\x21\x09\x01", b"\x21x", b"\x00"]
    ppp.system.frames[ppp.channel.fileno()] = [*frames, *[b"\xc0\x21"] * BATCH]
    ppp.channel.doRead()
    assert ppp.frames[:3] == [(0xC021, b"\x09\x01"), (0x21, b"x"), (0, b"\x00")]
    assert len(ppp.frames) == BATCH
    ppp.channel.doRead()
    assert len(ppp.frames) == BATCH + 3


def test_theOtherEndIsGone(ppp: Fixture) -> None:
    ppp.system.frames[ppp.channel.fileno()] = [GONE, b"\xc0\x21"]
    ppp.channel.doRead()
    assert ppp.frames == []


def test_sendAndClose(ppp: Fixture) -> None:
    number = ppp.unit.fileno()
    ppp.unit.send(0x8021, b"\x01\x02")
    assert ppp.system.written == [(number, b"\x80\x21\x01\x02")]
    close = ppp.unit.close()
    assert number in ppp.system.opened and ppp.unit.fileno() == -1
    ppp.unit.doRead()
    close()
    assert number not in ppp.system.opened


def test_refusals() -> None:
    """
    What the kernel refuses leaves no file open.
    """
    system = FakePPPSystem()
    numbers = UnitNumbers()
    reactor = cast(Any, Readers())
    system.refused = {"attach": OSError(ENXIO, "No such device or address")}
    with pytest.raises(OSError, match="No such device"):
        PPPChannel(reactor, 7, lambda *_: None, system)
    system.refused = {"mru": OSError(EINVAL, "Invalid argument")}
    with pytest.raises(OSError, match="Invalid"):
        PPPUnit(reactor, numbers, 1, 1400, lambda *_: None, system)
    assert system.opened == set()
    system.refused = {"open": OSError(EACCES, "Permission denied")}
    with pytest.raises(NotPermitted, match="CAP_NET_ADMIN"):
        PPPUnit(reactor, numbers, 2, 1400, lambda *_: None, system)


class TestUnitNumbers:
    def take(self, numbers: UnitNumbers, wanted: int, *taken: int) -> int:
        def make(number: int) -> None:
            if number in taken:
                raise FileExistsError

        return numbers.take(wanted, make)

    def test_free(self) -> None:
        numbers = UnitNumbers()
        assert [self.take(numbers, one) for one in (1, 3, 2)] == [1, 3, 2]

    def test_othersHaveSome(self) -> None:
        """
        A session whose number another program has gets the next one, which nobody gets again.
        """
        numbers = UnitNumbers()
        assert self.take(numbers, 5, 5, 6) == 7
        assert self.take(numbers, 6) == 6
        assert self.take(numbers, 7) == 8
        assert self.take(numbers, 8) == 9
        assert self.take(numbers, 10) == 10

    def test_otherErrors(self) -> None:
        def make(number: int) -> None:
            raise PermissionError

        with pytest.raises(PermissionError):
            UnitNumbers().take(1, make)


class TestProbe:
    def test_fine(self) -> None:
        """
        A unit is made, with keys for both directions, and removed.
        """
        system = FakePPPSystem()
        system.taken = {0}
        assert pppprobe.lackingPPP(system) == ""
        assert [name for name, _ in system.asked("unit", "mppe")] == ["unit", "mppe", "mppe"]
        assert system.opened == set()

    @pytest.mark.parametrize(
        ("request_", "text"),
        [("open", "ppp_generic"), ("mppe", "ppp_mppe"), ("mru", "refused")],
    )
    def test_lacking(self, request_: str, text: str) -> None:
        system = FakePPPSystem()
        system.refused = {request_: OSError(EINVAL, "refused")}
        assert text in pppprobe.lackingPPP(system)
        assert system.opened == set()
