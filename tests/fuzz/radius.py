"""
Fuzzing of RADIUS: servers' answers, requests for dynamic authorization, and records.

An unsigned packet must be malformed or not trusted. A packet that was signed with the secret may
have any attributes: each must be applied or ignored, or make the gateway refuse the caller.
"""

from __future__ import annotations

import hmac
from functools import partial
from hashlib import md5
from typing import Any
from unittest.mock import patch

from twisted.cred.error import LoginFailed
from twisted.internet.defer import Deferred

from pptpgw.auth.protocols import CHAP, MSCHAP, MSCHAPV2
from pptpgw.error import PPTPGWError
from pptpgw.radius import udp
from pptpgw.radius.attributes import nameIn, rates, read
from pptpgw.radius.packet import (
    ACCESS_ACCEPT,
    ACCESS_CHALLENGE,
    ACCESS_REJECT,
    ACCESS_REQUEST,
    COA_REQUEST,
    DISCONNECT_REQUEST,
    HEADER_OCTETS,
    MAXIMUM_OCTETS,
    RADIUSRequest,
    decode,
    dictionary,
)
from pptpgw.radius.record import pack, unpack
from pptpgw.radius.signature import requestAuthenticator
from tests.fuzz.decoders import decoder
from tests.fuzz.reader import Reader, Target
from tests.fuzz.state import runOut, unfailing
from tests.radius import authorized, streamed
from tests.radius.test_checker import Conversation, World, claimed, relayed
from tests.radius.test_packet import RELAXED
from tests.radius.wire import SECRET, connected

_NAMES = tuple(sorted(dictionary().attributes))
_VENDOR_SPECIFIC = 26
_MESSAGE_AUTHENTICATOR = 80
_LONGEST = 253
# Seconds in which a claim must be judged, or reported as an outage.
_PATIENCE = 60


def _attributes(reader: Reader) -> bytes:
    """
    Attributes, most of which have a name in the dictionary, in as many octets as fit a packet.
    """
    found = b""
    while reader.more:
        name = reader.number(2)
        value = reader.chunk()
        if name >= 0xF000:
            # Unchanged, with lengths that may be wrong.
            found += value
            continue
        key = dictionary().attrindex.GetForward(_NAMES[name % len(_NAMES)])
        if isinstance(key, tuple):
            vendor, number = key
            value = value[: _LONGEST - 6]
            value = vendor.to_bytes(4, "big") + bytes((number, len(value) + 2)) + value
            key = _VENDOR_SPECIFIC
        value = value[:_LONGEST]
        if len(found) + len(value) + 2 + HEADER_OCTETS > MAXIMUM_OCTETS:
            break
        found += bytes((key & 0xFF, len(value) + 2)) + value
    return found


def _signed(code: int, attributes: bytes, request: bytes, sign: bool = True) -> bytes:
    """
    The signed reply to C{request} with these attributes.
    """
    signature = bytes((_MESSAGE_AUTHENTICATOR, 18)) + bytes(16) if sign else b""
    length = HEADER_OCTETS + len(signature) + len(attributes)
    head = bytes((code, request[1])) + (length & 0xFFFF).to_bytes(2, "big")
    if sign:
        whole = head + request[4:HEADER_OCTETS] + signature + attributes
        signature = signature[:2] + hmac.digest(SECRET, whole, "md5")
    attributes = signature + attributes
    return head + md5(head + request[4:HEADER_OCTETS] + attributes + SECRET).digest() + attributes


def _reply(octets: bytes) -> None:
    """
    A datagram, unchanged and with the Response Authenticator that makes it a reply.
    """
    request = RADIUSRequest(ACCESS_REQUEST, RELAXED, SECRET)
    request.add("User-Name", "vera")
    asked = request.encode(7)
    decoder(request.reply)(octets)
    code = octets[0] if octets else ACCESS_ACCEPT
    decoder(request.reply)(_signed(code, octets[1:], asked, sign=False))


def _caller(octets: bytes) -> None:
    """
    A caller whose claim is judged by a server, whose answers have any attributes.
    """
    reader = Reader(octets)
    kind = reader.number()
    world = World()
    for _ in range(1 + (kind >> 4) % 3):
        code = reader.choose((ACCESS_ACCEPT, ACCESS_ACCEPT, ACCESS_REJECT, ACCESS_CHALLENGE))
        attributes = _attributes(Reader(reader.take(reader.number(2) % 600)))
        world.answers.append(partial(_signed, code, attributes))
    credentials = (
        claimed(),
        claimed(CHAP),
        claimed(MSCHAP),
        claimed(MSCHAPV2),
        relayed(Conversation()),
    )[kind % 5]
    with unfailing(), patch.object(udp, "connectedUDP", connected):
        judging = Deferred.fromCoroutine(_judged(world, credentials))
        world.wire.wait(_PATIENCE)
        assert judging.called
        world.client.stop()
    runOut(world.wire)


async def _judged(world: World, credentials: Any) -> None:
    """
    The verdict, which must be one of the gateway's own classes.
    """
    try:
        await world.checker.requestAvatarId(credentials)
    except (PPTPGWError, LoginFailed):
        pass


def _attribute(octets: bytes) -> None:
    """
    One attribute, which is read by its type and by the code that applies it.
    """
    reader = Reader(octets)
    name, value = _NAMES[reader.number() % len(_NAMES)], reader.rest()
    decoder(lambda given: decode(name, given))(value)
    try:
        read(name, value)
    except (ValueError, PPTPGWError, KeyError):
        pass


def _rates(octets: bytes) -> None:
    """
    Mikrotik's rate limits.
    """
    try:
        assert all(rate >= 0 for rate in rates(octets.decode("latin-1")))
    except ValueError:
        pass


def _dynamic(octets: bytes) -> None:
    """
    Signed requests to change or end sessions.
    """
    reader = Reader(octets)
    world = authorized.World(timestamps=False)
    with unfailing():
        world.rules.received(octets, authorized.HOST, 4000)
        while reader.more:
            code = reader.choose((COA_REQUEST, DISCONNECT_REQUEST, reader.number()))
            attributes = _attributes(Reader(reader.chunk()))
            length = HEADER_OCTETS + len(attributes)
            packet = bytes((code, reader.number())) + length.to_bytes(2, "big") + bytes(16)
            packet += attributes
            vector = requestAuthenticator(packet, authorized.SECRET)
            world.rules.received(packet[:4] + vector + attributes, authorized.HOST, 4000)
    assert {identifier for identifier, _ in world.hungUp} <= {"run1", "run2", "run3"}


def _stream(octets: bytes) -> None:
    """
    A server's stream over TLS, cut at any places. Every request must have exactly one result.
    """
    reader = Reader(octets)
    world = streamed.World(limit=4)
    asked = [world.ask() for _ in range(3)]
    with unfailing():
        transport = world.endpoint.accept()
        requests = streamed.requests(transport)
        protocol = world.endpoint.protocols[0]
        while reader.more and not transport.disconnecting:
            kind = reader.number()
            data = reader.chunk()
            if kind & 1 and requests:
                reply = streamed.replyTo(requests.pop(), code=kind if kind & 2 else 5)
                data = reply if kind & 4 else data + reply
            protocol.dataReceived(data)
        world.transport.stop()
        for one in asked:
            one.cancel()
    assert len(world.replies) + len(world.failures) == len(asked)
    runOut(world.clock)


def _record(octets: bytes) -> None:
    """
    A record of accounting.
    """
    decoder(unpack, lambda record: pack(*record))(octets)


def _name(octets: bytes) -> None:
    """
    The name that a server gives a user.
    """
    request = RADIUSRequest(ACCESS_REQUEST, RELAXED, SECRET)
    asked = request.encode(7)
    name = octets[:_LONGEST]
    attribute = bytes((1, len(name) + 2)) + name
    reply = request.reply(_signed(ACCESS_ACCEPT, attribute, asked))
    decoder(lambda _: nameIn(reply, "vera"))(octets)


TARGETS: dict[str, Target] = {
    "attribute": _attribute,
    "caller": _caller,
    "dynamic": _dynamic,
    "name": _name,
    "rates": _rates,
    "record": _record,
    "reply": _reply,
    "stream": _stream,
}
"""
Targets by name.
"""
