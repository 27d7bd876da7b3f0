"""
Tests that run the commands in README.md and tap/README.md word for word on this machine. Its
C{/etc}, C{/opt}, C{/usr/local}, C{/var/backups} and C{/var/lib} are overlaid, so that nothing is
left.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_twistd import SERVES
from tests.integration.world import ALICE, ROOT, Client, Program, World
from tests.terminal import Terminal
from tests.test_packaging import NOT_SOURCE

OVERLAY = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
for folder in /etc /opt /usr/local /var/backups /var/lib; do
    mkdir -p "$1$folder/upper" "$1$folder/work"
    mount -t overlay overlay \
        -o "lowerdir=$folder,upperdir=$1$folder/upper,workdir=$1$folder/work" "$folder"
done
cat >/usr/local/bin/systemctl <<'END'
#!/bin/sh
# Nothing here starts units; the test does what this one says.
echo "$@" >>/var/lib/systemctl.log
END
chmod 755 /usr/local/bin/systemctl
# As udev has it.
mknod -m 666 "$1/tun" c 10 200
mount --bind "$1/tun" /dev/net/tun
mkdir -p /etc/ppp
echo 'carol * staple *' >/etc/ppp/chap-secrets
echo ready
exec sleep infinity
"""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SECONDS = 300
"""
Seconds that a block of commands may take. One of the blocks downloads and compiles.
"""


def blocks(document: str, heading: str) -> list[str]:
    """
    The blocks of shell commands in a section of a document.
    """
    (section,) = re.findall(
        rf"^## {heading}\n(.*?)(?=^## )", (ROOT / document).read_text(), re.MULTILINE | re.DOTALL
    )
    return re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


class Machine:
    """
    The machine of the documents: this one with files of its own over it, and with the gateway's
    network.
    """

    def __init__(self, world: World, folder: Path) -> None:
        self._world = world
        self._terminal = Terminal()
        self._source = shutil.copytree(ROOT, folder / "source", ignore=NOT_SOURCE)
        kept = ("PIP_", "HTTP", "http", "SSL_", "REQUESTS_")
        self.environment = {
            name: value for name, value in os.environ.items() if name.startswith(kept)
        } | {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8"}
        over = folder / "over"
        over.mkdir()
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", OVERLAY, "sh", str(over)], stdout=subprocess.PIPE
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"ready\n"

    def command(self, *command: str) -> list[str]:
        """
        The command that runs C{command} on this machine, in the folder of the source.
        """
        inside = ["nsenter", f"--target={self._holder.pid}", "--mount", f"--wd={self._source}"]
        return [*inside, "--", *command]

    def start(self, text: str, password: str = "") -> None:
        """
        Run a block of commands, which must succeed.

        @param password: what is typed wherever a password is asked for.
        """
        process = self._terminal.run(*self.command("sh", "-ec", text), env=self.environment)
        if password:
            for prompt in ("Password of", "Again:"):
                self._terminal.waitFor(prompt, SECONDS)
                self._terminal.type(password.encode() + b"\n")
        status = self._terminal.end(process, SECONDS)
        assert status == 0, f"{text}\n{self._terminal.text}"

    def read(self, *command: str) -> str:
        """
        The output of a command.
        """
        done = subprocess.run(
            self.command(*command), env=self.environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def program(self, log: Path, *command: str) -> Program:
        """
        Start a command in the gateway's network.
        """
        environment = [f"{name}={value}" for name, value in self.environment.items()]
        return Program(self._world.gateway, log, *self.command("env", "-i", *environment, *command))

    def remove(self) -> None:
        """
        Remove the machine.
        """
        self._holder.kill()
        self._holder.communicate()
        self._terminal.close()


@pytest.fixture
def machine(world: World, tmp_path: Path) -> Iterator[Machine]:
    made = Machine(world, tmp_path)
    yield made
    made.remove()


class Unit:
    """
    A systemd unit: its settings by name.
    """

    def __init__(self, text: str) -> None:
        self._lines = [line.partition("=")[::2] for line in text.replace("\\\n", " ").splitlines()]

    def every(self, name: str) -> list[str]:
        """
        The values of each C{name=}.
        """
        return [value for key, value in self._lines if key == name]

    def command(self, name: str) -> list[str]:
        """
        The command in C{name=}, run as the unit's user, with the unit's capabilities and umask. One
        that systemd runs with all privileges (C{+}) is left out.
        """
        (user,), (group,), (mask,) = (self.every(key) for key in ("User", "Group", "UMask"))
        (capabilities,) = self.every("AmbientCapabilities")
        granted = "-all," + ",".join(
            f"+{one.removeprefix('CAP_').lower()}" for one in capabilities.split()
        )
        (line,) = [one for one in self.every(name) if "+" not in one[:2]]
        sets = [f"--{which}={granted}" for which in ("inh-caps", "ambient-caps", "bounding-set")]
        identity = [f"--reuid={user}", f"--regid={group}", "--init-groups", "--no-new-privs"]
        return ["setpriv", *identity, *sets, "sh", "-c", f"umask {mask}; cd /; exec {line}"]


def call(program: Program, dialling: Client, *users: tuple[str, str]) -> None:
    """
    Place a call that is refused and then calls that are served.
    """
    assert "error" in dialling.ask("call", "alice", "open barley", 1400)
    program.waitFor("'alice' is refused")
    for user in users:
        call: dict[str, Any] = dialling.dial(user)
        assert call["encryption"] == "MPPE 128 bit stateless"
        assert dialling.ask("ping", call["number"]) == {}


def test_asTheDocumentsSay(
    world: World, machine: Machine, tmp_path: Path, client: Callable[[], Client]
) -> None:
    install, foreground, accounts, *_ = blocks("README.md", "Run it")
    machine.start(install, ALICE[1])
    program = machine.program(tmp_path / "foreground.log", "sh", "-ec", f"exec {foreground}")
    program.waitFor(SERVES)
    dialling = client()
    call(program, dialling, ALICE)
    machine.start(accounts)
    call(program, dialling, ("carol", "staple"))
    program.interrupt()
    assert "Traceback" not in program.text and "#critical" not in program.text, program.text
    assert modes(machine, "/var/backups/pptpgw.sqlite") == "600 root"

    service, users, check = blocks("tap/README.md", "As a systemd service")
    machine.start(service)
    assert machine.read("tail", "-n1", "/var/lib/systemctl.log") == "enable --now pptpgw\n"
    unit = Unit(machine.read("cat", "/etc/systemd/system/pptpgw.service"))
    machine.read(*unit.command("ExecStartPre"))
    program = machine.program(tmp_path / "unit.log", *unit.command("ExecStart"))
    program.waitFor(SERVES)
    dialling = client()
    call(program, dialling, ALICE)
    machine.read("sh", "-c", "echo 'dave * sesame *' >/etc/ppp/chap-secrets")
    machine.start(users)
    call(program, dialling, ALICE, ("carol", "staple"), ("dave", "sesame"))
    machine.start(check)
    program.interrupt()
    assert "Traceback" not in program.text and "#critical" not in program.text, program.text
    for name in ("accounts.sqlite", "copy.sqlite"):
        assert modes(machine, f"/var/lib/pptpgw/{name}") == "600 pptpgw"


def modes(machine: Machine, path: str) -> str:
    """
    The mode and the owners of a file.
    """
    return machine.read("stat", "--format=%a %U", path).strip()
