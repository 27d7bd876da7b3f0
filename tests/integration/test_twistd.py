"""
Tests for C{twistd -n pptpgw}: its command line, and its end.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path

import pytest

from pptpgw.tap import Options
from tests.integration.world import GATEWAY, ROOT, SECRETS, Client, Program, World, devices
from tests.lab.server import toml

TWISTD = (sys.executable, str(Path(sys.executable).parent / "twistd"))
FOREGROUND = (*TWISTD, "--nodaemon", "--pidfile=", "pptpgw")
SERVES = "answers on every address, port 1723"


@pytest.fixture
def auth(tmp_path: Path) -> str:
    """
    The value of --auth for a file of secrets.
    """
    path = tmp_path / "chap-secrets"
    path.touch(0o600)
    path.write_text(SECRETS)
    return f"chap-secrets:{path}"


def twistd(*arguments: str) -> subprocess.CompletedProcess[str]:
    """
    Run a command that ends by itself.
    """
    return subprocess.run(
        [*FOREGROUND, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=30
    )


def complaint(*arguments: str) -> str:
    """
    The last line of a command that fails.
    """
    done = twistd(*arguments)
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr
    return (done.stdout + done.stderr).splitlines()[-1]


CHOSEN = {
    "pptpgw.network": "ipv4",
    "pptpgw.pool": "ranges",
    "pptpgw.authentication": "mschapv2",
    "pptpgw.tunnel": "pptp",
    "pptpgw.datapath": "auto",
}
"""
The plugins of a gateway without a configuration, by the groups of their entry points.
"""

TELLING = """
import sys
from pathlib import Path
from twisted.internet import reactor
from twisted.scripts import twistd
told = Path(sys.argv.pop(1))
reactor.addSystemEventTrigger(
    "before", "shutdown", lambda: told.write_text(" ".join(sys.modules))
)
twistd.run()
"""
"""
A C{twistd} that writes at its end which modules it has imported, to the file that is its first
argument.
"""


def imported(world: World, folder: Path, *options: str) -> list[str]:
    """
    The modules that a gateway with these options has imported when it ends.
    """
    told = folder / "imported"
    command = (sys.executable, "-c", TELLING, str(told), *FOREGROUND[2:], *options)
    gateway = Program(world.gateway, folder / "log", *command)
    gateway.waitFor(SERVES)
    gateway.interrupt()
    return told.read_text().split()


def test_whatServesNoCallerIsImportedWhenNeeded(world: World, tmp_path: Path, auth: str) -> None:
    """
    A gateway without endpoints for operators and without RADIUS servers has imported nothing that
    these alone need.
    """
    file = tmp_path / "pptpgw.toml"
    file.touch(0o600)
    file.write_text(toml({"management": {"endpoints": []}}))
    never = ("pptpgw.management", "pptpgw.radius.radsec", "prometheus_client", "twisted.web")
    found = imported(world, tmp_path, "--auth", auth, "--config", str(file))
    assert "pptpgw.gateway" in found
    assert [one for one in found if one.startswith(never)] == []


def test_onlyWhatIsChosenIsImported(world: World, tmp_path: Path, auth: str) -> None:
    """
    A gateway that runs has imported the modules of no plugin that isn't chosen, nor anything else
    that only some gateways need. Of what isn't chosen there may be the octets of a network
    protocol, which filters know, and the strings of endpoints, which each C{twistd} knows.
    """
    modules = imported(world, tmp_path, "--auth", auth)
    assert "pptpgw.gateway" in modules and "pptpgw.networks.ipv4.plugin" in modules
    points = [one for one in distribution("pptpgw").entry_points if one.group.startswith("pptpgw.")]
    chosen = {one.module for one in points if CHOSEN.get(one.group) == one.name}
    assert len(chosen) == len(CHOSEN)
    # Those with a folder of their own, for all that is in it.
    folders = ("pptpgw.networks.", "pptpgw.tunnels.")
    never = {
        one.module.rpartition(".")[0]
        if one.module.startswith(folders) and one.group != "pptpgw.client"
        else one.module
        for one in points
        if one.module not in chosen
    }
    assert {"pptpgw.networks.generic", "pptpgw.tunnels.hdlc", "pptpgw.auth.eap"} < never
    # The paths that may be chosen otherwise.
    never -= {"pptpgw.datapath.plugin", "pptpgw.datapath.threaded"}
    never |= {
        "pptpgw.client",
        "pptpgw.command",
        *("pptpgw.datapath.compressed", "pptpgw.datapath.headers", "pptpgw.ppp.compression"),
        "pptpgw.store.store",
        "pptpgw.store.sqlite",
        *("click", "psycopg", "rich", "serial"),
    }
    found = [
        name
        for name in modules
        if any(name == one or name.startswith(f"{one}.") for one in never) and ".wire" not in name
    ]
    assert sorted(found) == [
        "pptpgw.networks.ipv6",
        "pptpgw.tunnels.hdlc",
        "pptpgw.tunnels.hdlc.endpoint",
    ]


class TestCommandLine:
    def test_help(self) -> None:
        done = twistd("--help")
        assert done.returncode == 0
        for option in ("--config=", "--auth=", "--check-config", "--version"):
            assert option in done.stdout

    def test_version(self) -> None:
        done = twistd("--version")
        assert done.returncode == 0
        assert done.stdout.startswith("pptpgw ")
        assert "MPPE: compiled" in done.stdout or "MPPE: Python" in done.stdout

    def test_aGoodFile(self, tmp_path: Path) -> None:
        path = tmp_path / "good.toml"
        path.write_text("[link]\nmru = 1300\n")
        done = twistd("--config", str(path), "--check-config")
        assert done.returncode == 0
        verdict, carrier = done.stdout.splitlines()
        assert verdict == f"{path}: fine" and carrier.startswith("packets would pass by ")

    def test_aBadFile(self, tmp_path: Path) -> None:
        """
        The error about a file lists everything that is wrong in it, and nothing else.
        """
        path = tmp_path / "bad.toml"
        path.write_text("[pptp]\nport = 70000\nprot = 3\n[lnk]\n")
        done = twistd("--config", str(path), "--check-config")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            f"{path}: [pptp] port = 70000: must be a whole number from 0 to 65535\n"
            f"{path}: unknown key prot in [pptp]: did you mean port?\n"
            f"{path}: unknown section [lnk]: did you mean link?\n"
        )

    def test_whatAStartWouldLack(self, tmp_path: Path) -> None:
        """
        A check of a correct configuration reports everything that a start would fail for on this
        machine, and makes nothing.
        """
        script = tmp_path / "up"
        script.write_text("#!/bin/sh\n")
        path = tmp_path / "pptpgw.toml"
        path.write_text(
            toml(
                {
                    "listen": {"addresses": ["127.0.0.1", "198.51.100.77"]},
                    "network": {"protocols": ["ipv4", "bridge", "ipx"]},
                    "bridge": {"bridge": "br-none"},
                    "ipx": {"dosbox": "198.51.100.78:213"},
                    "radius": {"spool": f"{tmp_path}/a/b/spool", "dynamic": "198.51.100.79:3799"},
                    "[radius.client]": {"host": "192.0.2.1", "secret": "x"},
                    "[radius.server]": {"host": "192.0.2.1", "secret": "x"},
                    "capture": {"file": f"{tmp_path}/none/calls.pcapng"},
                    "audit": {
                        "file": f"{tmp_path}/none/audit",
                        "store": f"sqlite:{tmp_path}/accounts.sqlite",
                        "spool": f"{tmp_path}/a/b/rows",
                    },
                    "hooks": {"ip-up": f"{tmp_path}/none/up", "ip-down": str(script)},
                }
            )
        )
        path.chmod(0o600)
        done = twistd("--config", str(path), "--check-config")
        assert (done.returncode, done.stdout) == (1, "")
        assert "Traceback" not in done.stderr
        for fault in (
            "[listen] addresses: 198.51.100.77: Cannot assign requested address: it must be one of",
            f"[capture] file = {tmp_path}/none/calls.pcapng: there is no folder {tmp_path}/none;",
            '[bridge] bridge = "br-none": there is no such interface',
            "[ipx] dosbox = 198.51.100.78: Cannot assign requested address",
            f"[radius] spool = {tmp_path}/a/b/spool: there is no folder {tmp_path}/a/b;",
            "[radius] dynamic = 198.51.100.79: Cannot assign requested address",
            f"[audit] file = {tmp_path}/none/audit: there is no folder {tmp_path}/none;",
            f"[audit] spool = {tmp_path}/a/b/rows: there is no folder {tmp_path}/a/b;",
            f"[hooks] ip-up: {tmp_path}/none/up: No such file or directory",
            f"[hooks] ip-down: {script}: can't be executed (chmod +x {script})",
        ):
            assert f"{path}: {fault}" in done.stderr
        assert len(done.stderr.splitlines()) == 10
        assert sorted(one.name for one in tmp_path.iterdir()) == ["pptpgw.toml", "up"]

    def test_noAuth(self) -> None:
        assert "nobody could log in: name at least one --auth" in complaint()

    def test_anUnknownKindOfAuth(self) -> None:
        said = complaint("--auth", "memry:x")
        assert said.endswith('no credentials checker is called "memry": did you mean memory?')

    @pytest.mark.parametrize(
        ("spec", "said"),
        [
            ("chap-secrets", "the path of a file is missing"),
            ("chap-secrets:/nonexistent/x", "/nonexistent/x: No such file or directory"),
            ("memory:a", "argstring must be in format U:P:..."),
        ],
    )
    def test_anAuthWithAFault(self, spec: str, said: str) -> None:
        with pytest.raises(SystemExit) as ended:
            Options().opt_auth(spec)
        assert ended.value.code == f"--auth {spec}: {said}"

    def test_secretsThatOthersMayRead(self, auth: str) -> None:
        path = Path(auth.partition(":")[2])
        path.chmod(0o644)
        assert complaint("--auth", auth) == (
            f"--auth {auth}: {path}: others than its owner may read or write it; chmod 600 {path}"
        )

    def test_secretsWithAFault(self, auth: str) -> None:
        path = Path(auth.partition(":")[2])
        path.write_text("# mine\nalice *\n")
        with pytest.raises(SystemExit, match=r"chap-secrets, line 2: 2 words"):
            Options().opt_auth(auth)


class TestService:
    def run(self, world: World, folder: Path, auth: str, *options: str) -> Program:
        """
        Start the program in the gateway's namespace.
        """
        return Program(world.gateway, folder / "twistd.log", *FOREGROUND, "--auth", auth, *options)

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_aSignalHangsUpAndRemovesEverything(
        self,
        world: World,
        tmp_path: Path,
        auth: str,
        client: Callable[[], Client],
        number: signal.Signals,
    ) -> None:
        before = devices(world.gateway)
        program = self.run(world, tmp_path, auth)
        program.waitFor(SERVES)
        dialling = client()
        calls = [dialling.dial(), dialling.dial()]
        # twistd ends by the signal that stopped it, after everything has stopped.
        assert program.interrupt(number) in (0, -number)
        for call in calls:
            assert "peer" in dialling.ask("ended", call["number"])["cause"]
        assert devices(world.gateway) == before
        assert "Traceback" not in program.text

    def test_signalsThatDoNothing(
        self, world: World, tmp_path: Path, auth: str, client: Callable[[], Client]
    ) -> None:
        """
        Signals that operators may send by habit end nothing, and the log says so.
        """
        program = self.run(world, tmp_path, auth)
        program.waitFor(SERVES)
        dialling = client()
        call = dialling.dial()
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
            os.kill(program.pid, number)
            program.waitFor(f"{number.name} does nothing: ")
        assert dialling.ask("ping", call["number"]) == {}
        assert program.interrupt(signal.SIGTERM) in (0, -signal.SIGTERM)

    def test_anAddressThatIsNotOurs(self, world: World, tmp_path: Path, auth: str) -> None:
        path = tmp_path / "pptpgw.toml"
        path.write_text('[listen]\naddresses = ["203.0.113.9"]\n')
        program = self.run(world, tmp_path, auth, "--config", str(path))
        assert program.wait() == 1
        assert "can't receive GRE at 203.0.113.9: Cannot assign" in program.text.splitlines()[-1]
        assert "Traceback" not in program.text

    def test_manyMayWaitToBeAccepted(self, world: World, tmp_path: Path, auth: str) -> None:
        """
        The listening queue has room for a thousand callers at once, as after a power cut.
        """
        program = self.run(world, tmp_path, auth)
        program.waitFor(SERVES)
        command = world.gateway.command("ss", "-ltnH", "sport", "=", ":1723")
        shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
        assert int(shown.stdout.split()[2]) >= 1000
        program.interrupt()

    def test_oneAddressOfSeveral(
        self, world: World, tmp_path: Path, auth: str, client: Callable[[], Client]
    ) -> None:
        """
        The gateway listens at the addresses that the file names, and uses the checker that it
        names.
        """
        path = tmp_path / "pptpgw.toml"
        path.write_text(
            toml(
                {
                    "listen": {"addresses": [GATEWAY, "127.0.0.1"]},
                    "auth": {"checkers": [auth]},
                }
            )
        )
        command = (*FOREGROUND, "--config", str(path))
        program = Program(world.gateway, tmp_path / "twistd.log", *command)
        program.waitFor(f"answers on {GATEWAY}, 127.0.0.1")
        dialling = client()
        assert dialling.ask("ping", dialling.dial()["number"]) == {}
        dialling.ask("close")
        program.interrupt()

    def test_aDaemonThatCannotStartSaysWhy(self, world: World, tmp_path: Path, auth: str) -> None:
        path = tmp_path / "pptpgw.toml"
        path.write_text('[listen]\naddresses = ["203.0.113.9"]\n')
        files = (f"--pidfile={tmp_path}/pid", f"--logfile={tmp_path}/log")
        command = [*TWISTD, *files, "pptpgw", "--auth", auth, "--config", str(path)]
        done = subprocess.run(
            world.gateway.command(*command), cwd=ROOT, capture_output=True, text=True, timeout=20
        )
        assert done.returncode == 1
        assert "can't receive GRE at 203.0.113.9" in done.stderr
