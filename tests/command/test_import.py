"""
Tests of C{pptpgw import} and C{pptpgw export}: all or nothing, changes, and files for their owner.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pptpgw.ppp.mschap import ntPasswordHash
from pptpgw.sessions.profile import Profile
from tests.command.invocation import Command, account, must
from tests.terminal import Terminal

COMMAND = (sys.executable, "-m", "pptpgw.command")
ACCEL = "ann * x 10.77.1.7 2048/512\nbob * y * 1024\ncarol * z * fast\n"


class TestImport:
    async def test_allOrNothing(self, pptpgw: Command, tmp_path: Path) -> None:
        """
        If a line can't be taken, no user is, and no store is made.
        """
        done = await pptpgw("import", "-", stdin=ACCEL)
        assert (done.status, done.out) == (1, "")
        assert done.error.splitlines() == [
            "- is taken as accel-ppp's chap-secrets, with speeds; --format names another one",
            "line 3: carol is left out: speed 'fast': must be DOWN/UP in kilobits a second",
            "pptpgw: nothing is imported: 1 of 3 users can't be taken. --skip-errors takes the "
            "others",
        ]
        assert not (tmp_path / "accounts.sqlite").exists()

    async def test_skipErrors(self, pptpgw: Command, tmp_path: Path) -> None:
        done = await pptpgw("import", "-", "--skip-errors", "--json", stdin=ACCEL)
        assert done.status == 1
        said = json.loads(done.out)
        assert (said["added"], said["changed"], said["format"]) == (2, 0, "accel")
        assert [(one["line"], one["user"]) for one in said["left_out"]] == [(3, "carol")]
        ann = (await must(tmp_path, "ann")).profile
        assert (ann.sendRate, ann.receiveRate) == (2_048_000, 512_000)

    async def test_quotesThatAreNotClosed(self, pptpgw: Command, tmp_path: Path) -> None:
        """
        They hide no other lines, whether the quote is closed in a later line or never.
        """
        file = tmp_path / "secrets"
        file.write_text(
            'a * one *\n"b * two *\nc * three *\nd * "four *\ne * "five" *\n'
            "f * 'six *\ng * seven *\n"
        )
        done = await pptpgw("import", str(file), "--skip-errors")
        assert done.status == 1
        assert "4 users are added, 3 left out." in done.out
        for line in (2, 4, 6):
            assert f"line {line} is left out: a quote is not closed" in done.error
        assert "three" not in done.error
        for name in "aceg":
            await must(tmp_path, name)

    async def test_dryRun(self, pptpgw: Command, tmp_path: Path) -> None:
        """
        What would happen to each is told, and nothing happens, with and without a store.
        """
        done = await pptpgw("import", "-", "--dry-run", stdin=ACCEL)
        assert done.status == 1
        assert done.out.splitlines() == [
            "ann would be added",
            "bob would be added",
            "2 users would be added, 0 changed, 1 left out, but without --skip-errors nothing is "
            "imported.",
        ]
        assert not (tmp_path / "accounts.sqlite").exists()
        await pptpgw("user", "add", "bob", "--generate")
        words = ("import", "-", "--dry-run", "--skip-errors", "--update")
        assert "bob would be changed\n2 users" not in (await pptpgw(*words, stdin=ACCEL)).out
        assert await account(tmp_path, "ann") is None

    async def test_update(self, pptpgw: Command, tmp_path: Path) -> None:
        """
        The password and the attributes of the file replace those of the store; others remain.
        """
        await pptpgw("profile", "add", "staff")
        words = ("--profile", "staff", "--mtu", "1400", "--send-rate", "1M")
        await pptpgw("user", "add", "bob", "--generate", "--recoverable", *words)
        await pptpgw("user", "disable", "bob")
        done = await pptpgw("import", "-", stdin="bob * y * 1024\n")
        assert "line 1: bob is left out: there is a user bob already" in done.error
        done = await pptpgw("import", "-", "--update", stdin="bob * y * 1024\nann * x *\n")
        assert (done.status, done.out) == (0, "1 user is added, 1 changed, 0 left out.\n")
        bob = await must(tmp_path)
        assert (bob.ntHash, bob.sealed, bob.shared) == (ntPasswordHash(b"y"), "", "staff")
        assert bob.disabled
        assert bob.profile == Profile("bob", mtu=1400, sendRate=1_024_000, receiveRate=1_024_000)

    async def test_profilesMustBeThere(self, pptpgw: Command, tmp_path: Path) -> None:
        export = "/ppp secret\nadd name=ann password=x profile=gold disabled=yes\n"
        done = await pptpgw("import", "-", stdin=export)
        assert "ann is left out: there is no profile gold; pptpgw profile add makes" in done.error
        await pptpgw("profile", "add", "gold", "--mtu", "1300")
        assert (await pptpgw("import", "-", stdin=export)).status == 0
        ann = await must(tmp_path, "ann")
        assert (ann.shared, ann.disabled) == ("gold", True)

    async def test_namesThatNoUserCanHave(self, pptpgw: Command) -> None:
        done = await pptpgw("import", "-", stdin=f"{'x' * 256} * x\n")
        assert "is left out: a name has 1 to 255 characters" in done.error

    async def test_theFormatIsTaken(self, pptpgw: Command) -> None:
        """
        A format that is named isn't guessed: pppd knows no speeds.
        """
        done = await pptpgw("import", "-", "--format", "chap-secrets", stdin=ACCEL)
        assert "line 1: ann is left out: '2048/512' as an address" in done.error
        assert "is taken as" not in done.error

    async def test_noUsers(self, pptpgw: Command) -> None:
        """
        A file without users is no error, but perhaps a file of another format.
        """
        done = await pptpgw("import", "-", stdin="# none yet\n")
        assert (done.status, done.out) == (0, "0 users are added, 0 left out.\n")
        assert "- has no users as pppd's chap-secrets; --format names" in done.error

    def test_progress(self, configuration: Path, tmp_path: Path) -> None:
        """
        From 1,000 users on a bar is shown at a terminal.
        """
        for count, shown in ((999, False), (1000, True)):
            path = tmp_path / f"secrets{count}"
            path.write_text("".join(f"u{count}x{one} * x\n" for one in range(count)))
            terminal = Terminal()
            command = (*COMMAND, "import", str(path), "--config", str(configuration))
            environment = {"PATH": os.environ["PATH"], "TERM": "xterm"}
            try:
                assert terminal.end(terminal.run(*command, env=environment)) == 0
            finally:
                terminal.close()
            assert f"{count} users are added" in terminal.text
            assert ("judging" in terminal.text) is shown

    def test_interrupted(self, configuration: Path, tmp_path: Path) -> None:
        """
        Ctrl-C ends an import at once, and nothing is imported.
        """
        path = tmp_path / "secrets"
        path.write_text("".join(f"u{one} * x 10.88.0.1\n" for one in range(50_000)))
        terminal = Terminal()
        environment = {"PATH": os.environ["PATH"], "TERM": "xterm"}
        command = (*COMMAND, "import", str(path), "--config", str(configuration))
        process = terminal.run(*command, env=environment)
        terminal.waitFor("judging")
        terminal.type(b"\x03")
        try:
            assert terminal.end(process) == 130
        finally:
            terminal.close()
        assert "Traceback" not in terminal.text
        assert not (tmp_path / "accounts.sqlite").exists()


class TestExport:
    async def fill(self, pptpgw: Command) -> None:
        await pptpgw("profile", "add", "staff", "--mtu", "1280")
        await pptpgw(
            *("user", "add", "bob", "--stdin", "--recoverable", "--profile", "staff"),
            *("--address", "10.77.1.7,10.78.0.0/16", "--session-timeout", "1h"),
            stdin='a "b\\\n',
        )
        await pptpgw("user", "add", "ann", "--stdin", "--expires", "2030-01-02", stdin="x\n")
        await pptpgw("user", "disable", "ann")

    async def test_noSecretsUnlessAsked(self, pptpgw: Command) -> None:
        await self.fill(pptpgw)
        done = await pptpgw("export")
        ann, bob = [json.loads(line) for line in done.out.splitlines()]
        assert "nt_hash" not in bob and "password" not in bob
        assert bob["attributes"]["session_timeout"] == 3600
        assert (ann["disabled"], ann["expires"]) == (True, "2030-01-02T00:00:00Z")
        done = await pptpgw("export", "--format", "chap-secrets")
        assert (done.status, done.out) == (2, "")
        assert "--secrets permits that" in done.error

    async def test_thereAndBack(self, pptpgw: Command, tmp_path: Path) -> None:
        """
        An import of an export makes the same users.
        """
        await self.fill(pptpgw)
        before = [await must(tmp_path, name) for name in ("ann", "bob")]
        path = tmp_path / "users.jsonl"
        done = await pptpgw("export", str(path), "--secrets")
        assert done.out == f"2 users are written to {path}, 0 left out.\n"
        for name in ("ann", "bob"):
            await pptpgw("user", "remove", name)
        assert (await pptpgw("import", str(path), "--recoverable")).status == 0
        for old in before:
            new = await must(tmp_path, old.name)
            assert (new.profile, new.disabled, new.expires) == (
                old.profile,
                old.disabled,
                old.expires,
            )
            assert (new.ntHash, bool(new.sealed)) == (old.ntHash, bool(old.sealed))

    async def test_chapSecrets(self, pptpgw: Command, tmp_path: Path) -> None:
        """
        Whose password can't be had back, and who is disabled, is left out.
        """
        await self.fill(pptpgw)
        path = tmp_path / "secrets"
        done = await pptpgw("export", str(path), "--format", "chap-secrets", "--secrets")
        assert (done.status, done.error) == (1, "ann is left out: it is disabled\n")
        assert path.read_text() == '"bob"  *  "a \\"b\\\\"  10.77.1.7 10.78.0.0/16\n'
        await pptpgw("user", "remove", "bob")
        assert (await pptpgw("import", str(path))).status == 0
        assert (await must(tmp_path)).ntHash == ntPasswordHash(b'a "b\\')


def run(*words: str, umask: int) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, umask=umask)


@pytest.mark.parametrize("umask", [0, 0o022])
@pytest.mark.parametrize("command", ["backup", "export"])
def test_filesAreForTheirOwner(command: str, umask: int, tmp_path: Path) -> None:
    """
    Whatever the umask, and whoever runs the command, no other user reads the file. One that is
    there stays, unless the command line says otherwise; nothing else is left in the folder.
    """
    url = ("--store", f"sqlite:{tmp_path}/store/accounts.sqlite")
    assert run("user", "add", "ann", "--generate", *url, umask=umask).returncode == 0
    path = tmp_path / "copy"
    assert run(command, str(path), *url, umask=umask).returncode == 0
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_bytes()
    path.write_text("mine")
    path.chmod(0o644)
    done = run(command, str(path), *url, umask=umask)
    assert done.returncode == 1
    assert done.stderr == f"pptpgw: {path}: there is such a file already; --force replaces it\n"
    assert path.read_text() == "mine"
    assert run(command, str(path), "--force", *url, umask=umask).returncode == 0
    assert path.read_bytes()[:16] == before[:16]
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(one.name for one in tmp_path.iterdir()) == ["copy", "store"]
