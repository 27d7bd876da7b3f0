"""
Tests for L{pptpgw.management.importing}.
"""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Any, get_args

import pytest

from pptpgw.management.importing import AUTO, LARGEST_FILE, LISTED, FormatName
from pptpgw.management.site import LARGEST_BODY
from pptpgw.ppp.mschap import ntPasswordHash
from pptpgw.userfiles.format import FORMATS
from tests.management.asking import REMOTE
from tests.management.guarded import headersOf
from tests.management.stored import MemoryStore
from tests.management.test_users import Fixture
from tests.userfiles import test_freeradius, test_routeros

ACCEL = "ann * secret 10.88.0.12 2048/512\nbob * y * fast\n"


def body(content: str | bytes, **more: Any) -> dict[str, Any]:
    octets = content if isinstance(content, bytes) else content.encode()
    return {"content": b64encode(octets).decode(), **more}


def outcomes(answer: Any) -> dict[str, str]:
    return {one["name"]: one["outcome"] for one in answer["users"]}


@pytest.fixture
def gateway(tmp_path: Path) -> Fixture:
    made = Fixture(tmp_path)
    made.done("POST", "/profiles", {"name": "staff"})
    made.make("alice", profile="staff", attributes={"sessions": 2})
    return made


def preview(gateway: Fixture, content: str | bytes, **more: Any) -> Any:
    return gateway.done("POST", "/import", body(content, **more), dry_run="true")


def test_everyFormatCanBeNamed() -> None:
    assert set(get_args(FormatName)) == {AUTO, *FORMATS}


def test_theLargestFileFitsInABody() -> None:
    assert len(b64encode(bytes(LARGEST_FILE))) + 1000 < LARGEST_BODY


def test_aPreviewChangesNothing(gateway: Fixture) -> None:
    """
    It says what would become of each user, the bad lines first with their reasons, and no secret.
    """
    content = f"alice * z *\n{ACCEL}carol * secret 10.77.0.10-10.77.0.11\n"
    answer = preview(gateway, content)
    assert (answer["format"], answer["done"]) == ("accel", False)
    assert (answer["added"], answer["changed"], answer["left_out"]) == (1, 0, 3)
    assert [(one["line"], one["name"], one["outcome"], one["why"]) for one in answer["users"]] == [
        (1, "alice", "left out", "there is a user alice already"),
        (3, "bob", "left out", "speed 'fast': must be DOWN/UP in kilobits a second"),
        (
            4,
            "carol",
            "left out",
            "there is no pool 10.77.0.10-10.77.0.11: [[ipv4.pools]] has default, staff",
        ),
        (2, "ann", "added", ""),
    ]
    assert answer["users"][3]["attributes"] == {
        "address": "10.88.0.12",
        "send_rate": 2_048_000,
        "receive_rate": 512_000,
    }
    assert "secret" not in str(answer)
    assert gateway.users() == ["alice"]


def test_allOrNothing(gateway: Fixture) -> None:
    """
    Bad lines keep a file from being taken, unless they are skipped.
    """
    answer = gateway.ask("POST", "/import", body(ACCEL))
    assert answer.status == 400
    assert "nothing is imported: 1 of 2 users can't be taken" in answer.json["detail"]
    assert gateway.users() == ["alice"]
    done = gateway.done("POST", "/import", body(ACCEL, skip_errors=True))
    assert (done["done"], done["added"], done["left_out"]) == (True, 1, 1)
    assert gateway.users() == ["alice", "ann"]
    assert gateway.account("ann").ntHash == ntPasswordHash(b"secret")
    assert gateway.account("ann").sealed == ""


def test_usersThatExistAreChanged(gateway: Fixture) -> None:
    """
    What the file says replaces what the store has; sessions go on.
    """
    assert gateway.dial("alice")
    answer = preview(gateway, "alice * z *\n", update=True)
    assert (outcomes(answer), answer["sessions"]) == ({"alice": "changed"}, 1)
    done = gateway.done("POST", "/import", body("alice * z *\n", update=True, recoverable=True))
    assert (done["changed"], done["added"], done["sessions"]) == (1, 0, 1)
    alice = gateway.account("alice")
    assert alice.ntHash == ntPasswordHash(b"z") and alice.shared == "staff"
    assert gateway.store.vault.open("alice", alice.sealed) == b"z"
    assert gateway.connected() == ["alice"]


def test_addressesAreReserved(gateway: Fixture) -> None:
    """
    Nobody else gets an address that an imported user owns.
    """
    gateway.make("zoe")
    gateway.done("POST", "/import", body("ann * x 10.77.0.10\nbob * x 10.77.0.11\n"))
    assert not gateway.dial("zoe")
    assert gateway.dial("ann", "x")


@pytest.mark.parametrize(
    ("content", "format"),
    [
        (test_routeros.FILE, "routeros"),
        (test_freeradius.FILE, "freeradius"),
        (b'{"name": "ann", "password": "x"}\n', "json"),
        (b"# nothing\n", "chap-secrets"),
        (b"", "chap-secrets"),
    ],
)
def test_formats(gateway: Fixture, content: bytes, format: str) -> None:
    assert preview(gateway, content)["format"] == format
    assert preview(gateway, content, format="json")["format"] == "json"


def test_theServerOfChapSecrets(gateway: Fixture) -> None:
    """
    Lines for another server are left out; which one is ours can be said.
    """
    content = "ann pptpgw x *\nbob branch x *\n"
    assert outcomes(preview(gateway, content)) == {"ann": "added", "bob": "left out"}
    other = preview(gateway, content, server="branch")
    assert outcomes(other) == {"ann": "left out", "bob": "added"}


def test_anotherStoreThatHasTheUser(gateway: Fixture) -> None:
    other = MemoryStore(gateway.now)
    gateway.world.stores = (gateway.store, other)
    other.addAccount("ann", b"x")
    other.addAccount("alice", b"x")
    answer = preview(gateway, "ann * x *\nalice * x *\n", update=True)
    assert outcomes(answer) == {"ann": "left out", "alice": "changed"}


def test_manyUsers(gateway: Fixture) -> None:
    """
    An answer lists so many users at most, and counts them all.
    """
    content = "".join(f"u{one} * x *\n" for one in range(LISTED)) + "bad\n"
    answer = preview(gateway, content)
    assert (answer["added"], answer["left_out"], len(answer["users"])) == (LISTED, 1, LISTED)
    assert answer["users"][0]["name"] == "bad"
    assert answer["users"][-1]["line"] == LISTED - 1


@pytest.mark.parametrize(
    ("content", "more", "status"),
    [
        (b64encode(bytes(LARGEST_FILE)).decode(), {}, 200),
        (b64encode(bytes(LARGEST_FILE + 1)).decode(), {}, 400),
        ("not base64", {}, 400),
        ("", {"format": "xml"}, 400),
        ("", {"passwords": True}, 400),
        (None, {}, 400),
    ],
)
def test_whatCanBeAsked(gateway: Fixture, content: object, more: Any, status: int) -> None:
    answer = gateway.ask("POST", "/import", {"content": content, **more}, dry_run="true")
    assert answer.status == status


def test_adminsAlone(gateway: Fixture) -> None:
    """
    Only an admin may import, or ask what an import would do. The audit says how many users.
    """
    for name in ("operator", "admin"):
        gateway.asking.ask("POST", "/operators", {"name": name, "role": name, "password": name})
    statuses = []
    for name in ("operator", "admin"):
        headers = headersOf(gateway.asking, "basic", name)
        for query in ({"dry_run": "true"}, {}):
            answer = gateway.asking.ask(
                "POST", "/import", body("ann * x *\n"), REMOTE, headers, **query
            )
            statuses.append(answer.status)
    assert statuses == [403, 403, 200, 200]
    acts = [(one.operator, one.action, one.outcome) for one in gateway.asking.acts[-2:]]
    assert acts == [
        ("admin", "POST /import", "would be: 1 added, 0 changed, 0 left out"),
        ("admin", "POST /import", "1 added, 0 changed, 0 left out"),
    ]


def test_withoutAStore(gateway: Fixture) -> None:
    gateway.world.stores = ()
    assert gateway.ask("POST", "/import", body("ann * x *\n")).status == 409
