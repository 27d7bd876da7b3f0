"""
A FreeRADIUS server for tests: its configuration folder, its ports and its process.
"""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

SECRET = "a secret of the tests"
PROGRAM = shutil.which("freeradius", path="/usr/sbin:/usr/local/sbin:/usr/bin")


def freePort() -> int:
    """
    A port of the loopback interface that is free for UDP and TCP.
    """
    while True:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as other,
        ):
            one.bind(("127.0.0.1", 0))
            try:
                other.bind(one.getsockname())
            except OSError:
                continue
            port: int = one.getsockname()[1]
            return port


class TLSFiles(NamedTuple):
    """
    The PEM files of a listener for RadSec.
    """

    authority: Path
    certificate: Path
    key: Path


class FreeRADIUS:
    """
    A server that runs from L{start} to L{stop} or L{kill}, any number of times.

    @ivar authPort: the port for Access-Requests.
    @ivar acctPort: the port for accounting.
    @ivar tlsPort: the port for both over TLS, if the server has certificates.
    """

    def __init__(
        self,
        folder: Path,
        users: str = "",
        tls: TLSFiles | None = None,
        modules: Mapping[str, str] | None = None,
        authorize: Sequence[str] = ("chap", "mschap", "files", "pap"),
        authenticate: Sequence[str] = ("pap", "chap", "mschap"),
        extra: str = "",
        secret: str = SECRET,
    ) -> None:
        """
        @param users: the users file: C{NAME Cleartext-Password := "..."} and reply attributes.
        @param modules: additional modules by name, with what their braces contain.
        @param extra: additional lines of radiusd.conf.
        """
        self.folder = folder
        self.authPort, self.acctPort, self.tlsPort = freePort(), freePort(), freePort()
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "users").write_text(users)
        (folder / "dictionary").write_text("")
        every = {
            "files": f"usersfile = {folder}/users",
            "pap": "",
            "chap": "",
            "mschap": "",
            "detail": f"filename = {folder}/detail\npermissions = 0600\nheader = %t",
            **(modules or {}),
        }
        (folder / "radiusd.conf").write_text(
            _CONFIGURATION.format(
                folder=folder,
                secret=secret,
                modules="\n".join(f"{name} {{\n{text}\n}}" for name, text in every.items()),
                listen="\n".join(
                    _LISTEN.format(type=type_, port=port)
                    for type_, port in (("auth", self.authPort), ("acct", self.acctPort))
                )
                + ("" if tls is None else _TLS.format(port=self.tlsPort, **tls._asdict())),
                authorize="\n".join(authorize),
                authenticate="\n".join(authenticate),
                extra=extra,
            )
        )

    @property
    def log(self) -> str:
        """
        The server's output so far.
        """
        return (self.folder / "log").read_text(errors="replace")

    def start(self, within: Sequence[str] = ()) -> None:
        """
        Start the server, and wait until it answers.

        @param within: a command that runs another one, for example in a network namespace.
        """
        assert PROGRAM is not None, "FreeRADIUS isn't installed: tests/packages.sh does that"
        with (self.folder / "log").open("wb") as output:
            self._process = subprocess.Popen(
                [
                    *within,
                    *(PROGRAM, "-f", "-xx", "-l", "stdout"),
                    *("-d", str(self.folder), "-n", "radiusd"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        for _ in range(1000):
            if "Ready to process requests" in self.log:
                return
            assert self._process.poll() is None, self.log[-4000:]
            time.sleep(0.01)
        raise AssertionError(self.log[-4000:])

    def stop(self, how: int = signal.SIGTERM) -> None:
        """
        Stop the server, if it runs.
        """
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(20)
        self._process = None

    def signal(self, how: signal.Signals) -> None:
        """
        Send a signal to the server without waiting for its effect.
        """
        assert self._process is not None
        self._process.send_signal(how)

    def kill(self) -> None:
        """
        Kill the server, as a crash would.
        """
        self.stop(signal.SIGKILL)

    def records(self) -> list[dict[str, str]]:
        """
        The accounting records in the server's detail file, in order, as values by attribute. An
        attribute that occurs several times has its last value.
        """
        path = self.folder / "detail"
        text = path.read_text() if path.exists() else ""
        return [
            {
                name: value.strip('"')
                for name, value in re.findall(r"^\t(\S+) = (.*)$", record, re.MULTILINE)
            }
            for record in text.split("\n\n")
            if "\t" in record
        ]


_LISTEN = """
    listen {{
        type = {type}
        ipaddr = 127.0.0.1
        port = {port}
    }}
"""

_TLS = """
    listen {{
        type = auth+acct
        ipaddr = 127.0.0.1
        port = {port}
        proto = tcp
        clients = radsec
        limit {{
            max_connections = 16
            lifetime = 0
            idle_timeout = 600
        }}
        tls {{
            private_key_file = {key}
            certificate_file = {certificate}
            ca_file = {authority}
            require_client_cert = yes
            tls_min_version = "1.2"
            tls_max_version = "1.3"
            cipher_list = "DEFAULT"
            fragment_size = 8192
            cache {{
                enable = no
            }}
        }}
    }}
"""

_CONFIGURATION = """
prefix = /usr
libdir = /usr/lib/freeradius
localstatedir = {folder}
logdir = {folder}
raddbdir = {folder}
radacctdir = {folder}
run_dir = {folder}
pidfile = {folder}/radiusd.pid
max_request_time = 5
cleanup_delay = 2
max_requests = 65536
hostname_lookups = no

security {{
    max_attributes = 200
    reject_delay = 0
    status_server = yes
}}

thread pool {{
    start_servers = 2
    max_servers = 8
    min_spare_servers = 1
    max_spare_servers = 8
    max_requests_per_server = 0
}}

client localhost {{
    ipaddr = 127.0.0.1
    proto = *
    secret = "{secret}"
    require_message_authenticator = yes
}}

clients radsec {{
    client tls {{
        ipaddr = 127.0.0.1
        proto = tls
        secret = radsec
    }}
}}

modules {{
{modules}
}}

{extra}

server default {{
{listen}
    authorize {{
{authorize}
    }}
    authenticate {{
{authenticate}
    }}
    preacct {{
    }}
    accounting {{
        detail
    }}
    post-auth {{
        update reply {{
            &Message-Authenticator := 0x00
        }}
        Post-Auth-Type REJECT {{
            update reply {{
                &Message-Authenticator := 0x00
            }}
        }}
        Post-Auth-Type Challenge {{
            update reply {{
                &Message-Authenticator := 0x00
            }}
        }}
    }}
}}
"""
