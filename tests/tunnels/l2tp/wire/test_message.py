"""
Tests for L{pptpgw.tunnels.l2tp.wire.message} and L{pptpgw.tunnels.l2tp.wire.avp}, with tshark as
the other opinion.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.utils import wrpcap

from pptpgw.error import Malformed
from pptpgw.tunnels.l2tp.wire.avp import (
    LONGEST,
    TABLE,
    CallErrors,
    Q931Cause,
    ResultCode,
    SendReceiveACCM,
)
from pptpgw.tunnels.l2tp.wire.code import AVP, CDNResult, MessageType, describe
from pptpgw.tunnels.l2tp.wire.header import ControlHeader, encodeControl
from pptpgw.tunnels.l2tp.wire.message import (
    MOST,
    REQUIRED,
    L2TPMessage,
    decode,
    encode,
    nameOf,
)

U16, U32 = st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
TEXT, SOME = st.binary(max_size=40), st.binary(min_size=1, max_size=40)
VALUES: dict[AVP, st.SearchStrategy[Any]] = {
    AVP.RESULT_CODE: st.builds(ResultCode, U16, U16, TEXT),
    AVP.PROTOCOL_VERSION: U16,
    AVP.FRAMING_CAPABILITIES: U32,
    AVP.BEARER_CAPABILITIES: U32,
    AVP.TIE_BREAKER: st.binary(min_size=8, max_size=8),
    AVP.FIRMWARE_REVISION: U16,
    AVP.HOST_NAME: SOME,
    AVP.VENDOR_NAME: TEXT,
    AVP.ASSIGNED_TUNNEL_ID: st.integers(1, 0xFFFF),
    AVP.RECEIVE_WINDOW_SIZE: U16,
    AVP.CHALLENGE: SOME,
    AVP.Q931_CAUSE_CODE: st.builds(Q931Cause, U16, st.integers(0, 255), TEXT),
    AVP.CHALLENGE_RESPONSE: st.binary(min_size=16, max_size=16),
    AVP.ASSIGNED_SESSION_ID: st.integers(1, 0xFFFF),
    AVP.CALL_SERIAL_NUMBER: U32,
    AVP.MINIMUM_BPS: U32,
    AVP.MAXIMUM_BPS: U32,
    AVP.BEARER_TYPE: U32,
    AVP.FRAMING_TYPE: U32,
    AVP.CALLED_NUMBER: TEXT,
    AVP.CALLING_NUMBER: TEXT,
    AVP.SUB_ADDRESS: TEXT,
    AVP.TX_CONNECT_SPEED: U32,
    AVP.PHYSICAL_CHANNEL_ID: U32,
    AVP.INITIAL_RECEIVED_LCP_CONFREQ: TEXT,
    AVP.LAST_SENT_LCP_CONFREQ: TEXT,
    AVP.LAST_RECEIVED_LCP_CONFREQ: TEXT,
    AVP.PROXY_AUTHEN_TYPE: U16,
    AVP.PROXY_AUTHEN_NAME: TEXT,
    AVP.PROXY_AUTHEN_CHALLENGE: TEXT,
    AVP.PROXY_AUTHEN_ID: st.integers(0, 255),
    AVP.PROXY_AUTHEN_RESPONSE: TEXT,
    AVP.CALL_ERRORS: st.builds(CallErrors, *(U32,) * 6),
    AVP.ACCM: st.builds(SendReceiveACCM, U32, U32),
    AVP.PRIVATE_GROUP_ID: TEXT,
    AVP.RX_CONNECT_SPEED: U32,
    AVP.SEQUENCING_REQUIRED: st.just(True),
}
EXAMPLES: dict[AVP, tuple[Any, dict[str, str]]] = {
    AVP.RESULT_CODE: (
        ResultCode(2, 6, b"no"),
        {"l2tp.avp.error_code": "6", "l2tp.avp.error_message": "no"},
    ),
    AVP.PROTOCOL_VERSION: (
        0x0102,
        {"l2tp.avp.protocol_version": "1", "l2tp.avp.protocol_revision": "2"},
    ),
    AVP.FRAMING_CAPABILITIES: (
        1,
        {"l2tp.avp.async_framing_supported": "0", "l2tp.avp.sync_framing_supported": "1"},
    ),
    AVP.BEARER_CAPABILITIES: (
        2,
        {"l2tp.avp.analog_access_supported": "1", "l2tp.avp.digital_access_supported": "0"},
    ),
    AVP.TIE_BREAKER: (bytes(range(8)), {"l2tp.tie_breaker": "0x0001020304050607"}),
    AVP.FIRMWARE_REVISION: (0x0690, {"l2tp.avp.firmware_revision": "1680"}),
    AVP.HOST_NAME: (b"lac", {"l2tp.avp.host_name": "lac"}),
    AVP.VENDOR_NAME: (b"somebody", {"l2tp.avp.vendor_name": "somebody"}),
    AVP.ASSIGNED_TUNNEL_ID: (4711, {"l2tp.avp.assigned_tunnel_id": "4711"}),
    AVP.RECEIVE_WINDOW_SIZE: (8, {"l2tp.avp.receive_window_size": "8"}),
    AVP.CHALLENGE: (b"\x01\x02", {"l2tp.avp.chap_challenge": "0102"}),
    AVP.Q931_CAUSE_CODE: (
        Q931Cause(16, 5, b"bye"),
        {
            "l2tp.avp.cause_code": "16",
            "l2tp.avp.cause_msg": "5",
            "l2tp.avp.advisory_msg": "bye",
        },
    ),
    AVP.CHALLENGE_RESPONSE: (
        bytes(range(16)),
        {"l2tp.avp.chap_challenge_response": bytes(range(16)).hex()},
    ),
    AVP.ASSIGNED_SESSION_ID: (815, {"l2tp.avp.assigned_session_id": "815"}),
    AVP.CALL_SERIAL_NUMBER: (70000, {"l2tp.avp.call_serial_number": "70000"}),
    AVP.MINIMUM_BPS: (300, {"l2tp.avp.minimum_bps": "300"}),
    AVP.MAXIMUM_BPS: (100000, {"l2tp.avp.maximum_bps": "100000"}),
    AVP.BEARER_TYPE: (
        1,
        {"l2tp.avp.analog_bearer_type": "0", "l2tp.avp.digital_bearer_type": "1"},
    ),
    AVP.FRAMING_TYPE: (
        2,
        {"l2tp.avp.async_framing_type": "1", "l2tp.avp.sync_framing_type": "0"},
    ),
    AVP.CALLED_NUMBER: (b"555", {"l2tp.avp.called_number": "555"}),
    AVP.CALLING_NUMBER: (b"666", {"l2tp.avp.calling_number": "666"}),
    AVP.SUB_ADDRESS: (b"7", {"l2tp.avp.sub_address": "7"}),
    AVP.TX_CONNECT_SPEED: (64000, {"l2tp.avp.connect_speed": "64000"}),
    AVP.PHYSICAL_CHANNEL_ID: (3, {"l2tp.avp.physical_channel": "3"}),
    AVP.INITIAL_RECEIVED_LCP_CONFREQ: (
        b"\x01\x04\x05\xdc",
        {"l2tp.avp.initial_received_lcp_confreq": "010405dc"},
    ),
    AVP.LAST_SENT_LCP_CONFREQ: (b"\x02", {"l2tp.avp.last_sent_lcp_confreq": "02"}),
    AVP.LAST_RECEIVED_LCP_CONFREQ: (b"\x03", {"l2tp.avp.last_received_lcp_confreq": "03"}),
    AVP.PROXY_AUTHEN_TYPE: (2, {"l2tp.avp.proxy_authen_type": "2"}),
    AVP.PROXY_AUTHEN_NAME: (b"alice", {"l2tp.avp.proxy_authen_name": "alice"}),
    AVP.PROXY_AUTHEN_CHALLENGE: (b"\x04", {"l2tp.avp.proxy_authen_challenge": "04"}),
    AVP.PROXY_AUTHEN_ID: (9, {"l2tp.avp.proxy_authen_id": "9"}),
    AVP.PROXY_AUTHEN_RESPONSE: (b"\x05", {"l2tp.avp.proxy_authen_response": "05"}),
    AVP.CALL_ERRORS: (
        CallErrors(1, 2, 3, 4, 5, 6),
        {
            "l2tp.avp.crc_errors": "1",
            "l2tp.avp.framing_errors": "2",
            "l2tp.avp.hardware_overruns": "3",
            "l2tp.avp.buffer_overruns": "4",
            "l2tp.avp.time_out_errors": "5",
            "l2tp.avp.alignment_errors": "6",
        },
    ),
    AVP.ACCM: (
        SendReceiveACCM(10, 11),
        {"l2tp.avp.send_accm": "10", "l2tp.avp.receive_accm": "11"},
    ),
    AVP.PRIVATE_GROUP_ID: (b"\x06", {"l2tp.avp.private_group_id": "06"}),
    AVP.RX_CONNECT_SPEED: (32000, {"l2tp.avp.rx_connect_speed": "32000"}),
    AVP.SEQUENCING_REQUIRED: (True, {}),
}
"""
An example of each attribute, and what tshark calls its parts.
"""


def test_theTableHasEveryAttribute() -> None:
    """
    The table has the RFC's attributes in its order of numbers, and there is an example of each.
    """
    assert sorted(TABLE) == sorted(AVP) == [number for number in range(40) if number != 20]
    assert {*EXAMPLES, AVP.MESSAGE_TYPE, AVP.RANDOM_VECTOR} == set(AVP)
    assert EXAMPLES.keys() == VALUES.keys()
    assert set(REQUIRED) == set(MessageType)


def test_tsharkReadsEveryAttribute(tmp_path: Path) -> None:
    values: dict[int, Any] = {attribute: value for attribute, (value, _) in EXAMPLES.items()}
    wanted = {name: text for _, parts in EXAMPLES.values() for name, text in parts.items()}
    octets = encodeControl(
        ControlHeader(11, 22, 3, 4), encode(L2TPMessage(MessageType.ICCN, values))
    )
    capture = tmp_path / "messages.pcap"
    wrpcap(str(capture), [IP() / UDP(sport=1701, dport=1701) / octets])
    names = [
        *wanted,
        "l2tp.avp.type",
        "l2tp.avp.mandatory",
        "l2tp.avp.message_type",
        "_ws.malformed",
    ]
    command = ["tshark", "-n", "-r", str(capture), "-T", "fields"]
    for name in names:
        command += ["-e", name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = dict(zip(names, done.stdout.rstrip("\n").split("\t"), strict=True))
    attributes = [int(AVP.MESSAGE_TYPE), *map(int, EXAMPLES)]
    assert found.pop("l2tp.avp.type") == ",".join(map(str, attributes))
    mandatory = ",".join(str(int(TABLE[attribute].mandatory)) for attribute in attributes)
    assert found.pop("l2tp.avp.mandatory") == mandatory
    assert found.pop("l2tp.avp.message_type") == "12"
    assert found.pop("_ws.malformed") == ""
    assert found == wanted


REST = st.fixed_dictionaries({}, optional=dict(VALUES))


@settings(deadline=None)
@given(st.sampled_from(MessageType), st.booleans(), REST, st.data())
def test_whatIsEncodedIsDecoded(
    kind: MessageType, mustKnow: bool, rest: dict[int, Any], data: st.DataObject
) -> None:
    values = {one: data.draw(VALUES[one]) for one in REQUIRED[kind]} | rest
    message = L2TPMessage(kind, values, mustKnow)
    assert decode(encode(message)) == message
    hidden = encode(message, b"secret", b"random", frozenset(AVP))
    assert decode(hidden, b"secret") == message


def test_hidingByHand() -> None:
    """
    The octets of a hidden AVP, made step by step as RFC 2661 section 4.3 says.
    """
    from hashlib import md5

    secret, vector, name = b"open sesame", b"0123456789abcdef", b"a calling number!"
    plain = (len(name).to_bytes(2, "big") + name).ljust(32, b"\0")
    first = md5(b"\0\x16" + secret + vector).digest()
    one = bytes(a ^ b for a, b in zip(plain[:16], first, strict=True))
    second = md5(secret + one).digest()
    two = bytes(a ^ b for a, b in zip(plain[16:], second, strict=True))
    values: dict[int, Any] = {AVP.CALLING_NUMBER: name}
    octets = encode(L2TPMessage(99, values), secret, vector, frozenset(values))
    assert octets == (
        bytes.fromhex("8008 0000 0000 0063")
        + bytes.fromhex("8016 0000 0024")
        + vector
        + bytes.fromhex("c026 0000 0016")
        + one
        + two
    )
    assert decode(octets, secret).values == values
    # Without the secret the attribute can't be read, and the sender insists on it.
    assert decode(octets).unknown == (AVP.CALLING_NUMBER,)
    assert decode(octets).values == {}


def test_aWrongSecretNeverFitsAlways() -> None:
    """
    What was hidden by another secret is rejected, or another value.
    """
    values: dict[int, Any] = {AVP.HOST_NAME: b"x", AVP.CHALLENGE: b"y" * 30}
    octets = encode(L2TPMessage(99, values), b"secret", b"vector", frozenset(values))
    for number in range(50):
        try:
            found = decode(octets, b"other%d" % number)
        except Malformed:
            continue
        assert found.values[AVP.CHALLENGE] != b"y" * 30


def avp(attribute: int, value: str = "", flags: int = 0x8000, vendor: int = 0) -> str:
    length = flags | 6 + len(bytes.fromhex(value))
    return f"{length:04x}{vendor:04x}{attribute:04x}{value}"


HELLO = avp(0, "0006")


def test_whatIsUnknown() -> None:
    """
    Attributes that we don't know are ignored, or listed if their sender insists on them.
    """
    octets = (
        HELLO
        + avp(20, "00")
        + avp(900, "00", flags=0)
        + avp(900)
        + avp(7, "41", vendor=9)
        + avp(7, "42", flags=0x8400)
        + avp(7, "43")
    )
    message = decode(bytes.fromhex(octets))
    assert message.unknown == (20, 900, 9 << 16 | 7, 7)
    assert message.values == {AVP.HOST_NAME: b"C"}
    assert message.mustKnow
    assert not decode(bytes.fromhex(avp(0, "0006", flags=0))).mustKnow


def test_theFirstOfTwoCounts() -> None:
    message = decode(bytes.fromhex(HELLO + avp(0, "0001") + avp(7, "41") + avp(7, "42")))
    assert (message.type, message.values) == (MessageType.HELLO, {AVP.HOST_NAME: b"A"})


def test_optionalAttributesThatDoNotFitAreIgnored() -> None:
    message = decode(bytes.fromhex(HELLO + avp(6, "01", flags=0) + avp(5, "00", flags=0)))
    assert message == L2TPMessage(MessageType.HELLO)


@pytest.mark.parametrize(
    "octets",
    [
        "",
        avp(7, "41"),
        avp(0, "06"),
        avp(0, "0006", flags=0xC000),
        HELLO + "8005 0000 0007",
        HELLO + "8009 0000 0007 41",
        HELLO + "80",
        HELLO + avp(7),
        HELLO + avp(9, "00"),
        HELLO + avp(1, "00"),
        HELLO + avp(1, "000000"),
        HELLO + avp(12, "0000"),
        HELLO + avp(13, "00"),
        HELLO + avp(34, "00" * 25),
        HELLO + avp(39, "00"),
        HELLO + avp(900, flags=0) * MOST,
        # The id 0 can't be assigned.
        HELLO + avp(9, "0000"),
        HELLO + avp(14, "0000"),
        *(avp(0, f"{kind:04x}") for kind, required in REQUIRED.items() if required),
    ],
)
def test_malformed(octets: str) -> None:
    with pytest.raises(Malformed):
        decode(bytes.fromhex(octets))


@given(st.binary(max_size=200))
def test_anyOctets(octets: bytes) -> None:
    for body in (octets, bytes.fromhex(HELLO) + octets):
        for secret in (b"", b"secret"):
            try:
                message = decode(body, secret)
            except Malformed:
                continue
            assert decode(encode(message)).values == message.values


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        (20, 0),
        (AVP.HOST_NAME, b""),
        (AVP.HOST_NAME, bytes(LONGEST + 1)),
        (AVP.TIE_BREAKER, b"short"),
        (AVP.CALL_SERIAL_NUMBER, -1),
        (AVP.CALL_SERIAL_NUMBER, None),
        (AVP.RESULT_CODE, ResultCode(70000)),
        (AVP.RESULT_CODE, ResultCode(1, 0, bytes(LONGEST))),
    ],
)
def test_messagesThatCannotBe(attribute: int, value: object) -> None:
    with pytest.raises(ValueError, match="AVP"):
        L2TPMessage(MessageType.HELLO, {attribute: value})


def test_names() -> None:
    assert nameOf(MessageType.STOPCCN) == "StopCCN"
    assert nameOf(MessageType.ICRQ) == "ICRQ"
    assert nameOf(5) == "message type 5"
    assert describe(CDNResult, 8) == "busy (8)"
    assert describe(CDNResult, 99) == "unknown (99)"
