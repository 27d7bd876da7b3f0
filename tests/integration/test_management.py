"""
The management interface of the whole program, on a Unix socket.
"""

from __future__ import annotations

import http.client
import json
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from tests.integration.conftest import Serve
from tests.integration.test_capture import decoded
from tests.integration.test_records import Start
from tests.integration.world import CALLER, World


class Connection(http.client.HTTPConnection):
    """
    An HTTP connection to a Unix socket.
    """

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=20)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(str(self._path))


def ask(path: Path, method: str, place: str, body: object = None) -> tuple[int, Any]:
    """
    Ask the gateway whose socket is at C{path}, and return the status and the body of its answer.
    """
    connection = Connection(path)
    try:
        octets = None if body is None else json.dumps(body)
        headers = {"Content-Type": "application/json"}
        connection.request(method, f"/api/v1{place}", octets, headers)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None
    finally:
        connection.close()


def follow(path: Path, place: str) -> tuple[Connection, http.client.HTTPResponse]:
    """
    Ask the gateway whose socket is at C{path} for a stream.
    """
    connection = Connection(path)
    connection.request("GET", f"/api/v1{place}")
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    return connection, answer


def eventsOf(answer: http.client.HTTPResponse) -> Iterator[tuple[str, Any]]:
    """
    Iterate over the names and the data of the events in a stream, as they come.
    """
    name = ""
    while line := answer.readline().decode():
        field, _, value = line.rstrip("\n").partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


def at(path: Path) -> dict[str, object]:
    """
    The section that has the management interface on a socket.
    """
    return {"endpoints": [f"unix:{path}:mode=600"]}


def test_aSessionFromItsBeginningToItsEnd(
    world: World, serve: Serve, client: Start, tmp_path: Path
) -> None:
    """
    A session is listed while it lasts, and its client hears that an operator has ended it.
    """
    path, audit = tmp_path / "folder" / "socket", tmp_path / "audit"
    served = serve(management=at(path), audit={"file": str(audit)})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    status, said = ask(path, "GET", "/status")
    assert status == 200 and said["state"] == "serving" and said["sessions"] == 0
    dialling = client()
    call = dialling.dial()
    status, listed = ask(path, "GET", "/sessions?user=alice")
    assert status == 200
    (session,) = listed["items"]
    assert session["addresses"] == [call["address"]]
    assert ask(path, "DELETE", f"/sessions/{session['session_id']}")[0] == 200
    served.waitFor("uid 0: DELETE /api/v1/sessions/")
    served.waitFor("disconnected by uid 0")
    assert dialling.ask("ended", call["number"])["cause"]
    assert ask(path, "GET", "/sessions")[1]["total"] == 0
    assert served.interrupt() == 0
    events = [json.loads(line) for line in audit.read_text().splitlines()]
    (act,) = [one for one in events if one["event"] == "operated"]
    assert act["operator"] == act["from"] == "uid 0" and act["outcome"] == "done"
    assert act["action"] == "DELETE /sessions/{session_id}"
    assert act["target"] == f"/api/v1/sessions/{session['session_id']}"


def test_aSocketThatWasLeft(serve: Serve, world: World, tmp_path: Path) -> None:
    """
    The socket of a gateway that was killed is replaced, and an orderly end removes it.
    """
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    served = serve(management=at(path))
    assert ask(path, "GET", "/status")[0] == 200
    assert served.interrupt() == 0
    assert not path.exists()


def test_aSocketThatIsTaken(world: World, serve: Serve, tmp_path: Path) -> None:
    """
    A socket on which another program listens is not taken from it: the gateway doesn't start.
    """
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(AssertionError, match="can't be opened"):
            serve(management=at(path))
        assert path.exists()


def test_events(world: World, serve: Serve, client: Start, tmp_path: Path) -> None:
    """
    A session is told of from its start to its end, on a stream that ends when the gateway stops.
    """
    path = tmp_path / "socket"
    served = serve(management=at(path))
    connection, answer = follow(path, "/events?user=alice")
    try:
        events = eventsOf(answer)
        dialling = client()
        dialling.dial()
        name, started = next(events)
        assert name == "session-started"
        name, opened = next(events)
        assert (name, opened["change"], opened["protocol"]) == ("session-changed", "opened", "ipv4")
        ask(path, "DELETE", f"/sessions/{started['session_id']}")
        while name != "session-ended":
            name, ended = next(events)
        assert ended["cause"].startswith("disconnected by uid ")
        served.interrupt()
        assert list(events) == []
    finally:
        connection.close()


def test_trace(world: World, serve: Serve, client: Start, tmp_path: Path) -> None:
    """
    A caller that isn't there yet is traced while it negotiates, and the audit names the operator.
    """
    path = tmp_path / "socket"
    served = serve(management=at(path))
    connection, answer = follow(path, "/trace?user=alice&for=60")
    try:
        served.waitFor("uid 0: GET /api/v1/trace.user=alice&for=60: begins")
        client().dial()
        text = ""
        for _, line in eventsOf(answer):
            text += f"{line['text']}\n"
            if line["text"] == "ipv4: passed":
                break
        assert "rcvd [LCP ConfReq id=" in text and "sent [IPCP ConfAck id=" in text
    finally:
        connection.close()
    served.waitFor(": over, ")
    status, why = ask(path, "GET", "/why/alice")
    assert status == 200 and why["findings"][0]["text"].startswith("A call of 'alice' is up")


def test_capture(world: World, serve: Serve, client: Start, tmp_path: Path) -> None:
    """
    tshark reads the pings of a session that went on before its capture began, and its end.
    """
    path, file = tmp_path / "socket", tmp_path / "capture.pcapng"
    served = serve(management=at(path))
    dialling = client()
    call = dialling.dial()
    assert call["encryption"] == "MPPE 128 bit stateless"
    connection, answer = follow(path, "/capture?user=alice&for=60")
    try:
        served.waitFor("/api/v1/capture.user=alice&for=60: begins")
        assert answer.headers["Content-Type"] == "application/x-pcapng"
        assert dialling.ask("ping", call["number"]) == {}
        ask(path, "DELETE", "/sessions?user=alice")
        file.write_bytes(answer.read())
    finally:
        connection.close()
    frames = decoded(file)
    assert {frame.interface for frame in frames} == {f"alice@{CALLER}"}
    echoes = [frame.received for frame in frames if frame.layers.startswith("ppp:ip:icmp")]
    assert True in echoes and False in echoes
    assert any(frame.protocol == 0xC021 for frame in frames)


def test_history(world: World, serve: Serve, client: Start, tmp_path: Path) -> None:
    """
    The figures of the last seconds have a session and its set-up time, and those of the last days
    are written when the gateway stops.
    """
    path, file = tmp_path / "socket", tmp_path / "history"
    served = serve(management={**at(path), "history": str(file)})

    def shows(sessions: float) -> Any:
        deadline = monotonic() + 20
        while True:
            _, shown = ask(path, "GET", "/history?range=10m")
            if sessions in shown["sessions"]:
                return shown
            assert monotonic() < deadline, shown
            sleep(0.2)

    # A call is counted from one second to the next.
    shows(0.0)
    client().dial()
    shown = shows(1.0)
    assert sum(shown["calls"]) == 1
    assert any(one is not None and 0 < one < 20 for one in shown["setup_p95_seconds"])
    assert served.interrupt() == 0
    assert file.exists()
