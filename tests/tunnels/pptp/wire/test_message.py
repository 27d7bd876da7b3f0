"""
Tests for L{pptpgw.tunnels.pptp.wire.message} and L{pptpgw.tunnels.pptp.wire.code}.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers import pptp as scapyPPTP

from pptpgw.error import Malformed
from pptpgw.tunnels.pptp.wire.code import (
    CauseCode,
    ControlMessageType,
    DisconnectResult,
    OutgoingCallResult,
    describe,
    nameOf,
)
from pptpgw.tunnels.pptp.wire.message import (
    LONGEST,
    MESSAGES,
    CallClearRequest,
    CallDisconnectNotify,
    ControlMessage,
    EchoReply,
    EchoRequest,
    OutgoingCallReply,
    OutgoingCallRequest,
    StartControlConnectionReply,
    StartControlConnectionRequest,
    UnknownMessage,
    decode,
    encode,
)


def _values(kind: type[ControlMessage]) -> dict[str, st.SearchStrategy[Any]]:
    strategies: dict[str, st.SearchStrategy[Any]] = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        if not hasattr(hint, "__metadata__"):
            continue
        limit = hint.__metadata__[0].limit
        if hint.__origin__ is bytes:
            strategies[name] = st.binary(max_size=limit).map(lambda text: text.replace(b"\0", b""))
        else:
            strategies[name] = st.integers(0, limit)
    return strategies


MESSAGE = st.one_of([st.builds(kind, **_values(kind)) for kind in MESSAGES])


def _names(kind: type[Any]) -> list[str]:
    return [field.name for field in fields(kind)]


# The sizes that RFC 2637 section 2 gives, by message type.
SIZES = (156, 156, 16, 16, 16, 20, 168, 32, 220, 24, 28, 16, 148, 40, 24)

# Octets that were written by hand from the figures of RFC 2637 section 2.
VECTORS = [
    (
        "009c 0001 1a2b3c4d 0001 0000  0100 0000 00000001 00000001 0000 0a28",
        b"\0" * 64 + b"Microsoft Windows NT".ljust(64, b"\0"),
        StartControlConnectionRequest(
            framingCapabilities=1,
            bearerCapabilities=1,
            firmwareRevision=2600,
            vendorName=b"Microsoft Windows NT",
        ),
    ),
    (
        "009c 0001 1a2b3c4d 0002 0000  0100 05 06 00000003 00000002 ffff 0001",
        b"local".ljust(64, b"\0") + b"cananian".ljust(64, b"\0"),
        StartControlConnectionReply(
            result=5,
            error=6,
            framingCapabilities=3,
            bearerCapabilities=2,
            maximumChannels=65535,
            firmwareRevision=1,
            hostName=b"local",
            vendorName=b"cananian",
        ),
    ),
    (
        "00a8 0001 1a2b3c4d 0007 0000  beef 0102 0000012c 05f5e100 00000003 00000002 2000 0001"
        "0003 0000",
        b"123".ljust(64, b"\0") + b"sub".ljust(64, b"\0"),
        OutgoingCallRequest(
            callID=0xBEEF,
            callSerialNumber=0x0102,
            minimumBPS=300,
            maximumBPS=100_000_000,
            bearerType=3,
            framingType=2,
            window=8192,
            processingDelay=1,
            phoneNumberLength=3,
            phoneNumber=b"123",
            subaddress=b"sub",
        ),
    ),
    (
        "0020 0001 1a2b3c4d 0008 0000  1234 0000 01 00 0000 05f5e100 0040 0002 00000007",
        b"",
        OutgoingCallReply(
            callID=0x1234,
            peerCallID=0,
            result=1,
            connectSpeed=100_000_000,
            window=64,
            processingDelay=2,
            physicalChannelID=7,
        ),
    ),
    (
        "0094 0001 1a2b3c4d 000d 0000  1234 04 00 0010 0000",
        b"bye".ljust(128, b"\0"),
        CallDisconnectNotify(callID=0x1234, result=4, error=0, cause=16, statistics=b"bye"),
    ),
    ("0010 0001 1a2b3c4d 0005 0000  deadbeef", b"", EchoRequest(0xDEADBEEF)),
    ("0014 0001 1a2b3c4d 0006 0000  deadbeef 01 00 0000", b"", EchoReply(0xDEADBEEF, 1, 0)),
    ("0010 0001 1a2b3c4d 000c 0000  0000 0000", b"", CallClearRequest(0)),
]


@pytest.mark.parametrize(("head", "tail", "message"), VECTORS)
def test_vectors(head: str, tail: bytes, message: ControlMessage) -> None:
    """
    Messages have the octets of the RFC's figures.
    """
    octets = bytes.fromhex(head.replace(" ", "")) + tail
    assert encode(message) == octets
    assert decode(octets) == message


def test_sizes() -> None:
    """
    The fifteen messages have the sizes of the RFC.
    """
    assert tuple(len(encode(kind())) for kind in MESSAGES) == SIZES
    assert [kind.messageType for kind in MESSAGES] == list(ControlMessageType)
    assert max(SIZES) == LONGEST


@given(MESSAGE)
def test_roundTrip(message: ControlMessage) -> None:
    """
    A message is decoded to what was encoded.
    """
    assert decode(encode(message)) == message


SCAPY = (
    scapyPPTP.PPTPStartControlConnectionRequest,
    scapyPPTP.PPTPStartControlConnectionReply,
    scapyPPTP.PPTPStopControlConnectionRequest,
    scapyPPTP.PPTPStopControlConnectionReply,
    scapyPPTP.PPTPEchoRequest,
    scapyPPTP.PPTPEchoReply,
    scapyPPTP.PPTPOutgoingCallRequest,
    scapyPPTP.PPTPOutgoingCallReply,
    scapyPPTP.PPTPIncomingCallRequest,
    scapyPPTP.PPTPIncomingCallReply,
    scapyPPTP.PPTPIncomingCallConnected,
    scapyPPTP.PPTPCallClearRequest,
    scapyPPTP.PPTPCallDisconnectNotify,
    scapyPPTP.PPTPWANErrorNotify,
    scapyPPTP.PPTPSetLinkInfo,
)


@given(MESSAGE)
def test_scapyAgrees(message: ControlMessage) -> None:
    """
    scapy reads the same values from our octets, field by field in order, and writes the same octets
    for them.
    """
    oracle = SCAPY[message.messageType - 1]
    octets = encode(message)
    names = [
        field.name
        for field in oracle.fields_desc
        if field.name not in ("len", "type", "magic_cookie", "ctrl_msg_type")
        and not field.name.startswith("reserved")
    ]
    packet = oracle(octets)
    assert packet.magic_cookie == 0x1A2B3C4D
    assert packet.ctrl_msg_type == message.messageType
    ours = [getattr(message, name) for name in _names(type(message))]
    theirs = [getattr(packet, name) for name in names]
    theirs = [value.rstrip(b"\0") if isinstance(value, bytes) else int(value) for value in theirs]
    assert theirs == ours
    assert bytes(oracle(len=len(octets), **dict(zip(names, ours, strict=True)))) == octets


@given(st.binary(max_size=LONGEST + 40))
def test_arbitraryOctets(octets: bytes) -> None:
    """
    Arbitrary octets raise nothing but L{Malformed}.
    """
    with pytest.raises(Malformed):
        decode(octets)


@given(MESSAGE, st.data())
def test_mutatedOctets(message: ControlMessage, choice: st.DataObject) -> None:
    """
    A message with changed, cut or additional octets is decoded or raises L{Malformed}.
    """
    octets = bytearray(encode(message))
    for _ in range(choice.draw(st.integers(1, 4))):
        octets[choice.draw(st.integers(0, min(24, len(octets)) - 1))] = choice.draw(
            st.integers(0, 255)
        )
    octets = octets[: choice.draw(st.integers(0, len(octets)))] + choice.draw(
        st.binary(max_size=10)
    )
    try:
        decoded = decode(bytes(octets))
    except Malformed:
        return
    assert decode(encode(decoded)) == decoded


@pytest.mark.parametrize(
    ("head", "text"),
    [
        ("0010 0001 1a2b3c4e 0005 0000 00000000", "magic cookie 0x1a2b3c4e"),
        ("0014 0001 1a2b3c4d 0005 0000 00000000 00000000", "Echo-Request of 20 octets, not 16"),
        ("0010 0001 1a2b3c4d 0006 0000 00000000", "Echo-Reply of 16 octets, not 20"),
        ("0020 0001 1a2b3c4d 0005 0000 00000000", "16 octets whose length field says 32"),
        ("000b 0001 1a2b3c4d 0005 00", "a control message of 11 octets"),
    ],
)
def test_malformed(head: str, text: str) -> None:
    """
    Each fault is named and isn't taken for an unknown message.
    """
    with pytest.raises(Malformed, match=text) as caught:
        decode(bytes.fromhex(head))
    assert not isinstance(caught.value, UnknownMessage)


@pytest.mark.parametrize(
    ("head", "text"),
    [
        ("0010 0001 1a2b3c4d 0010 0000 00000000", "control message type 16"),
        ("000c 0001 1a2b3c4d 0000 0000", "control message type 0"),
        ("0010 0002 1a2b3c4d 0005 0000 00000000", "PPTP message type 2"),
    ],
)
def test_unknown(head: str, text: str) -> None:
    """
    A well-framed message of an unknown type raises an error of its own.
    """
    with pytest.raises(UnknownMessage, match=text):
        decode(bytes.fromhex(head))


def test_reservedIgnored() -> None:
    """
    Reserved octets are ignored in received messages and sent as zero.
    """
    octets = bytearray(encode(CallClearRequest(5)))
    octets[10:12] = b"\xff\xff"
    octets[14:16] = b"\xff\xff"
    assert decode(bytes(octets)) == CallClearRequest(5)


def test_textEndsAtNUL() -> None:
    """
    A text ends at its first NUL, whatever follows that.
    """
    octets = bytearray(encode(StartControlConnectionRequest(hostName=b"host")))
    # The host name begins at octet 28, and octet 32 is the NUL that ends it.
    octets[33:40] = b"garbage"
    message = decode(bytes(octets))
    assert message == StartControlConnectionRequest(hostName=b"host")


@pytest.mark.parametrize(
    "change",
    [
        {"hostName": b"x" * 65},
        {"hostName": b"a\0b"},
        {"maximumChannels": 65536},
        {"framingCapabilities": -1},
        {"protocolVersion": 1 << 16},
    ],
)
def test_cantBeBuilt(change: dict[str, Any]) -> None:
    """
    A message with a value that doesn't fit its field can't be made.
    """
    with pytest.raises(ValueError, match=next(iter(change))):
        replace(StartControlConnectionRequest(), **change)


def test_words() -> None:
    """
    Codes and types have names.
    """
    assert describe(OutgoingCallResult, 7) == "do not accept"
    assert describe(CauseCode, 17) == "user busy"
    assert describe(DisconnectResult, 0) == "code 0"
    assert nameOf(14) == "WAN-Error-Notify"
    assert nameOf(1) == "Start-Control-Connection-Request"
