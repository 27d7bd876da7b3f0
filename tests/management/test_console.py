"""
Tests for L{pptpgw.management.console} and L{pptpgw.management.login}: sessions of the console.
"""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from pptpgw.management.console import (
    IDLE_SECONDS,
    LINK_SECONDS,
    LONGEST_SECONDS,
    MOST_LINKS,
    MOST_OF_OPERATOR,
    MOST_SESSIONS,
    ConsoleSessions,
    cookie,
)
from pptpgw.management.operation import (
    Operator,
    OperatorRole,
    Sender,
)
from pptpgw.store.password import hashPassword
from tests.management.asking import CHEAP
from tests.management.guarded import WAYS, Guarded


@pytest.fixture
def site() -> Guarded:
    return Guarded()


class TestConsole:
    """
    Tests for the sessions of the console.
    """

    def test_cookie(self, site: Guarded) -> None:
        """
        Scripts and other sites can't get at the cookie.
        """
        answer = site.ask("POST", "/login", body={"name": "viewer", "password": "viewer"})
        name, *attributes = answer.headers["set-cookie"].split("; ")
        assert name.startswith("pptpgw-8723=") and len(name.partition("=")[2]) == 43
        assert attributes == ["Path=/", "HttpOnly", "SameSite=Strict"]
        me = answer.json
        assert (me["name"], me["role"], me["expires_seconds"]) == (
            "viewer",
            "viewer",
            LONGEST_SECONDS,
        )
        assert me["csrf_token"] not in answer.headers["set-cookie"]

    def test_secureCookie(self) -> None:
        """
        By TLS the browser sends it over TLS alone, and takes it from this host alone.
        """
        text = cookie(Sender("192.0.2.1", 8723, True), "x")
        assert text == "__Host-pptpgw-8723=x; Path=/; HttpOnly; SameSite=Strict; Secure"

    def test_me(self, site: Guarded) -> None:
        """
        The CSRF token can be had again, by the cookie alone.
        """
        headers = site.headers("cookie", "operator")
        me = site.ask(path="/me", headers={"Cookie": headers["Cookie"]}).json
        assert me["csrf_token"] == headers["X-CSRF-Token"] and me["role"] == "operator"
        assert site.ask(path="/me", headers=site.headers("token", "operator")).json == {
            "name": "operator",
            "role": "operator",
            "csrf_token": None,
            "expires_seconds": None,
        }
        assert site.ask(path="/me").status == 401

    @pytest.mark.parametrize("token", [None, "", "wrong", "\xe9"])
    def test_csrf(self, site: Guarded, token: str | None) -> None:
        """
        A cookie alone changes nothing.
        """
        headers = site.headers("cookie", "admin")
        del headers["X-CSRF-Token"]
        if token is not None:
            headers["X-CSRF-Token"] = token
        assert site.ask(headers=headers).status == 200
        for method, path in (("PUT", "/thing"), ("POST", "/logout")):
            assert site.ask(method, path, headers=headers).status == 403
        assert site.handled == 1
        assert site.ask(headers=headers).status == 200

    def test_logout(self, site: Guarded) -> None:
        """
        A session that ended can't be used again.
        """
        headers = site.headers("cookie", "viewer")
        answer = site.ask("POST", "/logout", headers=headers)
        assert answer.status == 204 and "Max-Age=0" in answer.headers["set-cookie"]
        assert site.ask(headers=headers).status == 401

    def test_idle(self, site: Guarded) -> None:
        """
        A session that isn't used ends, and so does one that is used, at last.
        """
        idle, used = site.headers("cookie", "viewer"), site.headers("cookie", "viewer")
        seconds = 0.0
        while seconds < LONGEST_SECONDS - IDLE_SECONDS / 2:
            assert site.ask(headers=used).status == 200
            site.asking.clock.advance(IDLE_SECONDS / 2)
            seconds += IDLE_SECONDS / 2
            if seconds == IDLE_SECONDS:
                assert site.ask(headers=idle).status == 401
        assert site.ask(headers=used).status == 200
        site.asking.clock.advance(IDLE_SECONDS / 2)
        assert site.ask(headers=used).status == 401

    @pytest.mark.parametrize("change", ["role", "password", "disabling", "removal", "again"])
    def test_atOnce(self, site: Guarded, change: str) -> None:
        """
        Another role or password ends an operator's sessions, and so do disabling and removal;
        other operators' sessions go on.
        """
        headers, other = site.headers("cookie", "admin"), site.headers("cookie", "viewer")
        assert site.ask(headers=headers).status == 200
        if change == "role":
            site.done(site.store.changeOperator("admin", role="viewer"))
        elif change == "password":
            site.done(site.store.changeOperator("admin", password=hashPassword(b"x", CHEAP)))
        elif change == "disabling":
            site.done(site.store.changeOperator("admin", disabled=True))
        else:
            site.done(site.store.removeOperator("admin"))
        if change == "again":
            site.done(site.store.addOperator("admin", "admin", hashPassword(b"admin", CHEAP)))
        assert site.ask(headers=headers).status == 401
        assert site.ask(headers=other).status == 200

    @pytest.mark.parametrize("way", ["basic", "token"])
    def test_roleAtOnce(self, site: Guarded, way: str) -> None:
        """
        What is judged with each request has the new role at once.
        """
        headers = site.headers(way, "admin")
        assert site.ask(path="/operators", headers=headers).status == 200
        site.done(site.store.changeOperator("admin", role="viewer"))
        assert site.ask(path="/operators", headers=headers).status == 403

    def test_bounds(self) -> None:
        """
        The number of sessions is limited, in all and of each operator; the one that wasn't used
        longest gives way.
        """
        clock = Clock()
        sessions = ConsoleSessions(clock)

        def begin(name: str) -> str:
            return sessions.begin(Operator(name, OperatorRole.VIEWER))[0]

        tokens = [begin("ann") for _ in range(MOST_OF_OPERATOR)]
        assert sessions.find(tokens[0]) is not None
        begin("ann")
        assert sessions.find(tokens[0]) is not None and sessions.find(tokens[1]) is None
        for number in range(MOST_SESSIONS):
            begin(f"n{number}")
        assert len(sessions) == MOST_SESSIONS and sessions.find(tokens[0]) is None
        clock.advance(IDLE_SECONDS)
        begin("bob")
        assert len(sessions) == 1


class TestLinks:
    """
    Tests for links that log in.
    """

    def link(self, site: Guarded) -> str:
        answer = site.asking.ask("POST", "/links")
        assert answer.json["expires_seconds"] == LINK_SECONDS
        path, _, token = answer.json["path"].partition("#login=")
        assert path == "/"
        return str(token)

    def test_once(self, site: Guarded) -> None:
        """
        A link logs in once, as whoever has opened the Unix socket, and changes need the CSRF token.
        """
        token = self.link(site)
        answer = site.ask("POST", "/login/link", body={"token": token})
        assert answer.status == 200 and answer.json["role"] == "admin"
        headers = {"Cookie": answer.headers["set-cookie"].partition(";")[0]}
        assert site.ask(path="/operators", headers=headers).status == 200
        assert site.ask("PUT", headers=headers).status == 403
        assert site.ask("POST", "/login/link", body={"token": token}).status == 401

    def test_late(self, site: Guarded) -> None:
        """
        A link is short-lived, and the number of links is limited.
        """
        token = self.link(site)
        site.asking.clock.advance(LINK_SECONDS)
        assert site.ask("POST", "/login/link", body={"token": token}).status == 401
        token = self.link(site)
        for _ in range(MOST_LINKS):
            self.link(site)
        assert site.ask("POST", "/login/link", body={"token": token}).status == 401

    @pytest.mark.parametrize("way", WAYS)
    def test_elsewhere(self, site: Guarded, way: str) -> None:
        """
        Who logs in with something that can be taken back can't make a link, which couldn't be.
        """
        assert site.ask("POST", "/links", headers=site.headers(way, "admin")).status == 403

    def test_linkFromALink(self, site: Guarded) -> None:
        """
        A session that a link began can't make another link.
        """
        answer = site.ask("POST", "/login/link", body={"token": self.link(site)})
        headers = {
            "Cookie": answer.headers["set-cookie"].partition(";")[0],
            "X-CSRF-Token": answer.json["csrf_token"],
        }
        assert site.ask("POST", "/links", headers=headers).status == 403
