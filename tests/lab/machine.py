"""
A machine that Debian's systemd boots and runs: process 1 of namespaces of its own, in the network
of the lab's gateway.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.lab.peers import Namespace, Process, run

ROOT = Path(__file__).parents[2]
SECONDS = 180
"""
Seconds that anything on the machine may take.
"""

BOOT = """
set -e
mount --make-rprivate /
# FOLDER PLACE: have the folder at a place where nothing that is written lasts.
overlay() {
    local over=/tmp/over$2
    mkdir -p $over/upper $over/work $2
    mount -t overlay -o lowerdir=$1,upperdir=$over/upper,workdir=$over/work overlay $2
}
overlay /etc /etc
mount -t tmpfs tmpfs /opt
overlay $1 /opt/source
mount -o remount,bind,ro $1
systemd=/lib/systemd/system
for folder in /var /tmp /run /etc/systemd/system $systemd-generators $systemd/*.target.wants; do
    mount -t tmpfs tmpfs $folder
done
mkdir -p /var/lib /var/log /var/tmp /etc/systemd/system/sysinit.target.wants
ln -s /run /var/run
# As udev has it.
chmod 666 /dev/net/tun
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup

# What 'pip install .' would do, without a compiler and a network.
$2 -m venv --without-pip /opt/pptpgw
site=lib/$2/site-packages
printf '%s\\n' /opt/source /opt/source/.venv/$site >/opt/pptpgw/$site/source.pth
for name in twistd pptpgw; do
    sed '1s|.*|#!/opt/pptpgw/bin/python|' /opt/source/.venv/bin/$name >/opt/pptpgw/bin/$name
    chmod 755 /opt/pptpgw/bin/$name
done

# Of Debian's units only the journal is started by itself.
ln -s $systemd/systemd-journald.service /etc/systemd/system/sysinit.target.wants
exec /lib/systemd/systemd --system --unit=multi-user.target --show-status=no
"""
"""
The script that becomes systemd. Its arguments are the folder of the project and the name of the
system's Python, which the service can read wherever that of the tests is. It puts the project at
C{/opt/source}, and installs it at C{/opt/pptpgw}.
"""


class Machine(Process):
    """
    The machine. The constructor returns when it has booted.

    @ivar journal: a program that prints the journal.
    """

    def __init__(self, network: Namespace, log: Path) -> None:
        run("modprobe", "-d", "/run/lab/modroot", "overlay")
        apart = ["--pid", "--fork", "--kill-child", "--mount", "--ipc", "--uts", "--cgroup"]
        python = f"python{sys.version_info.major}.{sys.version_info.minor}"
        script = ["sh", "-c", BOOT, "sh", str(ROOT), python]
        command = ["env", "container=lab", "unshare", *apart, *script]
        super().__init__(network.command(*command), log)
        deadline = time.monotonic() + SECONDS
        while self.fails("systemctl", "is-system-running"):
            assert self.running, self.text
            assert time.monotonic() < deadline
            time.sleep(0.2)
        follow = self.command("journalctl", "--follow", "--no-tail", "--output=short-monotonic")
        self.journal = Process(follow, log.with_name("journal.log"))

    def command(self, *command: str) -> list[str]:
        """
        The command that runs C{command} on this machine, in the folder of the project.
        """
        init = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().strip()
        return ["nsenter", f"--target={init}", "--all", "--wdns=/opt/source", "--", *command]

    def run(self, *command: str, stdin: str = "") -> str:
        """
        Run a command on this machine, which must succeed, and return its output.
        """
        return run(*self.command(*command), stdin=stdin, timeout=SECONDS)

    def fails(self, *command: str) -> bool:
        """
        Return whether a command on this machine fails.
        """
        return (
            subprocess.run(self.command(*command), capture_output=True, timeout=SECONDS).returncode
            != 0
        )

    def write(self, path: str, text: str, mode: str = "644") -> None:
        """
        Write a file on this machine, in a folder that is made if needed.
        """
        script = 'mkdir -p "${0%/*}" && cat >"$0" && chmod "$1" "$0"'
        self.run("sh", "-ec", script, path, mode, stdin=text)

    def property(self, unit: str, name: str) -> str:
        """
        A property of a unit, as C{systemctl show} has it.
        """
        return self.run("systemctl", "show", "--value", f"--property={name}", unit).strip()

    def becomes(self, unit: str, name: str, value: str, timeout: float = SECONDS) -> None:
        """
        Wait until a property of a unit has a value.
        """
        deadline = time.monotonic() + timeout
        while (found := self.property(unit, name)) != value:
            assert time.monotonic() < deadline, f"{name} of {unit} is {found!r}, not {value!r}"
            time.sleep(0.2)

    def entries(self, unit: str) -> list[dict[str, Any]]:
        """
        The entries of the journal that the processes of a unit wrote.
        """
        lines = self.run("journalctl", f"--unit={unit}", "--output=json", "_TRANSPORT=stdout")
        return [json.loads(line) for line in lines.splitlines()]
