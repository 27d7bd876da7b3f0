"""
Tests for L{pptpgw.management.site}, L{pptpgw.management.api} and L{pptpgw.management.document},
with operations of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Struct
from openapi_spec_validator import validate
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from pptpgw.error import ConfigurationError, Unavailable
from pptpgw.management.api import ANSWER_SECONDS
from pptpgw.management.operation import BASE, Operation, OperationRequest, Operations, OperatorRole
from pptpgw.management.site import LARGEST_BODY
from pptpgw.store.error import Taken, Unknown
from tests.management.asking import LOCAL, REMOTE, Asking


class Thing(Struct):
    """
    A thing.

    @ivar name: what it is called.
    """

    name: str


class Fixture:
    """
    A site whose operations do what a test wants.
    """

    def __init__(self) -> None:
        self.handler: Callable[[OperationRequest], Any] = lambda request: Thing("made")
        self.asking = Asking(
            Operations(
                [
                    Operation("GET", "/things/{name}", "Show a thing.", self._handle, Thing),
                    Operation(
                        "PUT",
                        "/things/{name}",
                        "Make a thing.",
                        self._handle,
                        body=Thing,
                        role=OperatorRole.ADMIN,
                    ),
                ]
            )
        )

    def _handle(self, request: OperationRequest) -> Any:
        return self.handler(request)


@pytest.fixture
def site() -> Fixture:
    return Fixture()


class TestAnswers:
    """
    Tests for answers.
    """

    def test_names(self, site: Fixture) -> None:
        """
        The parts of the path are decoded.
        """
        site.handler = lambda request: Thing(request.names["name"])
        answer = site.asking.raw("GET", f"{BASE}/things/a%2Fb%20%C3%A9")
        assert answer.json == {"name": "a/b é"}

    def test_headers(self, site: Fixture) -> None:
        """
        Answers aren't kept, and don't say which software has made them.
        """
        answer = site.asking.ask("GET", "/things/one")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "server" not in answer.headers

    def test_head(self, site: Fixture) -> None:
        """
        HEAD is answered like GET, without the body.
        """
        answer = site.asking.raw("HEAD", f"{BASE}/things/one")
        assert (answer.status, answer.octets) == (200, b"")

    def test_nothing(self, site: Fixture) -> None:
        """
        An operation without an answer answers 204.
        """
        site.handler = lambda request: None
        assert site.asking.ask("PUT", "/things/one", {"name": "x"}).status == 204

    @pytest.mark.parametrize(
        ("error", "status"),
        [
            (Unknown("no such user"), 404),
            (Taken("it is there"), 409),
            (ConfigurationError("no such pool"), 400),
            (Unavailable("no database"), 503),
        ],
    )
    def test_errors(self, site: Fixture, error: Exception, status: int) -> None:
        """
        Exceptions of the gateway become problems with their text.
        """

        async def fail(request: OperationRequest) -> None:
            raise error

        site.handler = fail
        answer = site.asking.ask("PUT", "/things/one", {"name": "x"})
        assert answer.status == status and answer.json["detail"] == str(error)

    def test_bug(self, site: Fixture, loggedFailures: list[Failure]) -> None:
        """
        Another exception is logged, and nothing of it is answered.
        """
        site.handler = lambda request: 1 // 0
        answer = site.asking.ask("GET", "/things/one")
        assert answer.status == 500 and "division" not in answer.json["detail"]
        (failure,) = loggedFailures
        assert failure.check(ZeroDivisionError)
        loggedFailures.clear()

    @pytest.mark.parametrize(
        ("method", "path", "status"), [("GET", "/nothing", 404), ("DELETE", "/things/a", 405)]
    )
    def test_nothingThere(self, site: Fixture, method: str, path: str, status: int) -> None:
        """
        An unknown path and an unknown method are problems too.
        """
        assert site.asking.ask(method, path).status == status


class TestRequests:
    """
    Tests for requests that are refused before an operation is called.
    """

    def test_otherRoles(self, site: Fixture) -> None:
        """
        A request by TCP is refused.
        """
        site.handler = lambda request: pytest.fail("it was asked")
        assert site.asking.ask("GET", "/things/a", host=REMOTE).status == 401

    def test_kindOfBody(self, site: Fixture) -> None:
        """
        A body that a form of another site could send isn't read.
        """
        site.handler = lambda request: pytest.fail("it was asked")
        answer = site.asking.raw(
            "PUT", f"{BASE}/things/a", b'{"name": "x"}', Content_Type="text/plain"
        )
        assert answer.status == 415

    @pytest.mark.parametrize("octets", [b"", b"{", b'{"name": 3}', b"\xff", b"[]", b"null"])
    def test_badBody(self, site: Fixture, octets: bytes) -> None:
        """
        A body that can't be read is refused.
        """
        answer = site.asking.raw("PUT", f"{BASE}/things/a", octets, Content_Type="application/json")
        assert answer.status == 400

    def test_longBody(self, site: Fixture) -> None:
        """
        A body that is announced to be too long is not waited for.
        """
        transport = StringTransport(hostAddress=LOCAL)
        protocol: Any = site.asking.protocol(transport)
        protocol.dataReceived(
            b"PUT %b/things/a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
            % (BASE.encode(), LARGEST_BODY + 1)
        )
        assert transport.value().startswith(b"HTTP/1.1 413 ")
        assert transport.disconnecting

    def test_longChunks(self, site: Fixture) -> None:
        """
        A body in chunks is cut off at the limit.
        """
        transport = StringTransport(hostAddress=LOCAL)
        protocol: Any = site.asking.protocol(transport)
        protocol.dataReceived(
            b"PUT %b/things/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            % BASE.encode()
        )
        chunk = b"%x\r\n%b\r\n" % (1 << 16, bytes(1 << 16))
        for _ in range(LARGEST_BODY >> 16):
            protocol.dataReceived(chunk)
            assert not transport.disconnecting
        protocol.dataReceived(chunk)
        assert transport.value().startswith(b"HTTP/1.1 413 ")
        assert transport.disconnecting


class TestWaiting:
    """
    Tests for answers that take time.
    """

    def begin(self, site: Fixture) -> tuple[StringTransport, Any, list[Any], Deferred[Any]]:
        cancelled: list[Any] = []
        waiting: Deferred[Any] = Deferred(cancelled.append)
        site.handler = lambda request: waiting
        transport = StringTransport(hostAddress=LOCAL)
        protocol = site.asking.protocol(transport)
        protocol.dataReceived(b"GET %b/things/a HTTP/1.1\r\nHost: x\r\n\r\n" % BASE.encode())
        return transport, protocol, cancelled, waiting

    def test_later(self, site: Fixture) -> None:
        """
        An answer is sent when it is there.
        """
        transport, _, _, waiting = self.begin(site)
        assert transport.value() == b""
        waiting.callback(Thing("late"))
        assert transport.value().startswith(b"HTTP/1.1 200 ") and b"late" in transport.value()

    def test_tooLate(self, site: Fixture) -> None:
        """
        An operation that takes too long is cancelled.
        """
        transport, _, cancelled, _ = self.begin(site)
        site.asking.clock.advance(ANSWER_SECONDS)
        assert len(cancelled) == 1
        assert transport.value().startswith(b"HTTP/1.1 503 ")

    def test_nobodyWaits(self, site: Fixture) -> None:
        """
        An operation is cancelled when its client hangs up.
        """
        timers = len(site.asking.clock.getDelayedCalls())
        transport, protocol, cancelled, _ = self.begin(site)
        protocol.connectionLost(Failure(ConnectionLost()))
        assert len(cancelled) == 1 and transport.value() == b""
        assert len(site.asking.clock.getDelayedCalls()) == timers

    def test_nobodyWaitsForWhatEndsInItsOwnWay(self, site: Fixture) -> None:
        """
        When its client hangs up, an operation may end with another error or with an answer, which
        nobody is sent.
        """
        for end in (
            lambda waiting: waiting.errback(Unavailable("it was cancelled")),
            lambda waiting: waiting.callback(Thing("late")),
        ):
            waits: Deferred[Thing] = Deferred(end)
            site.handler = lambda request, waits=waits: waits  # type: ignore[misc]
            transport = StringTransport(hostAddress=LOCAL, peerAddress=LOCAL)
            protocol = site.asking.protocol(transport)
            protocol.dataReceived(f"GET {BASE}/things/one HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            protocol.connectionLost(Failure(ConnectionLost()))
            assert transport.value() == b""


def test_document(site: Fixture) -> None:
    """
    The OpenAPI document is valid, and says what docstrings say.
    """
    document = site.asking.document
    validate(document)
    assert document["components"]["schemas"]["Thing"]["properties"]["name"]["description"] == (
        "What it is called."
    )
    operation = document["paths"][f"{BASE}/things/{{name}}"]["put"]
    assert operation["x-role"] == "admin"
    assert operation["parameters"][0]["in"] == "path"
