"""
Tests for L{pptpgw.tunnels.l2tp.details}: what a LAC tells of a call and its caller is what an LNS
takes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.task import Clock

from pptpgw.auth.protocols import CHAP, MSCHAP, MSCHAPV2, PAP
from pptpgw.interfaces import (
    UNKNOWN_STATIONS,
    IAuthenticationProtocol,
    Negotiated,
    ProxyClaim,
    Stations,
)
from pptpgw.ppp.lcpoption import optionOf
from pptpgw.testing import makeClaim
from pptpgw.tunnels.l2tp.details import detailsOf, groupOf, negotiatedOf, stationsOf
from pptpgw.tunnels.l2tp.wire.code import AVP, MessageType
from pptpgw.tunnels.l2tp.wire.message import L2TPMessage, decode, encode
from pptpgw.tunnels.pptp.owner import Ends
from tests.sessions.legs import LegCall

SECRET, VECTOR = b"open sesame", bytes(range(16))
FIRST, LAST = b"\x01\x04\x05\xdc", b"\x01\x04\x05\x78"


def legOf(stations: Stations = UNKNOWN_STATIONS, accm: int | None = None) -> Any:
    leg: Any = LegCall(Clock(), Ends("192.0.2.1", "192.0.2.77", 1, 2))
    leg.stations, leg.accm = stations, accm
    return leg


def asked(method: IAuthenticationProtocol | None) -> bytes:
    """
    The options of our last Configure-Request.
    """
    if method is None:
        return b"\x01\x04\x05\x78"
    option = optionOf(method)
    return bytes((3, len(option) + 2)) + option


def connected(values: dict[int, Any]) -> L2TPMessage:
    return L2TPMessage(MessageType.ICCN, {AVP.FRAMING_TYPE: 1, AVP.TX_CONNECT_SPEED: 1, **values})


@pytest.mark.parametrize(
    ("method", "number"), [(CHAP, 2), (MSCHAP, 5), (MSCHAPV2, 2), (PAP, 3), (None, 4)]
)
def test_whatIsToldIsTaken(method: IAuthenticationProtocol | None, number: int) -> None:
    """
    LCP and a claim arrive as they were made, with RFC 2661's number for their protocol.
    """
    claim = None if method is None else ProxyClaim.of(makeClaim(method))
    negotiated = Negotiated(FIRST, LAST, asked(method), claim)
    details = detailsOf(negotiated, legOf(), mayHide=True)
    assert details.connected[AVP.PROXY_AUTHEN_TYPE] == number
    octets = encode(connected(dict(details.connected)), SECRET, VECTOR, details.hidden)
    assert claim is None or (claim.response in octets) is (method is not PAP)
    assert negotiatedOf(decode(octets, SECRET)) == negotiated


def test_whatIsNotTold() -> None:
    """
    A password in clear isn't told without a secret that hides it, nor a claim that RFC 2661 has no
    number for, nor LCP that hasn't opened.
    """
    password = ProxyClaim.of(makeClaim(PAP))
    foreign = replace(ProxyClaim.of(makeClaim(CHAP)), number=0xC227, algorithm=b"")
    for claim, mayHide in ((password, False), (foreign, True)):
        told = detailsOf(Negotiated(FIRST, LAST, asked(PAP), claim), legOf(), mayHide)
        assert told.connected[AVP.PROXY_AUTHEN_TYPE] == 4
        assert AVP.PROXY_AUTHEN_RESPONSE not in told.connected
    assert detailsOf(Negotiated(), legOf(), True).connected == {}


@pytest.mark.parametrize(
    "changes",
    [
        {AVP.PROXY_AUTHEN_TYPE: 5},
        {AVP.PROXY_AUTHEN_TYPE: 77},
        {AVP.PROXY_AUTHEN_TYPE: None},
        {AVP.PROXY_AUTHEN_ID: None},
        {AVP.PROXY_AUTHEN_RESPONSE: None},
        {AVP.LAST_SENT_LCP_CONFREQ: b""},
        {AVP.LAST_SENT_LCP_CONFREQ: asked(PAP)},
        {AVP.LAST_SENT_LCP_CONFREQ: b"\x03\x01"},
    ],
    ids=str,
)
def test_claimsThatDoNotFit(changes: dict[int, Any]) -> None:
    """
    A claim isn't taken that lacks something, or isn't of the protocol that LCP has agreed on.
    """
    claim = ProxyClaim.of(makeClaim(CHAP))
    values = dict(detailsOf(Negotiated(FIRST, LAST, asked(CHAP), claim), legOf(), True).connected)
    values |= changes
    taken = negotiatedOf(connected({key: one for key, one in values.items() if one is not None}))
    assert taken is not None and taken.claim is None


@pytest.mark.parametrize("missing", [AVP.LAST_SENT_LCP_CONFREQ, AVP.LAST_RECEIVED_LCP_CONFREQ])
def test_halfOfLCP(missing: AVP) -> None:
    """
    Without both ends' options nothing is taken; the first Configure-Request may be missing.
    """
    values = dict(detailsOf(Negotiated(FIRST, LAST, asked(CHAP)), legOf(), True).connected)
    del values[AVP.INITIAL_RECEIVED_LCP_CONFREQ]
    assert negotiatedOf(connected(values)) == Negotiated(b"", LAST, asked(CHAP))
    del values[missing]
    assert negotiatedOf(connected(values)) is None


def test_stations() -> None:
    """
    Numbers are passed on, or else the addresses of the call. What isn't printable is replaced.
    """
    stations = Stations("030123456", "0190", "7", "gold", "42")
    told = detailsOf(Negotiated(), legOf(stations), False).request
    taken = stationsOf(L2TPMessage(MessageType.ICRQ, {**told, AVP.PHYSICAL_CHANNEL_ID: 42}))
    assert taken == replace(stations, group="")
    assert groupOf(connected({AVP.PRIVATE_GROUP_ID: b"gold"})) == "gold"
    told = detailsOf(Negotiated(), legOf(), False).request
    assert stationsOf(L2TPMessage(MessageType.ICRQ, told)) == Stations("192.0.2.77", "192.0.2.1")
    hostile = L2TPMessage(MessageType.ICRQ, {AVP.CALLING_NUMBER: b"\x1b[2J\n" + b"\xff" * 900})
    calling = stationsOf(hostile).calling
    assert calling.isprintable() and len(calling) <= 128


def test_aLine() -> None:
    """
    The LNS is told that the line of the caller is asynchronous.
    """
    assert detailsOf(Negotiated(), legOf(accm=0), False).connected == {AVP.FRAMING_TYPE: 2}
