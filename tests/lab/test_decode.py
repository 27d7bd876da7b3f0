"""
Tests that compare our texts of control frames with those of pppd, line by line.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from pathlib import Path

import pytest

from pptpgw.ppp.wire import ppp
from tests.lab.peers import Network
from tests.lab.printer import Frame, printed
from tests.lab.server import ALICE, StartGateway
from tests.ppp.decode.pppd import DECODER, hiding, recorded

TYPES = {
    ppp.LCP: (0, 1, 2, 3, 4, 5, 7, 8, 9, 13, 17, 18, 19, 19),
    ppp.IPCP: (1, 2, 3, 4, 129, 130, 131, 132, 144),
    ppp.IPV6CP: (1, 2, 3),
    ppp.CCP: (0, 1, 2, 17, 18, 18, 18, 21, 24, 26),
    ppp.IPXCP: (1, 2, 3, 4, 6, 7),
}
"""
Types of options to try, known ones and others.
"""

SIZES = (0, 1, 2, 2, 4, 4, 4, 5, 6, 8, 10)


def test_theRecordedTextsAreStillThoseOfPppd(network: Network, tmp_path: Path) -> None:
    frames = [(protocol, information) for protocol, information, _ in recorded()]
    assert printed(frames, tmp_path) == [text for _, _, text in recorded()]


def test_anyPacketsOfControlProtocols(network: Network, tmp_path: Path) -> None:
    source = random.Random(20261130)
    frames = [_frame(source) for _ in range(300)]
    texts = printed(frames, tmp_path)
    ours = [DECODER.text(*frame) for frame in frames]
    pairs = [(text, mine) for text, mine in zip(texts, ours, strict=True) if text is not None]
    assert len(pairs) > 250
    assert [mine for _, mine in pairs] == [hiding(text) for text, _ in pairs]


TELLING = Path(__file__).with_name("telling.py")


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("mschapv2", ["require-mppe-128", "+ipv6"]),
        ("mschap", ["require-mppe-128", "refuse-mschap-v2"]),
        ("chap", ["nomppe"]),
        ("pap", ["nomppe", "novj", "nobsdcomp", "nodeflate"]),
        ("eap", ["nomppe", "mru", "1000", "asyncmap", "0"]),
    ],
)
def test_theFramesOfACall(
    method: str, options: list[str], network: Network, startGateway: StartGateway
) -> None:
    """
    What one end says that it sent, the other end says that it received, in the same words. The
    first frames may be lost, since the ends aren't ready at the same time.
    """
    gateway = startGateway(
        program=TELLING,
        link={"authentication": [method], "encryption": "prefer"},
        network={"protocols": ["ipv4", "ipv6"]},
    )
    caller = network.host().call(*ALICE, *options).up()
    assert caller.hangUp() == 5
    gateway.waitFor("ended after")
    # What was agreed on is what both ends acknowledged. In the order of options pppd may differ.
    acknowledged = [(one, "ours") for one in caller.sent("ConfAck.*<")]
    acknowledged += [(one, "peers") for one in caller.received("ConfAck.*<")]
    agreed = re.findall(r"agreed: (\S+) (ours|peers) (<.*)", gateway.text)
    assert {(name, side, _options(text)) for name, side, text in agreed} == {
        (text[1:].split()[0], side, _options(text)) for text, side in acknowledged
    }
    told = [hiding(one) for one in re.findall(r"followed: rcvd (\[.*)", gateway.text)]
    sent = [hiding(one) for one in caller.sent(".")]
    received = [hiding(one) for one in caller.received(".")]
    followed = re.findall(r"followed: sent (\[.*)", gateway.text)
    assert min(len(told), len(received)) >= 8
    # pppd reads frames of LCP and of networks from two places, so it may change their order.
    assert not Counter(told) - Counter(sent)
    assert not Counter(received) - Counter(followed)
    assert any("IPCP ConfAck" in one and "addr 10.77.0." in one for one in told)


def _options(text: str) -> frozenset[str]:
    return frozenset(re.findall("<[^>]*>", text))


def _frame(source: random.Random) -> Frame:
    protocol = source.choice(list(TYPES))
    if source.random() < 0.8:
        code = source.randrange(1, 5)
        data = b"".join(_option(source, protocol) for _ in range(source.randrange(1, 4)))
        data += source.randbytes(source.random() < 0.1)
    else:
        code = source.choice((0, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 200))
        data = source.choice((b"", b"because ")) + source.randbytes(source.randrange(20))
        if protocol == ppp.CCP and code == ppp.TERMINATE_ACK:
            # pppd prints no space before the text.
            data = b""
    padding = source.randbytes(source.choice((0, 0, 0, 3)))
    return protocol, ppp.encodePacket(code, source.randrange(256), data) + padding


def _option(source: random.Random, protocol: int) -> bytes:
    number, size = source.choice(TYPES[protocol]), source.choice(SIZES)
    if protocol == ppp.IPCP and number > 128:
        # pppd reads past the end of these if they are too short.
        size = max(4, size)
    value = source.randbytes(size)
    if (protocol, number) == (ppp.LCP, 3) and size >= 2:
        value = source.choice((b"\xc2\x23", b"\xc0\x23", b"\xc2\x27")) + value[2:]
    elif (protocol, number) == (ppp.LCP, 19) and size:
        value = bytes((source.randrange(7),)) + value[1:]
    return bytes((number, len(value) + 2)) + value
