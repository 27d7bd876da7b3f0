"""
Requests to a management site in memory, whose answers are held against its OpenAPI document.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, cast
from urllib.parse import quote

from jsonschema import Draft202012Validator
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.defer import execute
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.resource import Resource

from pptpgw.interfaces import Operated
from pptpgw.management.operating import Operating
from pptpgw.management.operation import BASE, Operations
from pptpgw.management.service import root
from pptpgw.management.site import ManagementSite
from pptpgw.management.stream import DELAY, Streams
from pptpgw.store.password import Cost
from tests.management.stored import MemoryStore

LOCAL = UNIXAddress("/run/management.sock")
REMOTE = IPv4Address("TCP", "127.0.0.1", 8723)
CHEAP = Cost(16, 1, 1)


class Answer(NamedTuple):
    """
    An answer: its status, its headers by lower-case names, and its body.
    """

    status: int
    headers: dict[str, str]
    octets: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.octets)


class SentEvent(NamedTuple):
    """
    A Server-Sent Event: its identifier, its name and its data.
    """

    identifier: str
    name: str
    data: Any


class Streaming:
    """
    The client of a stream.
    """

    def __init__(
        self, transport: StringTransport, protocol: Any, kind: str, validator: Draft202012Validator
    ) -> None:
        """
        @param kind: the media type that the document promises.
        @param validator: judges the data of events.
        """
        self.transport = transport
        self.protocol = protocol
        self._kind = kind
        self._validator = validator

    @property
    def producer(self) -> Any:
        """
        What the transport pauses when it has no room.
        """
        return self.transport.producer

    @property
    def isOver(self) -> bool:
        """
        Whether the server has ended the stream in order.
        """
        whole: bytes = self.transport.value()
        return whole.endswith(b"0\r\n\r\n")

    @property
    def octets(self) -> bytes:
        """
        What has come until now.
        """
        head, _, body = self.transport.value().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        assert f"content-type: {self._kind}" in head.decode().lower()
        return dechunked(body)

    @property
    def events(self) -> list[SentEvent]:
        """
        The events that have come until now, which are held against the document.
        """
        found = []
        for block in self.octets.decode().split("\n\n")[:-1]:
            fields = dict(line.partition(": ")[::2] for line in block.split("\n") if line != ":")
            if fields:
                data = json.loads(fields["data"])
                self._validator.validate(data)
                found.append(SentEvent(fields.get("id", ""), fields["event"], data))
        return found

    def read(self, clock: Clock) -> list[SentEvent]:
        """
        Wait until what there is has been sent, and return the events.
        """
        clock.advance(DELAY)
        return self.events

    def hangUp(self) -> None:
        """
        Lose the connection.
        """
        self.protocol.connectionLost(Failure(ConnectionDone()))


class Asking:
    """
    A management site and its client.

    @ivar store: the store that has the operators.
    @ivar operating: says who may do what.
    @ivar acts: what operators have done.
    @ivar hosts: the names in C{[management] hosts}.
    """

    def __init__(
        self,
        operations: Operations,
        pages: Mapping[bytes, Resource] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """
        @param pages: what the site has besides.
        @param clock: the clock of the site; None for a clock of its own.
        """
        self.clock = clock or Clock()
        self.streams = Streams(self.clock)
        self.store = MemoryStore(self.clock.seconds)
        self.acts: list[Operated] = []
        self.hosts: list[str] = []
        self.operating = Operating(
            self.clock,
            lambda: self.store,
            lambda: self.hosts,
            self.acts.append,
            execute,
            self.clock.seconds,
            CHEAP,
        )
        whole = Operations([*self.operating.operations(), *operations.all])
        access, told = self.operating.access, self.acts.append
        made = root(self.clock, whole, self.streams, access, told, pages)
        self.site = ManagementSite(made, self.clock, access)
        self.site.startFactory()
        self.document = self.raw("GET", f"{BASE}/openapi.json").json

    def protocol(self, transport: StringTransport) -> Any:
        """
        Connect C{transport}, and return the server's protocol.
        """
        protocol: Any = cast(Any, self.site).buildProtocol(transport.getPeer())
        protocol.makeConnection(transport)
        return protocol

    def raw(
        self,
        method: str,
        uri: str,
        octets: bytes = b"",
        host: Any = LOCAL,
        **headers: str,
    ) -> Answer:
        """
        Send a request, and return the answer.
        """
        transport = StringTransport(hostAddress=host, peerAddress=host)
        protocol = self.protocol(transport)
        headers.setdefault("Host", "localhost")
        lines = [f"{method} {uri} HTTP/1.1", f"Content-Length: {len(octets)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        protocol.dataReceived("\r\n".join([*lines, "", ""]).encode() + octets)
        protocol.connectionLost(Failure(ConnectionDone()))
        head, _, body = transport.value().partition(b"\r\n\r\n")
        first, *rest = head.decode().split("\r\n")
        pairs = (line.split(": ", 1) for line in rest)
        found = {name.lower(): value for name, value in pairs}
        if "chunked" in found.get("transfer-encoding", ""):
            body = dechunked(body)
        return Answer(int(first.split()[1]), found, body)

    def stream(
        self,
        path: str,
        lastEvent: str = "",
        host: Any = LOCAL,
        headers: Mapping[str, str] = {},
        **query: Any,
    ) -> Streaming:
        """
        Send a request for a stream.

        @param path: the path below C{/api/v1}.
        @param lastEvent: the header Last-Event-ID.
        """
        text = "&".join(f"{name}={quote(str(value))}" for name, value in query.items())
        transport = StringTransport(hostAddress=host, peerAddress=host)
        protocol = self.protocol(transport)
        every = {"Host": "localhost", "Last-Event-ID": lastEvent, **headers}
        lines = [f"GET {BASE}{path}?{text} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in every.items()]
        protocol.dataReceived("\r\n".join([*lines, "", ""]).encode())
        operation = self._operation("GET", path)
        ((kind, content),) = operation["responses"]["200"]["content"].items()
        schema = {**content.get("x-data-schema", {}), "components": self.document["components"]}
        return Streaming(transport, protocol, kind, Draft202012Validator(schema))

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        host: Any = LOCAL,
        headers: Any = None,
        **query: Any,
    ) -> Answer:
        """
        Send a request for an operation, and check its answer against the document.

        @param path: the path below C{/api/v1}.
        @param body: what the body says, if there is one.
        @param headers: headers besides the usual ones, texts by their names.
        """
        text = "&".join(f"{name}={quote(str(value))}" for name, value in query.items())
        octets = b"" if body is None else json.dumps(body).encode()
        every = {"Content-Type": "application/json", **(headers or {})}
        answer = self.raw(method, f"{BASE}{path}?{text}", octets, host, **every)
        self._check(method, path, answer)
        return answer

    def _check(self, method: str, path: str, answer: Answer) -> None:
        operation = self._operation(method, path)
        if operation is None:
            assert answer.status in (404, 405), answer
            schema: Any = {"$ref": "#/components/schemas/ProblemDetails"}
        else:
            described = operation["responses"][str(answer.status)]
            if "content" not in described:
                assert answer.octets == b""
                return
            ((kind, content),) = described["content"].items()
            assert answer.headers["content-type"] == kind
            schema = content["schema"]
        whole = {**schema, "components": self.document["components"]}
        Draft202012Validator(whole).validate(answer.json)

    def _operation(self, method: str, path: str) -> Any:
        parts = (BASE + path).split("/")
        for template, operations in self.document["paths"].items():
            wanted = template.split("/")
            same = len(parts) == len(wanted) and all(
                one == other or other.startswith("{")
                for one, other in zip(parts, wanted, strict=True)
            )
            if same and method.lower() in operations:
                return operations[method.lower()]
        return None


def dechunked(octets: bytes) -> bytes:
    """
    Undo the chunked transfer coding of a whole body.
    """
    whole = b""
    while octets:
        size, _, octets = octets.partition(b"\r\n")
        count = int(size, 16)
        whole, octets = whole + octets[:count], octets[count + 2 :]
    return whole
