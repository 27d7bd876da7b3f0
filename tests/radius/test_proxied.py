"""
Tests for callers that another gateway passes on, whose claims a RADIUS server judges.
"""

from __future__ import annotations

import pytest
from twisted.cred.checkers import ICredentialsChecker
from zope.interface import implementer

from pptpgw.auth.protocols import CHAP, PAP, CHAPProtocol, PAPProtocol
from pptpgw.interfaces import Forward, Stations
from pptpgw.sessions.profile import Profile
from pptpgw.testing import PASSWORD, resultOf
from tests.radius import test_checker
from tests.radius.test_checker import accept
from tests.reload.world import Users
from tests.sessions.legs import PassingWorld

PASSED = Profile("alice", forwards=(Forward("leg", "198.51.100.1"),))


@implementer(ICredentialsChecker)
class Asked:
    """
    A checker that is configured already.
    """

    def __init__(self, checker: ICredentialsChecker) -> None:
        self.credentialInterfaces = checker.credentialInterfaces
        self.requestAvatarId = checker.requestAvatarId


@pytest.mark.parametrize("method", [CHAP, PAP], ids=lambda one: one.name)
def test_judged(method: CHAPProtocol | PAPProtocol) -> None:
    """
    The server is asked about the claim that the caller has made to the other gateway, and is told
    which number calls, by which access concentrator.
    """
    servers = test_checker.World(accept())
    plain = {"encryption": "off", "methods": (method,)}
    world = PassingWorld("", [Users((PASSED,))], [Asked(servers.checker)], plain, **plain)
    world.forwarder.believed = "pop"
    world.forwarder.stations = Stations("030123", "0190", "", "gold", "42")
    placed = world.placeCall(world.connect(), methods=(method,), encryption="off")
    world.run(4)
    resultOf(placed)
    ((_, _, negotiated),) = world.forwarder.placed
    claim = negotiated.claim
    assert claim is not None
    (request,) = servers.requests
    assert request["User-Name"] == ["alice"]
    assert request["Calling-Station-Id"] == ["030123"]
    assert request["Called-Station-Id"] == ["0190"]
    assert request["NAS-Port-Id"] == ["42"]
    assert request["Tunnel-Private-Group-Id"] == ["gold"]
    assert request["Tunnel-Client-Auth-Id"] == ["pop"]
    if method is CHAP:
        assert request["CHAP-Challenge"] == [claim.challenge]
        assert request["CHAP-Password"] == [bytes((claim.identifier,)) + claim.response]
    else:
        assert request.PwDecrypt(request["User-Password"][0]) == PASSWORD.decode()
    (session,) = world.beyond.gateway.sessions
    assert session.user == "alice"
