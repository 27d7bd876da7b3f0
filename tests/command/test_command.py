"""
Tests for the command C{pptpgw}: its output, its exit status and its effects.
"""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from dataclasses import fields
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from twisted.internet import reactor

from pptpgw.command.main import run
from pptpgw.ppp.mschap import ntPasswordHash
from pptpgw.sessions.profile import Profile
from pptpgw.store import database
from pptpgw.store.attribute import ATTRIBUTES
from pptpgw.store.store import Store
from tests.command.invocation import Command, Done, account, must

ROOT = Path(__file__).parent.parent.parent


class TestAdd:
    async def test_typedTwice(self, pptpgw: Command, tmp_path: Path) -> None:
        done = await pptpgw("user", "add", "bob", typed=("pä", "pä"))
        assert done == Done(0, "User bob is added.\n", "")
        bob = await must(tmp_path)
        assert (bob.ntHash, bob.sealed) == (ntPasswordHash("pä".encode()), "")

    async def test_typedDifferently(self, pptpgw: Command, tmp_path: Path) -> None:
        done = await pptpgw("user", "add", "bob", typed=("one", "other"))
        assert done == Done(
            1, "", "pptpgw: these are two different passwords; nothing is changed\n"
        )
        assert await account(tmp_path) is None

    async def test_generated(self, pptpgw: Command, tmp_path: Path) -> None:
        done = await pptpgw("user", "add", "bob", "--generate")
        assert done.out.startswith("User bob is added.\n")
        said = done.out.splitlines()[1]
        password = said.removeprefix("The password: ")
        assert (await must(tmp_path)).ntHash == ntPasswordHash(password.encode())
        assert len(password) >= 16

    async def test_fromStandardInput(self, pptpgw: Command, tmp_path: Path) -> None:
        done = await pptpgw("user", "add", "bob", "--stdin", stdin=" two words \nmore\n")
        assert done.status == 0
        assert (await must(tmp_path)).ntHash == ntPasswordHash(b" two words ")

    async def test_empty(self, pptpgw: Command, tmp_path: Path) -> None:
        for done in (
            await pptpgw("user", "add", "bob", "--stdin"),
            await pptpgw("user", "add", "bob", typed=("", "")),
        ):
            assert done == Done(1, "", "pptpgw: the password is empty; nothing is changed\n")
        assert await account(tmp_path) is None

    async def test_recoverable(self, pptpgw: Command, tmp_path: Path) -> None:
        await pptpgw("user", "add", "bob", "--stdin", "--recoverable", stdin="battery\n")
        store = Store(reactor, f"sqlite:{tmp_path}/accounts.sqlite", f"{tmp_path}/key")
        assert store.vault.open("bob", (await must(tmp_path)).sealed) == b"battery"
        store.close()
        assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "accounts.sqlite").stat().st_mode) == 0o600

    async def test_noPasswordInTheArguments(self, pptpgw: Command) -> None:
        """
        A password can't be given as an argument.
        """
        done = await pptpgw("user", "add", "bob", "secret")
        assert (done.status, done.error) == (2, "pptpgw: one NAME is needed, not 2\n")
        assert (await pptpgw("user", "add", "bob", "--password", "x")).status == 2

    async def test_attributes(self, pptpgw: Command, tmp_path: Path) -> None:
        """
        Attributes may stand before and after the name, with C{=} or without.
        """
        words = "--address 10.77.1.7 bob --sessions=1 --session-timeout 3600 --generate"
        assert (await pptpgw("user", "add", *words.split())).status == 0
        profile = (await must(tmp_path)).profile
        assert profile == Profile(
            "bob", (IPv4Network("10.77.1.7"),), sessions=1, sessionTimeout=3600.0
        )

    async def test_anAttributeThatIsNotAllowed(self, pptpgw: Command, tmp_path: Path) -> None:
        done = await pptpgw("user", "add", "bob", "--generate", "--sessions", "many")
        assert done.status == 1
        assert "--sessions many: must be a whole number from 0 to 65535" in done.error
        assert not (tmp_path / "accounts.sqlite").exists() or await account(tmp_path) is None

    @pytest.mark.parametrize(
        ("words", "complaint"),
        [
            ("--address 10.77.0.1", "address 10.77.0.1: it is the gateway's own, by [ipv4] local"),
            ("--address 10.1.1.1,10.77.0.1", "address 10.77.0.1: it is the gateway's own"),
            ("--address 198.51.100.1", "address 198.51.100.1: it is the gateway's own"),
            ("--address 127.0.0.1", "--address 127.0.0.1: must be a list of"),
            ("--address 240.0.0.1", "--address 240.0.0.1: must be a list of"),
            ("--address 0.0.0.0/0", "--address 0.0.0.0/0: must be a list of"),
            (
                "--pool gusts",
                "there is no pool gusts: [[ipv4.pools]] has default, guests",
            ),
            ("--tunnels pptp,stsp", "there is no tunnel stsp: --help-plugins has hdlc, "),
            ("--filter offices", "there is no filter offices: [[network.filter]] has office;"),
        ],
    )
    async def test_whatTheGatewayCouldNotGive(
        self, pptpgw: Command, configuration: Path, tmp_path: Path, words: str, complaint: str
    ) -> None:
        """
        An attribute that the gateway couldn't apply is refused when it is set, for users and for
        profiles, and nothing is made.
        """
        with configuration.open("a") as file:
            file.write(
                '[listen]\naddresses = ["198.51.100.1"]\n'
                '[[network.filter]]\nname = "office"\nrules = []\n'
                '[[ipv4.pools]]\nname = "guests"\nranges = ["10.78.0.0/24"]\n'
            )
        for kind in ("user", "profile"):
            more = ["--generate"] if kind == "user" else []
            done = await pptpgw(kind, "add", "bob", *more, *words.split())
            assert done.status == 1 and complaint in done.error
            assert (await pptpgw(kind, "add", "ann", *more, "--pool", "guests")).status == 0
            done = await pptpgw(kind, "set", "ann", *words.split())
            assert done.status == 1 and complaint in done.error
        assert await account(tmp_path) is None

    async def test_takenIsToldBeforeAPasswordIsAskedFor(self, pptpgw: Command) -> None:
        await pptpgw("user", "add", "bob", "--generate")
        done = await pptpgw("user", "add", "bob")
        assert done == Done(1, "", "pptpgw: there is a user bob already\n")

    async def test_expires(self, pptpgw: Command, tmp_path: Path) -> None:
        await pptpgw("user", "add", "bob", "--generate", "--expires", "2023-11-14")
        assert (await must(tmp_path)).expires == 1_699_920_000.0
        done = await pptpgw("user", "set", "bob", "--expires", "soon")
        assert done.error == "pptpgw: --expires soon: must be a day YYYY-MM-DD, now or never\n"
        await pptpgw("user", "set", "bob", "--expires", "never")
        assert (await must(tmp_path)).expires is None
        await pptpgw("user", "set", "bob", "--expires", "now")
        assert "password expired" in (await pptpgw("user", "list")).out


def test_everyAttributeHasAnOption() -> None:
    """
    Every field of a profile has an option, except the name and the ends that a RADIUS server tells.
    """
    assert {one.field for one in ATTRIBUTES.values()} == {
        one.name for one in fields(Profile) if one.name not in ("name", "forwards")
    }


class TestSet:
    async def test_attributesAndProfile(self, pptpgw: Command, tmp_path: Path) -> None:
        await pptpgw("profile", "add", "staff", "--mtu", "1280", "--sessions", "3")
        await pptpgw("user", "add", "bob", "--generate", "--sessions", "1", "--dns", "192.0.2.1")
        before = await must(tmp_path)
        done = await pptpgw("user", "set", "bob", "--profile=staff", "--sessions", "", "--dns=*")
        assert done == Done(0, "User bob is changed.\n", "")
        bob = await must(tmp_path)
        assert bob.profile == Profile("bob", mtu=1280, sessions=3)
        assert bob.ntHash == before.ntHash

    async def test_password(self, pptpgw: Command, tmp_path: Path) -> None:
        await pptpgw("user", "add", "bob", "--generate", "--recoverable")
        assert (await pptpgw("user", "set", "bob", "--password", typed=("new", "new"))).status == 0
        bob = await must(tmp_path)
        assert (bob.ntHash, bob.sealed) == (ntPasswordHash(b"new"), "")

    async def test_recoverableNeedsAPassword(self, pptpgw: Command) -> None:
        await pptpgw("user", "add", "bob", "--generate")
        done = await pptpgw("user", "set", "bob", "--recoverable")
        assert (done.status, done.out) == (2, "")
        assert "an NT hash gives none back" in done.error

    async def test_bothSources(self, pptpgw: Command) -> None:
        assert (await pptpgw("user", "add", "bob", "--generate", "--stdin")).status == 2

    async def test_disable(self, pptpgw: Command, tmp_path: Path) -> None:
        await pptpgw("user", "add", "bob", "--generate")
        assert (await pptpgw("user", "disable", "bob")).out == "User bob is disabled.\n"
        assert (await must(tmp_path)).disabled
        _, bob = (await pptpgw("user", "list")).out.splitlines()
        assert bob.split() == ["bob", "disabled", "-"]
        assert (await pptpgw("user", "enable", "bob")).out == "User bob is enabled.\n"
        assert not (await must(tmp_path)).disabled

    async def test_remove(self, pptpgw: Command, tmp_path: Path) -> None:
        await pptpgw("user", "add", "bob", "--generate")
        assert (await pptpgw("user", "remove", "bob")).out == "User bob is removed.\n"
        assert await account(tmp_path) is None

    @pytest.mark.parametrize("command", ["set", "show", "disable", "enable", "remove"])
    async def test_nobody(self, pptpgw: Command, command: str) -> None:
        await pptpgw("user", "add", "bob", "--generate")
        done = await pptpgw("user", command, "bill")
        assert done == Done(1, "", "pptpgw: there is no user bill\n")


class TestListing:
    async def test_users(self, pptpgw: Command) -> None:
        await pptpgw("profile", "add", "staff", "--mtu", "1280")
        none = await pptpgw("user", "list")
        assert none.out == "There are no users; pptpgw user add NAME makes one.\n"
        await pptpgw("user", "add", "bob", "--generate", "--profile", "staff")
        await pptpgw("user", "add", "an\tn", "--generate", "--routes", "10.8.0.0/16,fd00::/48")
        assert (await pptpgw("user", "list")).out.splitlines() == [
            "NAME     STATE    PROFILE  ATTRIBUTES",
            "'an\\tn'  enabled  -        --routes 10.8.0.0/16,fd00::/48",
            "bob      enabled  staff",
        ]
        shown = (await pptpgw("user", "show", "bob")).out.splitlines()
        assert "password    NT hash alone" in shown
        assert "locked out  no" in shown
        assert "--mtu       1280  (of staff)" in shown

    async def test_noSecretIsListed(self, pptpgw: Command, tmp_path: Path) -> None:
        await pptpgw("user", "add", "bob", "--stdin", "--recoverable", stdin="battery\n")
        bob = await must(tmp_path)
        for words in (("user", "list"), ("user", "show", "bob")):
            out = (await pptpgw(*words)).out
            assert "bob" in out
            for secret in ("battery", bob.sealed, bob.ntHash.hex()):
                assert secret not in out

    async def test_profiles(self, pptpgw: Command) -> None:
        assert "There are no profiles" in (await _withUser(pptpgw, "profile", "list")).out
        await pptpgw("profile", "add", "staff", "--mtu", "1280")
        await pptpgw("profile", "set", "staff", "--mtu", "1300", "--dns", "192.0.2.1")
        await pptpgw("user", "set", "bob", "--profile", "staff")
        listed = await pptpgw("profile", "list")
        assert listed.out.splitlines() == [
            "NAME   USERS  ATTRIBUTES",
            "staff  1      --dns 192.0.2.1 --mtu 1300",
        ]
        done = await pptpgw("profile", "remove", "staff")
        assert done == Done(1, "", "pptpgw: 1 users share the profile staff\n")
        await pptpgw("user", "set", "bob", "--profile", "")
        assert (await pptpgw("profile", "remove", "staff")).status == 0


async def _withUser(pptpgw: Command, *words: str) -> Done:
    await pptpgw("user", "add", "bob", "--generate")
    return await pptpgw(*words)


SECRETS = """\
ann   *       "correct horse"  10.77.1.7 10.78.0.0/16
bob   pptpgw  battery
bob   *       other
carol *       staple           -
carol *       twice
dave  pptpd   elsewhere
*     *       anybody
erin  *       ""
"""


class TestImport:
    async def test_users(self, pptpgw: Command, tmp_path: Path) -> None:
        """
        Users are imported with their addresses, and the lines that are left out are reported.
        """
        (tmp_path / "secrets").write_text(SECRETS)
        await pptpgw("user", "add", "ann", "--generate")
        await pptpgw("user", "remove", "ann")
        done = await pptpgw("import", "--skip-errors", str(tmp_path / "secrets"))
        assert (done.status, done.out) == (1, "3 users are added, 3 left out.\n")
        assert done.error.splitlines() == [
            "line 4: carol: it has 1 more lines like its first one, which is taken",
            "line 6: dave is left out: it is for other servers; --server NAME takes those of one",
            "line 7: * is left out: a store has no user that stands for all others",
            "line 8: erin is left out: its password is empty",
        ]
        ann, bob, carol = [await must(tmp_path, name) for name in ("ann", "bob", "carol")]
        assert ann.ntHash == ntPasswordHash(b"correct horse")
        assert ann.profile.addresses == (IPv4Network("10.77.1.7"), IPv4Network("10.78.0.0/16"))
        assert (bob.ntHash, bob.profile.addresses) == (ntPasswordHash(b"battery"), None)
        assert (carol.ntHash, carol.profile.addresses) == (ntPasswordHash(b"staple"), ())

    async def test_theGatewaysOwnAddress(self, pptpgw: Command, tmp_path: Path) -> None:
        (tmp_path / "secrets").write_text("bob * x 10.77.0.1\nann * x !10.77.0.0 *\n")
        done = await pptpgw("import", "--skip-errors", str(tmp_path / "secrets"))
        assert done.error.startswith(
            "line 1: bob is left out: address 10.77.0.1: it is the gateway's own"
        )
        assert done.out == "1 user is added, 1 left out.\n"
        networks = (await must(tmp_path, "ann")).profile.addresses
        assert networks is not None
        assert [str(one) for one in networks if one.overlaps(IPv4Network("10.77.0.0/31"))] == [
            "10.77.0.1/32"
        ]

    async def test_duplicates(self, pptpgw: Command, tmp_path: Path) -> None:
        """
        A user who is already in the store isn't changed.
        """
        (tmp_path / "secrets").write_text("bob * new\nann * x\n")
        await pptpgw("user", "add", "bob", "--stdin", stdin="old\n")
        done = await pptpgw("import", "--skip-errors", str(tmp_path / "secrets"))
        assert done.error == "line 1: bob is left out: there is a user bob already\n"
        assert done.out == "1 user is added, 1 left out.\n"
        assert (await must(tmp_path)).ntHash == ntPasswordHash(b"old")

    async def test_anotherServer(self, pptpgw: Command, tmp_path: Path) -> None:
        (tmp_path / "secrets").write_text("bob pptpd x\n")
        done = await pptpgw("import", "--server", "pptpd", str(tmp_path / "secrets"))
        assert done == Done(0, "1 user is added, 0 left out.\n", "")

    async def test_fromStandardInput(self, pptpgw: Command, tmp_path: Path) -> None:
        done = await pptpgw("import", "-", stdin="bob * battery 10.77.1.7\n")
        assert done == Done(0, "1 user is added, 0 left out.\n", "")
        assert (await must(tmp_path)).ntHash == ntPasswordHash(b"battery")

    async def test_noFile(self, pptpgw: Command, tmp_path: Path) -> None:
        done = await pptpgw("import", f"{tmp_path}/none")
        assert (done.status, done.error) == (
            1,
            f"pptpgw: {tmp_path}/none: No such file or directory\n",
        )

    async def test_aFaultyFile(self, pptpgw: Command, tmp_path: Path) -> None:
        """
        Nobody is imported from a faulty file, and the error doesn't show its secrets.
        """
        (tmp_path / "secrets").write_text("ann * x\nbob * hidden nowhere\n")
        done = await pptpgw("import", str(tmp_path / "secrets"))
        assert done.status == 1
        assert "line 2" in done.error and "hidden" not in done.error
        assert not (tmp_path / "accounts.sqlite").exists() or await account(tmp_path, "ann") is None


class TestMistakes:
    async def test_noStore(self, pptpgw: Command, tmp_path: Path) -> None:
        done = await pptpgw("user", "list")
        assert done.error == (
            f"pptpgw: {tmp_path}/accounts.sqlite: there is no store; pptpgw user add makes one\n"
        )
        assert done.status == 1
        assert not (tmp_path / "accounts.sqlite").exists()

    async def test_theStoreIsLocked(
        self, pptpgw: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(database, "LOCK_SECONDS", 0.05)
        await pptpgw("user", "add", "bob", "--generate")
        with sqlite3.connect(tmp_path / "accounts.sqlite") as other:
            other.execute("BEGIN IMMEDIATE")
            done = await pptpgw("user", "remove", "bob")
            assert (done.status, done.out) == (1, "")
            assert done.error.endswith("accounts.sqlite: database is locked\n")
            # A command that only reads doesn't wait for the lock.
            assert (await pptpgw("user", "list")).status == 0
            other.rollback()
        assert (await pptpgw("user", "remove", "bob")).status == 0

    async def test_noDatabase(self, pptpgw: Command, tmp_path: Path) -> None:
        (tmp_path / "accounts.sqlite").touch(0o600)
        (tmp_path / "accounts.sqlite").write_text("something else entirely " * 50)
        done = await pptpgw("user", "list")
        assert done.status == 1
        assert "the store is damaged (file is not a database): replace it" in done.error

    async def test_aPasswordInTheURL(self, pptpgw: Command) -> None:
        for url in ("postgresql://me:hidden@host/db", "postgresql://host/db?password=hidden"):
            done = await pptpgw("user", "list", "--store", url)
            assert done.status == 1
            assert "passfile=PATH" in done.error and "hidden" not in done.error

    async def test_noSuchCommand(self, pptpgw: Command) -> None:
        for words in (["user"], ["user", "sing"], ["sing"], []):
            assert (await run(reactor, words)) == 2

    def test_theProgram(self, tmp_path: Path) -> None:
        """
        The program reports the error when its user may not read the store.
        """
        tmp_path.chmod(0o755)
        store = tmp_path / "private" / "accounts.sqlite"
        command = [sys.executable, "-m", "pptpgw.command", "user"]
        options = ["--store", f"sqlite:{store}"]
        made = subprocess.run(
            [*command, "add", "bob", "--stdin", *options],
            cwd=ROOT,
            input="battery\n",
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert (made.returncode, made.stdout, made.stderr) == (0, "User bob is added.\n", "")
        assert stat.S_IMODE(store.parent.stat().st_mode) == 0o700
        denied = subprocess.run(
            ["setpriv", "--reuid=65534", "--clear-groups", *command, "list", *options],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert denied.returncode == 1
        assert denied.stderr.startswith(f"pptpgw: {store}: this user can't open it")
