"""
strongSwan on hosts of the lab, and xl2tpd above it, as Debian has them.
"""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from signal import SIGTERM

from tests.lab.peers import Namespace, Process

CHARON = "/usr/sbin/charon-systemd"

MODULES = (
    "cryptomgr drbg authenc cbc hmac echainiv seqiv esp4 xfrm_user af_key l2tp_ppp "
    "ip_tables iptable_mangle iptable_nat xt_mark xt_connmark xt_policy xt_udp xt_esp nf_conntrack"
)

WHOLE = """\
charon-systemd {{
  load = random nonce aes sha1 sha2 md5 hmac kdf openssl gmp pem pkcs1 pkcs8 x509 pubkey \
constraints kernel-netlink socket-default vici updown connmark
  syslog {{ daemon {{ default = -1 }} }}
  journal {{ default = -1 }}
  filelog {{ out {{ path = {folder}/charon.log
    default = 1
    flush_line = yes
  }} }}
  plugins {{ vici {{ socket = unix://{folder}/vici }} }}
}}
swanctl {{ load = random openssl pem pkcs1 pkcs8 x509 pubkey }}
"""

IKE_PROPOSAL, ESP_PROPOSAL = "aes256-sha1-modp2048", "aes256-sha1"


@cache
def loadModules() -> None:
    """
    Load the modules of IPsec, and have the kernel find the others by itself.
    """
    program = Path("/run/lab/modprobe")
    program.write_text('#!/bin/sh\nexec /sbin/modprobe -d /run/lab/modroot "$@"\n')
    program.chmod(0o755)
    Path("/proc/sys/kernel/modprobe").write_text(f"{program}\n")
    for module in MODULES.split():
        # What is compiled in, or isn't there, shows by itself.
        Process(["modprobe", "-d", "/run/lab/modroot", module], Path("/tmp/modprobe")).wait()


class StrongSwan(Process):
    """
    A charon of its own in a network namespace.

    @ivar socket: the path of its socket for vici.
    """

    def __init__(self, namespace: Namespace, folder: Path) -> None:
        """
        @param folder: a folder for its files, which exists.
        """
        loadModules()
        self._namespace = namespace
        self._folder = folder
        self.socket = folder / "vici"
        (folder / "strongswan.conf").write_text(WHOLE.format(folder=folder))
        for name in ("private", "x509", "x509ca"):
            (folder / name).mkdir(exist_ok=True)
        super().__init__(namespace.command(*self._program(CHARON)), folder / "charon.out")
        self.logs.append(folder / "charon.log")
        deadline = time.monotonic() + 60
        while not self.socket.exists():
            assert self.running, f"charon ended at once:\n{self.text}"
            assert time.monotonic() < deadline, f"charon doesn't answer:\n{self.text}"
            time.sleep(0.02)

    def stop(self, number: int = SIGTERM, timeout: float = 20.0) -> int:
        """
        See L{Process.stop}. What it has told the kernel doesn't outlive it, even if it was killed.
        """
        status = super().stop(number, timeout)
        for what in ("policy", "state"):
            self._namespace.ip(f"xfrm {what} flush")
        return status

    def load(self, configuration: str) -> None:
        """
        Have it load a configuration, and the keys and certificates in its folders.
        """
        path = self._folder / "swanctl.conf"
        path.write_text(configuration)
        self.swanctl("--load-all", "--file", str(path))

    def swanctl(self, *words: str) -> str:
        """
        Run C{swanctl}, which must succeed, and return its output.
        """
        command = self._program("swanctl", *words, "--uri", f"unix://{self.socket}")
        return self._namespace.run(*command, timeout=120)

    def initiate(self) -> None:
        """
        Have it make the associations of L{client}.
        """
        self.swanctl("--initiate", "--child", "l2tp", "--timeout", "60")

    def listed(self, name: str) -> str:
        """
        Wait until it lists an installed association of the connection C{name}, and return the list.
        """
        deadline = time.monotonic() + 60
        while True:
            found = self.swanctl("--list-sas")
            if name in found and "INSTALLED" in found:
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.1)

    def _program(self, *command: str) -> tuple[str, ...]:
        return (
            "env",
            f"STRONGSWAN_CONF={self._folder}/strongswan.conf",
            f"SWANCTL_DIR={self._folder}",
            *command,
        )


def client(
    gateway: str,
    auth: str,
    secret: str = "",
    encapsulated: bool = False,
    proposals: str = IKE_PROPOSAL,
    esp: str = ESP_PROPOSAL,
    port: int = 1701,
    more: str = "",
) -> str:
    """
    Return the configuration of a client.

    @param auth: the settings of the client's own authentication, C{auth} among them.
    @param secret: the pre-shared key; empty for none.
    @param encapsulated: whether it behaves as if there were a NAT.
    @param port: its UDP port for L2TP.
    @param more: other settings of the connection.
    """
    kind = auth.split()[2]
    return (
        "connections { l2tp {\n"
        f"version = 1\nremote_addrs = {gateway}\nproposals = {proposals}\n"
        f"encap = {'yes' if encapsulated else 'no'}\n{more}\n"
        f"local {{\n{auth}\n}}\nremote {{\nauth = {kind}\n}}\n"
        f"children {{ l2tp {{\nmode = transport\nesp_proposals = {esp}\n"
        f"local_ts = dynamic[udp/{port}]\nremote_ts = dynamic[udp/1701]\n}} }}\n"
        "} }\n" + (f'secrets {{ ike-l2tp {{\nsecret = "{secret}"\n}} }}\n' if secret else "")
    )
