"""
Tests for authentication, with pppd as the caller.
"""

import re

import pytest

from tests.lab.peers import Caller, Network
from tests.lab.server import ALICE, BOB, BOTH, ShareGateway, StartGateway

METHODS = {
    "mschapv2": ("chap MS-v2", "refuse-mschap-v2"),
    "mschap": ("chap MS", "refuse-mschap"),
    "chap": ("chap MD5", "refuse-chap"),
    "pap": ("pap", "refuse-pap"),
}
"""
The configuration's name of each method, pppd's name, and pppd's option that forbids it.
"""
EVERY = {"authentication": list(METHODS)}


def only(*methods: str) -> list[str]:
    """
    pppd's options for a caller that accepts these methods alone.
    """
    return ["refuse-eap", *(METHODS[name][1] for name in METHODS if name not in methods)]


def offers(caller: Caller) -> list[str]:
    """
    The methods that the gateway asked for, in order, by pppd's names.
    """
    found = (re.search(r"<auth ([^>]+)>", line) for line in caller.received("LCP ConfReq"))
    return [match[1] for match in found if match]


class TestMethods:
    @pytest.mark.parametrize("method", METHODS)
    def test_aCallerThatTakesOneMethodOnly(
        self, method: str, network: Network, shareGateway: ShareGateway
    ) -> None:
        """
        The gateway offers the strongest method first and follows the caller's Configure-Nak to the
        one that the caller accepts.
        """
        shareGateway(link={"encryption": "off", **EVERY})
        caller = network.host().call(*ALICE, *only(method)).up()
        assert offers(caller)[0] == "chap MS-v2"
        assert offers(caller)[-1] == METHODS[method][0]
        assert f"<auth {METHODS[method][0]}>" in caller.sent("LCP ConfAck")[-1]
        caller.ping()

    def test_MSCHAPv1EarnsKeysToo(self, network: Network, shareGateway: ShareGateway) -> None:
        shareGateway(link=EVERY)
        caller = network.host().call(*ALICE, *only("mschap"), "require-mppe-128").up()
        assert offers(caller)[-1] == "chap MS"
        assert "MPPE 128-bit stateless compression enabled" in caller.text
        caller.ping()

    def test_onlyMethodsThatEarnKeysAreOfferedWhereEncryptionIsRequired(
        self, network: Network, shareGateway: ShareGateway
    ) -> None:
        shareGateway(link=EVERY)
        caller = network.host().call(*ALICE, *only("chap", "pap"))
        assert caller.wait() != 0
        assert set(offers(caller)) <= {"chap MS-v2", "chap MS"}
        assert caller.received("LCP TermReq")

    def test_byDefaultMSCHAPv2IsTheOnlyOne(
        self, network: Network, shareGateway: ShareGateway
    ) -> None:
        shareGateway()
        caller = network.host().call(*ALICE, *only("mschap", "chap", "pap"), "require-mppe-128")
        assert caller.wait() != 0
        assert set(offers(caller)) == {"chap MS-v2"}
        assert caller.received("LCP TermReq")

    def test_aCallerThatTakesNoneOfThePermittedIsToldWhy(
        self, network: Network, startGateway: StartGateway
    ) -> None:
        startGateway(link={"encryption": "off", "authentication": ["mschapv2", "chap"]})
        caller = network.host().call(*ALICE, *only("pap"))
        assert caller.wait() != 0
        assert set(offers(caller)) <= {"chap MS-v2", "chap MD5"}
        (request,) = caller.received("LCP TermReq")[:1]
        assert re.search(r'TermReq id=\S+ "\w+', request), "no reason given"
        assert "IP address" not in caller.text


class TestFailure:
    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("user", ["alice", "nobody"])
    def test_aWrongPasswordAndAnUnknownUserAreTurnedAwayAlike(
        self, method: str, user: str, network: Network, startGateway: StartGateway
    ) -> None:
        startGateway(link={"encryption": "off", **EVERY})
        caller = network.host().call(user, "a wrong one", *only(method))
        assert caller.wait() != 0
        assert "authentication failed" in caller.text
        assert "local  IP address" not in caller.text
        refusal = caller.received("PAP AuthNak" if method == "pap" else "CHAP Failure")[0]
        # The caller isn't told which of the two was wrong.
        assert user not in refusal
        if method == "mschapv2":
            assert re.search(r'"E=691 R=1 C=[0-9A-Fa-f]{32} V=3 M=\S', refusal)

    def test_theNextCallerIsServed(self, network: Network, shareGateway: ShareGateway) -> None:
        shareGateway()
        host = network.host()
        assert host.call("alice", "a wrong one").wait() != 0
        host.call(*ALICE, "require-mppe-128").up().ping()


class TestUsers:
    def test_anAddressOfOnesOwn(self, network: Network, shareGateway: ShareGateway) -> None:
        """
        A user gets the address on the user's line of the secrets file.
        """
        shareGateway()
        caller = network.host().call(*BOB, "require-mppe-128").up()
        assert caller.address == "10.77.0.200"
        caller.ping()

    def test_aNameWithADomain(self, network: Network, shareGateway: ShareGateway) -> None:
        """
        MS-CHAPv2 hashes the name without its domain (RFC 2759 section 4).
        """
        shareGateway()
        network.host().call("NT\\carol", "staple", "require-mppe-128").up().ping()


@BOTH
def test_aChallengeDuringTheSession(network: Network, startGateway: StartGateway) -> None:
    """
    The caller is challenged again and again during the session, each time with another challenge,
    and packets pass all the time.
    """
    startGateway(link={"rechallenge": 1})
    caller = network.host().call(*ALICE, "require-mppe-128").up()
    caller.ping("10.77.0.1", "-i", "0.1", count=30)
    challenges = [re.search(r"<([0-9a-f]+)>", line) for line in caller.received("CHAP Challenge")]
    values = [match[1] for match in challenges if match]
    assert len(values) >= 3
    assert len(set(values)) == len(values)
    assert len(caller.received("CHAP Success")) >= 3
    caller.ping()
