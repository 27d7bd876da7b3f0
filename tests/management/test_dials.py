"""
Tests for L{pptpgw.management.dials}.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pptpgw.management.dials import Dials
from pptpgw.management.operation import Operations
from pptpgw.management.rates import Rates
from pptpgw.management.sessions import Sessions
from tests.dialling.test_service import NORTH, Sites
from tests.management.asking import Asking
from tests.management.managed import Managed


class Fixture:
    """
    A gateway that dials another one, and its management site.
    """

    def __init__(self, folder: Path) -> None:
        self.sites = sites = Sites(folder)
        self.managed = managed = Managed()
        managed.dialling = sites.dialling
        managed.sessions = sites.south.gateway.sessions
        rates = Rates(sites.north.clock, managed.sessions)
        subjects = Dials(managed), Sessions(managed, rates)
        operations = [one for subject in subjects for one in subject.operations()]
        self.asking = Asking(Operations(operations))

    def ask(self, method: str, path: str, **query: Any) -> Any:
        answer = self.asking.ask(method, path, **query)
        assert answer.status == 200, answer.json
        return answer.json


@pytest.fixture
def fixture(tmp_path: Path) -> Fixture:
    return Fixture(tmp_path)


def test_list(fixture: Fixture) -> None:
    """
    Each call is told with its state, its session, and when it is dialled next.
    """
    sites = fixture.sites
    sites.isThere = False
    sites.start()
    (found,) = fixture.ask("GET", "/dials", state="wait*")["items"]
    assert (found["name"], found["address"], found["wanted"]) == ("north", NORTH, True)
    assert 0 < found["next_seconds"] <= 5 and found["failures"] == 1
    assert "refused" in found["reason"] and found["session_id"] is None
    sites.isThere = True
    sites.run(10, 0.01)
    found = fixture.ask("GET", "/dials/north")
    assert (found["state"], found["next_seconds"]) == ("up", None)
    (session,) = fixture.ask("GET", "/sessions", direction="out")["items"]
    assert found["session_id"] == session["session_id"]
    assert fixture.ask("GET", "/sessions", direction="in")["items"] == []


def test_steering(fixture: Fixture) -> None:
    """
    An operator ends a call, which stays down until it is asked for.
    """
    sites = fixture.sites
    sites.start()
    assert fixture.ask("DELETE", "/dials/north/call")["state"] == "ending"
    sites.run(300, 0.1)
    found = fixture.ask("GET", "/dials/north")
    assert (found["state"], found["wanted"]) == ("off", False)
    assert "operator" in found["reason"]
    assert fixture.ask("PUT", "/dials/north/call")["state"] == "dialling"
    sites.run(1)
    assert fixture.ask("GET", "/dials/north")["state"] == "up"


def test_unknown(fixture: Fixture) -> None:
    for method, path in (("GET", "/dials/none"), ("PUT", "/dials/none/call")):
        assert fixture.asking.ask(method, path).status == 404
