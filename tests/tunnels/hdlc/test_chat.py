"""
Tests for L{pptpgw.tunnels.hdlc.chat}.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pptpgw.error import CallError, ConfigurationError
from pptpgw.tunnels.hdlc.chat import Chat, parseChat


class Modem:
    """
    A chat script that runs, and the modem that it talks to.
    """

    def __init__(self, script: str) -> None:
        self.clock = Clock()
        self.heard: list[bytes] = []
        self.chat = Chat(self.clock, parseChat(script), self.heard.append)
        self.result: Any = None
        self.chat.done.addBoth(self._ended)
        self.chat.start()

    def _ended(self, result: object) -> None:
        self.result = result

    def says(self, *pieces: bytes) -> list[bytes]:
        """
        Let the modem send C{pieces}.

        @return: what the script sends then.
        """
        for piece in pieces:
            self.chat.received(piece)
        heard, self.heard[:] = list(self.heard), []
        return heard

    @property
    def failed(self) -> str:
        """
        The error with which the script failed.
        """
        assert isinstance(self.result, Failure)
        assert self.result.check(CallError)
        assert not self.clock.getDelayedCalls()
        return self.result.getErrorMessage()


DIAL = "ABORT BUSY ABORT 'NO CARRIER' '' ATZ OK ATDT5551234 CONNECT ''"


def test_aCall() -> None:
    modem = Modem(DIAL)
    assert modem.says() == [b"ATZ\r"]
    assert modem.says(b"ATZ\r\r\n", b"O", b"K\r\n") == [b"ATDT5551234\r"]
    assert modem.says(b"CONNECT\r\n 9600\r\n~\xff}#") == [b"\r"]
    assert modem.result == b"\r\n 9600\r\n~\xff}#"
    assert not modem.clock.getDelayedCalls()


def test_oneWordAfterAnotherInOnePiece() -> None:
    modem = Modem(r"one 1 two 2 three '3\c'")
    assert modem.says(b"one two three!") == [b"1\r", b"2\r", b"3"]
    assert modem.result == b"!"


def test_aBusyLine() -> None:
    modem = Modem(DIAL)
    modem.says(b"OK\r\n", b"BU", b"SY\r\n")
    assert modem.failed == "the modem says BUSY"


def test_anAbortCountsFromWhereItStands() -> None:
    modem = Modem("a b ABORT a c d")
    assert modem.says(b"a") == [b"b\r"]
    modem.says(b"a")
    assert modem.failed == "the modem says a"


def test_theFirstThatComesCounts() -> None:
    modem = Modem(DIAL)
    modem.says(b"OK")
    modem.says(b"CONNECT and then NO CARRIER")
    assert modem.result == b" and then NO CARRIER"


def test_aSilentModem() -> None:
    modem = Modem(f"TIMEOUT 5 {DIAL}")
    modem.clock.advance(4.9)
    assert modem.result is None
    modem.clock.advance(0.1)
    assert modem.failed == "the modem didn't say OK within 5 s"


def test_alternatives() -> None:
    modem = Modem("TIMEOUT 3 ogin:--ogin:-wake-ogin: me sword: secret")
    modem.clock.advance(3)
    assert modem.says() == [b"\r"]
    modem.clock.advance(3)
    assert modem.says() == [b"wake\r"]
    assert modem.says(b"login: ") == [b"me\r"]
    modem.clock.advance(3)
    assert modem.failed == "the modem didn't say sword: within 3 s"


def test_anAlternativeWithNothingToExpect() -> None:
    modem = Modem("TIMEOUT 3 hello-AT OK")
    modem.clock.advance(3)
    assert modem.says() == [b"AT\r", b"OK\r"]
    assert modem.result == b""


def test_escapes() -> None:
    modem = Modem(r"'' '\\a\sb\tc\nd\re\\c'")
    assert modem.says() == [b"\\a b\tc\nd\re\\c\r"]


def test_aLineThatIsLost() -> None:
    modem = Modem(DIAL)
    modem.chat.lost("the device is gone")
    assert modem.failed == "the device is gone"
    modem.chat.lost("twice")


def test_cancelling() -> None:
    modem = Modem(DIAL)
    done: Deferred[bytes] = modem.chat.done
    done.cancel()
    assert modem.result.check(CancelledError)
    assert not modem.clock.getDelayedCalls()
    assert modem.says(b"OK") == [b"ATZ\r"]


def test_aModemThatNeverStopsTalkingFillsNoMemory() -> None:
    modem = Modem(DIAL)
    for _ in range(1000):
        modem.says(b"RING\r\n")
    assert len(modem.chat._buffer) <= len("NO CARRIER")


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("ABORT", "nothing behind ABORT"),
        ("TIMEOUT", "nothing behind TIMEOUT"),
        ("TIMEOUT soon OK", "TIMEOUT soon"),
        ("TIMEOUT 0", "TIMEOUT 0"),
        (r"OK '\d'", r"\d, which isn't known"),
        ("OK 'ATZ", "can't be read"),
    ],
)
def test_scriptsThatAreNone(script: str, fault: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        parseChat(script)
    assert fault in str(raised.value)


def test_anEmptyScriptIsDoneAtOnce() -> None:
    modem = Modem("")
    assert modem.result == b""


def test_theNumber() -> None:
    """
    The number stands in the place of C{\\T}, and of no other backslash.
    """
    (step,) = parseChat(r"'' 'ATDT\T \\T'", "+49(30)12")
    assert step.send == b"ATDT+49(30)12 \\T\r"
