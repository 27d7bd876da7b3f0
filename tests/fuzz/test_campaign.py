"""
Tests for the code that runs a campaign, as far as it works without atheris.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import __main__ as campaign
from tests.fuzz import targets
from tests.fuzz.reader import Reader
from tests.fuzz.soak import slope


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """
    An empty folder in place of the saved inputs.
    """
    folder = tmp_path / "corpus"
    monkeypatch.setattr(targets, "CORPUS", folder)
    return folder


class TestReader:
    def test_itReadsFromTheFirstToTheLast(self) -> None:
        reader = Reader(b"\x01\x02\x03\x02abc")
        assert (reader.number(), reader.number(2), reader.chunk()) == (1, 0x203, b"ab")
        assert reader.more and reader.rest() == b"c" and not reader.more

    def test_behindTheLastThereAreZeros(self) -> None:
        reader = Reader(b"\x05a")
        assert reader.chunk() == b"a" and reader.number(4) == 0
        assert reader.choose("xyz") == "x" and reader.rest() == b""


class TestInputs:
    def test_whatIsSavedIsRead(self, corpus: Path) -> None:
        """
        Saved inputs are read once each, the shortest first, and without the texts for readers.
        """
        targets.add("decoders", "arp", [b"ab", b""])
        targets.add("decoders", "arp", [b"\x00", b"ab"])
        path = targets.pathOf("decoders", "arp")
        path.write_text("# found one day\n" + path.read_text() + "ff # and this\n")
        assert targets.saved("decoders", "arp") == [b"", b"ab", b"\x00", b"\xff"]
        assert targets.saved("decoders", "bridge") == []

    def test_theFirstOctetSaysWhoseAnInputIs(self, corpus: Path, tmp_path: Path) -> None:
        names = tuple(targets.targetsOf("control"))
        for name in names:
            targets.add("control", name, [name.encode()])
        campaign.unpack("control", tmp_path / "inputs")
        found = [
            campaign.of("control", one.read_bytes()) for one in (tmp_path / "inputs").iterdir()
        ]
        assert sorted(found) == sorted((name, name.encode()) for name in names)

    def test_whatReachesMoreIsKept(self, corpus: Path, tmp_path: Path) -> None:
        """
        Of two inputs that reach the same the shorter is kept, and no more octets are kept than
        permitted.
        """
        inputs = tmp_path / "inputs"
        inputs.mkdir()
        place = bytes((tuple(targets.targetsOf("decoders")).index("pap"),))
        for number, octets in enumerate((b"", b"\x01\x01\x00", b"\x01\x01\x00\x02", bytes(9000))):
            (inputs / f"{number}").write_bytes(place + octets)
        targets.add("decoders", "pap", [b""])
        campaign.keep("decoders", inputs)
        assert targets.saved("decoders", "pap") == [b"", b"\x01\x01\x00\x02"]


def test_slope() -> None:
    """
    The slope is zero if a figure grows at first and then stops growing.
    """
    flat = [(at, min(at, 50)) for at in range(0, 110, 10)]
    assert slope(flat) == 0
    assert slope([(at, 3 * at) for at in range(10)]) == pytest.approx(3)
