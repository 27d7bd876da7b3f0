"""
Tests for L{pptpgw.management.access} and L{pptpgw.management.credentials}: who may make a request,
and which roles operations need.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any, cast

import pytest
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from pptpgw.config.section import ManagementSection
from pptpgw.management.connections import MOST_CONNECTIONS, MOST_OF_SOURCE
from pptpgw.management.credentials import OperatorRealm
from pptpgw.management.judging import (
    WRONG,
    WRONG_TOKEN,
)
from pptpgw.management.operation import (
    BASE,
    OperatorRole,
)
from pptpgw.management.service import ManagementService
from pptpgw.store.password import hashPassword
from pptpgw.testing import resultOf
from tests.management.asking import CHEAP, LOCAL, REMOTE, Asking
from tests.management.guarded import ROLES, WAYS, Guarded, headersOf
from tests.management.managed import Managed


@pytest.fixture
def site() -> Guarded:
    return Guarded()


class TestWays:
    """
    Tests for the ways of logging in.
    """

    @pytest.mark.parametrize("way", WAYS)
    def test_right(self, site: Guarded, way: str) -> None:
        """
        An operator who logs in is who makes the request, and what is changed is told.
        """
        headers = site.headers(way, "viewer")
        assert site.ask(headers=headers).json == {"by": "viewer"}
        site.asking.acts.clear()
        assert site.ask("PUT", headers=headers).status == 200
        (act,) = site.asking.acts
        assert (act.operator, act.source, act.outcome) == ("viewer", "127.0.0.1", "done")
        assert (act.action, act.target) == ("PUT /thing", f"{BASE}/thing?")

    def test_nobody(self, site: Guarded) -> None:
        """
        Who doesn't log in is answered how to, also for the document.
        """
        for answer in (site.ask(), site.asking.raw("GET", f"{BASE}/openapi.json", host=REMOTE)):
            assert answer.status == 401
            assert answer.headers["www-authenticate"] == 'Bearer realm="pptpgw"'
        assert site.handled == 0

    @pytest.mark.parametrize(
        "authorization",
        [
            "Basic " + b64encode(b"viewer:wrong").decode(),
            "Basic " + b64encode(b"nobody:viewer").decode(),
            "Basic " + b64encode(b"viewer").decode(),
            "Basic " + b64encode(b":").decode(),
            "Basic " + b64encode(b"\xff:\xff").decode(),
            "Basic " + b64encode(b"x" * 65 + b":viewer").decode(),
            "Basic " + b64encode(b"viewer:" + bytes(2000)).decode(),
            "Basic viewer:viewer",
            "Basic",
            "Bearer",
            "Bearer pptpgw_",
            "Digest viewer",
            "",
        ],
    )
    def test_wrong(self, site: Guarded, authorization: str) -> None:
        """
        Wrong credentials are refused, also beside a right cookie.
        """
        headers = {**site.headers("cookie", "viewer"), "Authorization": authorization}
        assert site.ask(headers=headers).status == 401
        assert site.handled == 0

    def test_noPassword(self, site: Guarded) -> None:
        """
        An operator without a password can't log in by an empty one.
        """
        site.done(site.store.addOperator("robot", "admin", ""))
        answer = site.ask("POST", "/login", body={"name": "robot", "password": ""})
        assert answer.status == 401 and answer.json["detail"] == WRONG

    def test_unknownRole(self, site: Guarded) -> None:
        """
        A role of another version may do nothing.
        """
        for role in ("owner", "nobody", ""):
            site.done(site.store.changeOperator("viewer", role=role))
            assert site.ask(headers=site.headers("token", "viewer")).status == 401

    @pytest.mark.parametrize("way", ["basic", "token"])
    def test_disabled(self, site: Guarded, way: str) -> None:
        """
        A disabled operator is refused like an unknown one, until enabled again.
        """
        headers = site.headers(way, "viewer")
        site.done(site.store.changeOperator("viewer", disabled=True))
        answer = site.ask(headers=headers)
        assert answer.status == 401
        assert answer.json["detail"] == (WRONG if way == "basic" else WRONG_TOKEN)
        site.done(site.store.changeOperator("viewer", disabled=False))
        assert site.ask(headers=headers).status == 200

    def test_expiredToken(self, site: Guarded) -> None:
        """
        A token ends with its time.
        """
        token = site.done(site.store.addToken("viewer", "short", 100.0))
        headers = {"Authorization": f"Bearer {token}"}
        site.asking.clock.advance(99)
        assert site.ask(headers=headers).status == 200
        site.asking.clock.advance(1)
        assert site.ask(headers=headers).status == 401

    def test_outage(self, site: Guarded) -> None:
        """
        While the store doesn't answer nobody is let in, and nobody is told that a password is
        wrong.
        """
        ways = [site.headers(way, "viewer") for way in WAYS]
        site.store.database.fault = "no database"
        for headers in ways:
            assert site.ask(headers=headers).status == 503
        assert site.handled == 0

    def test_realm(self) -> None:
        """
        The realm knows no anonymous operator, and nothing else.
        """
        realm = OperatorRealm()
        with pytest.raises(NotImplementedError):
            realm.requestAvatar(b"x", None)
        from pptpgw.management.operation import IOperator

        with pytest.raises(UnauthorizedLogin):
            realm.requestAvatar((), None, IOperator)


class TestBrowsers:
    """
    Tests for requests that other sites make browsers send.
    """

    @pytest.mark.parametrize(
        ("host", "status"),
        [
            ("localhost", 200),
            ("LOCALHOST:8723", 200),
            ("localhost.", 200),
            ("127.0.0.1:8723", 200),
            ("127.3.2.1", 200),
            ("[::1]:8723", 200),
            ("gw.example.net:8723", 200),
            ("evil.example:8723", 421),
            ("localhost.evil.example", 421),
            ("192.0.2.7", 421),
            ("", 421),
            ("[", 421),
            ("127.0.0.1.evil.example", 421),
        ],
    )
    def test_host(self, site: Guarded, host: str, status: int) -> None:
        """
        Only the gateway's own names are answered, whoever asks.
        """
        site.asking.hosts.append("GW.example.net")
        headers = {**site.headers("token", "viewer"), "Host": host}
        assert site.ask(headers=headers).status == status
        answer = site.asking.raw("GET", "/elsewhere", host=REMOTE, Host=host)
        assert answer.status == (404 if status == 200 else 421)

    @pytest.mark.parametrize("local", ["192.0.2.7", "2001:db8::7"])
    def test_ownAddress(self, site: Guarded, local: str) -> None:
        """
        The address that the client has connected to is a name of the gateway.
        """
        made = IPv6Address if ":" in local else IPv4Address
        here = made("TCP", local, 8723)
        for host, status in ((local, 401), ("192.0.2.8", 421), ("2001:db8::8", 421)):
            given = f"[{host}]:8723" if ":" in host else host
            answer = site.asking.raw("GET", f"{BASE}/thing", host=here, Host=given)
            assert answer.status == status

    @pytest.mark.parametrize(
        ("origin", "status"),
        [
            ("http://localhost:8723", 200),
            ("https://localhost:8723", 200),
            ("http://localhost", 403),
            ("http://evil.example", 403),
            ("null", 403),
            ("http://[", 403),
        ],
    )
    @pytest.mark.parametrize("way", WAYS)
    def test_origin(self, site: Guarded, way: str, origin: str, status: int) -> None:
        """
        What a page of another site asks for is not done.
        """
        headers = {**site.headers(way, "admin"), "Host": "localhost:8723", "Origin": origin}
        assert site.ask("PUT", headers=headers).status == status
        assert site.handled == (status == 200)
        assert site.ask(headers=headers).status == 200

    def test_originOfLogins(self, site: Guarded) -> None:
        """
        Another site can't log a browser in.
        """
        headers = {"Origin": "http://evil.example"}
        body = {"name": "viewer", "password": "viewer"}
        assert site.ask("POST", "/login", body=body, headers=headers).status == 403

    @pytest.mark.parametrize("path", [f"{BASE}/thing", f"{BASE}/nothing", "/", "/elsewhere", "*"])
    @pytest.mark.parametrize("host", ["localhost", "evil.example"])
    def test_headers(self, site: Guarded, path: str, host: str) -> None:
        """
        Every answer forbids frames, other sites' scripts and telling others where one was.
        """
        for place in (LOCAL, REMOTE):
            method = "OPTIONS" if path == "*" else "GET"
            headers = site.asking.raw(method, path, host=place, Host=host).headers
            policy = headers["content-security-policy"].split("; ")
            assert policy[0] == "default-src 'none'" and "frame-ancestors 'none'" in policy
            assert not [one for one in policy if "unsafe" in one or "*" in one]
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["x-frame-options"] == "DENY"
            assert headers["cache-control"] == "no-store"


def test_sources(site: Guarded) -> None:
    """
    All addresses of an IPv6 network of 64 bits are one source, and an IPv4 address is its own in
    either form.
    """
    found = []
    for text in ("2001:db8::7", "2001:db8::8", "::ffff:192.0.2.1"):
        peer = IPv6Address("TCP", text, 1234)
        site.asking.raw(
            "GET", f"{BASE}/thing", host=peer, Authorization="Bearer x", Host=f"[{text}]"
        )
        found.append(site.asking.acts[-1].source)
    assert found == ["2001:db8::/64", "2001:db8::/64", "192.0.2.1"]


@pytest.fixture(scope="module")
def everything() -> Asking:
    """
    All operations that the gateway has.
    """
    world = Managed()
    service = ManagementService(world.clock, ManagementSection(()), world)
    asking = Asking(service.operations)
    for role in ROLES:
        resultOf(asking.store.addOperator(role, role, hashPassword(role.encode(), CHEAP)))
    return asking


class TestRoles:
    """
    Tests for the roles that operations need.
    """

    @pytest.mark.parametrize("way", [*WAYS, ""])
    @pytest.mark.parametrize("role", ROLES)
    def test_all(self, everything: Asking, way: str, role: str) -> None:
        """
        Every operation refuses whoever lacks its role, before it reads anything, and nobody else.
        """
        headers = headersOf(everything, way, role) if way else {}
        given = OperatorRole[role.upper()] if way else OperatorRole.NOBODY
        seen = 0
        for template, methods in everything.document["paths"].items():
            for method, described in methods.items():
                needed = OperatorRole[described["x-role"].upper()]
                path = template.removeprefix(BASE).replace("{", "no-").replace("}", "")
                if path == "/logout":
                    continue
                # The type is none that is read: whoever may ask gets no further.
                sent = {**headers, "Content-Type": "text/x-nothing"}
                answer = everything.raw(
                    method.upper(), f"{BASE}{path}?no-such-parameter=1", b"", REMOTE, **sent
                )
                if given < needed:
                    assert answer.status == (403 if way else 401), (method, path)
                else:
                    assert answer.status == 400, (method, path, answer)
                seen += 1
        assert seen >= 20

    def test_needed(self, everything: Asking) -> None:
        """
        Nothing that changes the gateway is open to viewers, and nothing but logging in to nobody.
        """
        needed: dict[str, set[str]] = {}
        for path, methods in everything.document["paths"].items():
            for method, described in methods.items():
                name = f"{method.upper()} {path.removeprefix(BASE)}"
                needed.setdefault(described["x-role"], set()).add(name)
        assert needed["nobody"] == {"POST /login", "POST /login/link"}
        assert {one for one in needed["viewer"] if not one.startswith("GET ")} == {"POST /logout"}
        assert not any("/operators" in one for one in needed["viewer"] | needed["operator"])

    def test_refusalIsTold(self, site: Guarded) -> None:
        """
        What an operator may not do is told.
        """
        headers = site.headers("token", "viewer")
        assert site.ask("DELETE", "/operators/admin", headers=headers).status == 403
        act = site.asking.acts[-1]
        assert (act.operator, act.action) == ("viewer", "DELETE /operators/{name}")
        assert "needs the role admin" in act.outcome


@pytest.mark.parametrize(
    "name", ["Host", "Origin", "Authorization", "X-CSRF-Token", "Cookie", "Content-Type"]
)
def test_octets(site: Guarded, name: str) -> None:
    """
    Headers that aren't UTF-8 are refused, and are no failure of the gateway.
    """
    headers = {"Host": "localhost", **site.headers("cookie", "admin")}
    lines = [f"{one}: {text}" for one, text in headers.items() if one != name]
    head = "\r\n".join([f"PUT {BASE}/thing HTTP/1.1", *lines, f"{name}: "]).encode()
    transport = StringTransport(hostAddress=REMOTE, peerAddress=REMOTE)
    site.asking.protocol(transport).dataReceived(head + b"\xff\xfe\r\n\r\n")
    status = int(transport.value().split()[1])
    assert status in (400, 401, 403, 421) or (name == "Content-Type" and status == 200)


class TestConnections:
    """
    Tests for L{pptpgw.management.connections}.
    """

    def connect(self, site: Guarded, host: str) -> Any:
        address = IPv4Address("TCP", host, 1234)
        protocol: Any = cast(Any, site.asking.site).buildProtocol(address)
        if protocol is not None:
            protocol.makeConnection(StringTransport(hostAddress=REMOTE, peerAddress=address))
        return protocol

    def test_limits(self, site: Guarded) -> None:
        """
        The connections of one address and of all are limited, and closed ones don't count.
        """
        first = [self.connect(site, "192.0.2.1") for _ in range(MOST_OF_SOURCE)]
        assert None not in first and self.connect(site, "192.0.2.1") is None
        first[0].connectionLost(Failure(ConnectionDone()))
        assert self.connect(site, "192.0.2.1") is not None
        more = [self.connect(site, f"192.0.2.{number}") for number in range(2, 256)]
        assert len([one for one in more if one]) == MOST_CONNECTIONS - MOST_OF_SOURCE
        assert self.connect(site, "203.0.113.1") is None
        assert cast(Any, site.asking.site).buildProtocol(LOCAL) is not None
