"""
Tests for C{make run}, that is C{python -m pptpgw}, as a new user runs it.
"""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from pptpgw.tunnels.sstp.certificate import loaded
from tests.integration.world import ROOT, Client, Program, World, devices
from tests.lab.peers import Namespace

MODULE = (sys.executable, "-m", "pptpgw")
ANNOUNCED = "Ctrl-C ends it"
NOBODY = 65534


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def alone(world: World) -> Iterator[Namespace]:
    """
    A namespace with nothing but loopback.
    """
    made = world.namespace("a")
    yield made
    made.kill()


def start(namespace: Namespace, state: Path, *before: str) -> Program:
    """
    Start the program.

    @param before: a command that runs the rest of its line.
    """
    log = state.parent / f"run-{time.monotonic_ns()}.log"
    os.chdir(ROOT)
    return Program(namespace, log, *before, *MODULE, "--state", str(state))


def refusal(namespace: Namespace, state: Path, *before: str) -> str:
    """
    The only line of a program that fails.
    """
    program = start(namespace, state, *before)
    assert program.wait() == 1, program.text
    lines = program.text.splitlines()
    assert len(lines) == 1, program.text
    return lines[0]


def command(state: Path, *words: str, password: str) -> None:
    """
    Run C{pptpgw WORDS} for the accounts in C{state}.
    """
    configuration = state.parent / "accounts.toml"
    configuration.write_text(
        f'[accounts]\nstore = "sqlite:{state}/accounts.sqlite"\nkey = "{state}/accounts.key"\n'
    )
    subprocess.run(
        [sys.executable, "-m", "pptpgw.command", *words, "--stdin", "-c", str(configuration)],
        cwd=ROOT,
        input=f"{password}\n",
        text=True,
        check=True,
        timeout=20,
    )


def opened(path: Path) -> str:
    """
    The beginning of a command that runs in a mount namespace of its own, in which every user may
    reach C{path}. A closed home folder on the way to it is opened.
    """
    way = [*reversed(path.parents), path]
    for folder, inner in pairwise(way):
        if not folder.stat().st_mode & 0o001:
            return (
                f"mkdir /mnt/in && mount --bind {inner} /mnt/in && "
                f"mount -t tmpfs -o mode=755 none {folder} && mkdir {inner} && "
                f"mount --bind /mnt/in {inner} &&"
            )
    return ""


class TestRunning:
    def test_itCallsItselfAndSaysHowToDial(self, world: World, state: Path) -> None:
        before = devices(world.gateway)
        program = start(world.gateway, state)
        program.waitFor(ANNOUNCED)
        assert state.stat().st_mode & 0o777 == 0o700
        assert {one.name for one in state.iterdir()} >= {"accounts.sqlite", "accounts.key"}
        files = [one for one in state.iterdir() if one.is_file()]
        for file in files:
            assert file.stat().st_mode & 0o777 == 0o600, file
        text = program.text
        said = re.search(r"user caller and password (\S{12,}):$", text, re.MULTILINE)
        assert said is not None, text
        assert all(said[1].encode() not in file.read_bytes() for file in files)
        assert re.search(r"^  at 192\.0\.2\.1, 198\.51\.100\.1$", text, re.MULTILINE), text
        assert re.search(
            r"^The call to ourselves: authentication mschapv2, MPPE 128 bit stateless, address "
            r"10\.77\.0\.10, gateway 10\.77\.0\.1, set up in \d+ ms, round trip \d+\.\d\d ms$",
            text,
            re.MULTILINE,
        ), text
        assert re.search(
            r"^The call to ourselves by SSTP: authentication mschapv2, encrypted by the tunnel, ",
            text,
            re.MULTILINE,
        ), text
        own = re.search(r"^By SSTP .* port 8724\. .*\n  ([0-9a-f]{64})$", text, re.MULTILINE)
        assert own is not None, text
        assert loaded(str(state / "sstp.pem"), "", False).fingerprint == own[1]
        assert devices(world.gateway) != before
        assert re.search(r"^  http://127\.0\.0\.1:8723/#login=\S{40,}$", text, re.MULTILINE), text
        seen = re.search(r"^  or by (\S+ sessions --config \S+)$", text, re.MULTILINE)
        assert seen is not None, text
        listed = subprocess.run(seen[1].split(), capture_output=True, text=True, timeout=20)
        assert listed.returncode == 0, listed.stderr
        assert program.interrupt() == 0
        assert devices(world.gateway) == before
        assert program.text.endswith("Every call is hung up, and what was made is removed.\n")
        assert "Traceback" not in program.text

    @pytest.mark.parametrize(
        ("owner", "mode", "user", "capabilities"),
        [
            (0, "600", 0, {12, 13}),
            (NOBODY, "666", NOBODY, {12, 13}),
            (NOBODY, "600", 0, {12, 13, 1, 3}),
        ],
        ids=["root", "owner", "device"],
    )
    def test_privileges(
        self, world: World, owner: int, mode: str, user: int, capabilities: set[int]
    ) -> None:
        """
        Root keeps NET_ADMIN and NET_RAW in every thread and becomes the owner of the folder in
        which it works. Where only root can open the TUN device it keeps the capability to open
        others' files instead.
        """
        device = (
            "mount -t tmpfs none /mnt && mknod /mnt/tun c 10 200 && chmod $0 /mnt/tun && "
            f'mount --bind /mnt/tun /dev/net/tun && {opened(Path(os.__file__))} exec "$@"'
        )
        with tempfile.TemporaryDirectory() as name:
            os.chown(name, owner, owner)
            state = Path(name) / "state"
            program = start(world.gateway, state, "unshare", "--mount", "sh", "-c", device, mode)
            program.waitFor(ANNOUNCED)
            statuses = list(Path(f"/proc/{program.pid}/task").glob("*/status"))
            assert len(statuses) > 1
            kept = f"{sum(1 << number for number in capabilities):016x}"
            for status in statuses:
                found = dict(line.split(":\t", 1) for line in status.read_text().splitlines())
                assert (found["CapEff"], found["CapPrm"], found["CapBnd"]) == (kept,) * 3
                assert int(found["CapInh"], 16) == int(found["CapAmb"], 16) == 0
                assert found["NoNewPrivs"] == "1"
                assert found["Uid"].split() == found["Gid"].split() == [str(user)] * 4
            assert {one.lstat().st_uid for one in (state, *state.iterdir())} == {user}
            assert program.interrupt() == 0

    def test_signals(self, world: World, state: Path) -> None:
        """
        Two signals have no effect, which the log says. Without its terminal the program ends in
        order.
        """
        program = start(world.gateway, state)
        program.waitFor(ANNOUNCED)
        os.kill(program.pid, signal.SIGUSR1)
        program.waitFor("SIGUSR1 and SIGUSR2 do nothing")
        os.kill(program.pid, signal.SIGUSR2)
        program.waitFor("(?s)(SIGUSR1 and SIGUSR2 do nothing.*){2}")
        assert program.interrupt(signal.SIGHUP) == 0
        assert program.text.endswith("Every call is hung up, and what was made is removed.\n")

    def test_callersMayTryMSCHAPv1(
        self, world: World, state: Path, client: Callable[[], Client]
    ) -> None:
        program = start(world.gateway, state)
        program.waitFor(ANNOUNCED)
        said = re.search(r"password (\S+):$", program.text, re.MULTILINE)
        assert said is not None, program.text
        dialling = client()
        call = dialling.ask("call", "caller", said[1], 1400, "mschap")
        assert call["encryption"] == "MPPE 128 bit stateless"
        assert dialling.ask("ping", call["number"]) == {}
        assert program.interrupt() == 0

    def test_thePasswordIsKept(self, alone: Namespace, state: Path) -> None:
        said = set()
        for _ in range(2):
            program = start(alone, state)
            program.waitFor(ANNOUNCED)
            said |= set(re.findall(r"password (\S+):", program.text))
            assert program.interrupt(signal.SIGTERM) == 0
        assert len(said) == 1

    def test_oneMoreUserInTheStore(self, alone: Namespace, state: Path) -> None:
        """
        The self-call uses the user C{caller} of the store.
        """
        command(state, "user", "add", "bob", password="his")
        command(state, "user", "add", "caller", "--recoverable", password="two words")
        program = start(alone, state)
        program.waitFor("The call to ourselves: authentication mschapv2")
        program.waitFor("password two words:")
        assert program.interrupt() == 0

    def test_controlCUnderMake(self, alone: Namespace, state: Path) -> None:
        """
        make ends as well as the gateway does after Ctrl-C in a terminal.
        """
        makefile = state.parent / "Makefile"
        makefile.write_text(f"run:\n\t@exec {' '.join(MODULE)} --state {state}\n")
        child, terminal = pty.fork()
        if not child:
            os.chdir(ROOT)
            command = alone.command("make", "--no-print-directory", "-f", str(makefile))
            os.execvp(command[0], command)
        shown = b""
        interrupted = False
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            if select.select([terminal], [], [], 0.1)[0]:
                try:
                    shown += os.read(terminal, 65536)
                except OSError:
                    break
            if ANNOUNCED.encode() in shown and not interrupted:
                interrupted = True
                os.write(terminal, b"\x03")
        os.close(terminal)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0, shown
        assert b"what was made is removed" in shown
        assert b"***" not in shown


class TestMistakes:
    def test_thePortIsTaken(self, alone: Namespace, tmp_path: Path) -> None:
        first = start(alone, tmp_path / "first")
        first.waitFor(ANNOUNCED)
        # The second gateway finds the first one's device even before its port.
        said = refusal(alone, tmp_path / "second")
        assert "interface pptp0 is in use by another program" in said
        assert first.interrupt() == 0
        listen = (
            "import socket, time; s = socket.create_server(('', 1723)); "
            "print('listens', flush=True); time.sleep(60)"
        )
        other = Program(alone, tmp_path / "other.log", sys.executable, "-c", listen)
        other.waitFor("listens")
        said = refusal(alone, tmp_path / "second")
        assert "can't listen on any address, TCP port 1723: Address already in use" in said
        assert "ss -ltnp" in said
        assert [link["ifname"] for link in alone.show("link")] == ["lo"]

    def test_theNameOfTheDeviceIsTaken(self, alone: Namespace, state: Path) -> None:
        alone.ip("link add pptp0 type veth peer name peer0")
        said = refusal(alone, state)
        assert "interface pptp0" in said
        assert "[network] interface" in said
        assert [link["ifname"] for link in alone.show("link")][-1] == "pptp0"

    def test_othersMayReadTheAccounts(self, alone: Namespace, state: Path) -> None:
        state.mkdir()
        (state / "accounts.sqlite").touch()
        (state / "accounts.sqlite").chmod(0o644)
        assert f"chmod 600 {state}/accounts.sqlite" in refusal(alone, state)

    def test_theUserIsGone(self, alone: Namespace, state: Path) -> None:
        command(state, "user", "add", "bob", password="his")
        assert "has no user caller any more: remove it" in refusal(alone, state)

    def test_thePasswordIsAHashAlone(self, alone: Namespace, state: Path) -> None:
        command(state, "user", "add", "caller", password="hers")
        assert "as a hash alone: remove it" in refusal(alone, state)

    def test_theKeyIsGone(self, alone: Namespace, state: Path) -> None:
        command(state, "user", "add", "caller", "--recoverable", password="hers")
        (state / "accounts.key").unlink()
        assert f"{state}/accounts.key: No such file" in refusal(alone, state)

    def test_theStateIsNoFolder(self, alone: Namespace, state: Path) -> None:
        state.touch()
        assert "name another with --state" in refusal(alone, state)

    def test_anUnknownOption(self) -> None:
        done = subprocess.run(
            [*MODULE, "--password", "x"], cwd=ROOT, capture_output=True, text=True, timeout=20
        )
        assert done.returncode == 2
        assert "Usage: python -m pptpgw [--state FOLDER]" in done.stderr


WITHOUT = ("setpriv", "--bounding-set=-net_admin,-net_raw", "--inh-caps=-net_admin,-net_raw")
"""
The beginning of a command that lacks both capabilities.
"""


class TestPrivileges:
    def test_itEntersANamespace(self, alone: Namespace, state: Path) -> None:
        """
        The program enters a namespace and can be dialled there with the command that it prints.
        """
        if subprocess.run(["unshare", "--user", "--net", "true"], capture_output=True).returncode:
            pytest.skip("this machine allows no user namespaces")
        program = start(alone, state, *WITHOUT)
        program.waitFor(ANNOUNCED)
        assert "The call to ourselves: authentication mschapv2" in program.text
        enter = re.search(r"(nsenter .*) COMMAND", program.text)
        assert enter is not None
        ping = [*enter[1].split(), "ping", "-c", "1", "-W", "2", "10.77.0.1"]
        subprocess.run(ping, check=True, capture_output=True, timeout=10)
        assert [link["ifname"] for link in alone.show("link")] == ["lo"]
        assert program.interrupt() == 0

    def test_noNamespaceIsAllowed(self, alone: Namespace, state: Path) -> None:
        """
        The program fails, and says why, inside a user namespace that permits no further ones.
        """
        forbid = (
            "mount -t proc proc /proc 2>/dev/null; echo 0 >/proc/sys/user/max_user_namespaces "
            '&& exec "$@"'
        )
        said = refusal(
            alone, state, "unshare", "--user", "--map-root-user", "sh", "-c", forbid, "sh", *WITHOUT
        )
        assert "the capability CAP_NET_ADMIN, the capability CAP_NET_RAW" in said
        assert "run as root (sudo)" in said
        assert "isn't allowed here either: unshare" in said

    def test_noDevice(self, alone: Namespace, state: Path) -> None:
        hide = 'mount -t tmpfs none /dev/net && exec "$@"'
        said = refusal(alone, state, "unshare", "--mount", "sh", "-c", hide, "sh")
        assert "lacks /dev/net/tun" in said
        assert "modprobe tun" in said

    def test_noAccessToTheDevice(self, alone: Namespace, state: Path) -> None:
        """
        The program fails, and says why, where it may not open the TUN device.
        """
        closed = state.parent / "tun"
        os.mknod(closed, 0o600 | 0o020000, os.makedev(10, 200))
        os.chown(closed, 65534, 65534)
        replace = f'mount --bind {closed} /dev/net/tun && exec "$@"'
        caps = "-net_admin,-net_raw,-dac_override"
        said = refusal(
            *(alone, state, "unshare", "--mount", "sh", "-c", replace, "sh"),
            *("setpriv", f"--bounding-set={caps}", f"--inh-caps={caps}"),
        )
        assert "the permission to read and write /dev/net/tun (chmod 666 /dev/net/tun)" in said
