"""
The permissions that the gateway needs from the kernel: raw sockets, network configuration, and the
TUN device.

If the process lacks one, a user and network namespace of its own gives it all three, if the machine
permits such namespaces. The gateway can then be dialled only from inside that namespace.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from pptpgw.error import NotPermitted
from pptpgw.ports import capabilities
from pptpgw.ports.rtnetlink import RequestSocket

TUN_DEVICE = "/dev/net/tun"
_CAPABILITIES = {capabilities.NET_ADMIN: "CAP_NET_ADMIN", capabilities.NET_RAW: "CAP_NET_RAW"}
# The environment variable that is set in a namespace of our own, so that the process doesn't try
# again.
_ENTERED = "PPTPGW_NAMESPACE"
_FORWARDING = ("/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding")
# From linux/sockios.h and linux/if.h.
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1

_GRANT = (
    "run as root (sudo), or grant the capabilities: systemd's AmbientCapabilities=CAP_NET_ADMIN "
    "CAP_NET_RAW, as in tap/pptpgw.service, or for one command: sudo setpriv --reuid=$(id -u) "
    "--regid=$(id -g) --init-groups --inh-caps=+net_admin,+net_raw "
    "--ambient-caps=+net_admin,+net_raw make run"
)


def missing() -> list[str]:
    """
    Return what this process lacks, in words; an empty list if it lacks nothing.
    """
    effective = capabilities.effective()
    lacks = [
        f"the capability {name}" for bit, name in _CAPABILITIES.items() if not effective >> bit & 1
    ]
    if not os.path.exists(TUN_DEVICE):
        lacks.append(f"{TUN_DEVICE} (modprobe tun; in a container, pass the device in)")
    elif not os.access(TUN_DEVICE, os.R_OK | os.W_OK):
        lacks.append(f"the permission to read and write {TUN_DEVICE} (chmod 666 {TUN_DEVICE})")
    return lacks


def acquire(module: str = "pptpgw", apart: bool = False) -> None:
    """
    Return if nothing is missing; otherwise run this program again in a namespace of its own.

    @param module: the name of the module to run.
    @param apart: whether the process must have a network namespace of its own in any case.
    @raise NotPermitted: permissions are missing, and a namespace isn't possible or doesn't help.
    """
    lacks = missing()
    if inNamespace() and not lacks:
        _raiseLoopback()
        return
    if not lacks and not apart:
        return
    lacking = ", ".join(lacks) or "a network of its own"
    reason = f"the gateway lacks {lacking}: {_GRANT}"
    # A namespace doesn't change the permissions of the TUN device.
    unshare = shutil.which("unshare")
    if inNamespace() or unshare is None or any(TUN_DEVICE in lack for lack in lacks):
        raise NotPermitted(reason)
    user = ["--user", "--map-root-user"] if lacks or os.geteuid() else []
    enter = [unshare, *user, "--net", "--"]
    tried = subprocess.run(
        [*enter, "true"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if tried.returncode:
        raise NotPermitted(
            f"{reason}. A network namespace of its own isn't allowed here either: "
            f"{tried.stderr.strip()}"
        )
    os.environ[_ENTERED] = "1"
    os.execv(unshare, [*enter, sys.executable, "-m", module, *sys.argv[1:]])


def drop(path: str) -> None:
    """
    Give up all privileges but those that the gateway needs. Call this while the process has only
    one thread.

    @param path: the folder of the gateway's files; root changes to the user that owns it.
    @raise NotPermitted: the kernel refuses.
    """
    capabilities.drop(Path(path), Path(TUN_DEVICE))


def inNamespace() -> bool:
    """
    Return whether this process has entered a namespace of its own.
    """
    return _ENTERED in os.environ


def environment() -> dict[str, str]:
    """
    Return the environment of a program that is to enter another namespace of its own, whether or
    not this process has entered one.
    """
    return {name: value for name, value in os.environ.items() if name != _ENTERED}


def namespaceCommand() -> str:
    """
    Return the beginning of a shell command that runs a program inside the namespace.
    """
    return f"nsenter --target {os.getpid()} --user --net --preserve-credentials"


def forward() -> None:
    """
    Have the kernel forward packets of both families in this namespace.

    @raise NotPermitted: the namespace isn't our own, or the kernel refuses.
    """
    if not inNamespace():
        raise NotPermitted("forwarding is the administrator's to turn on")
    for switch in _FORWARDING:
        try:
            with open(switch, "w", encoding="ascii") as file:
                file.write("1\n")
        except OSError as error:
            raise NotPermitted(f"{switch}: {error.strerror}") from error


def hostAddresses() -> list[str]:
    """
    Return the IPv4 addresses of this machine, dotted, without loopback addresses.
    """
    with closing(RequestSocket()) as netlink:
        addresses = [one.ip for one in netlink.ipv4Addresses()]
    return [str(address) for address in addresses if not address.is_loopback]


def _raiseLoopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_:
        request = struct.pack("16sH14x", b"lo", 0)
        answer = fcntl.ioctl(any_, _SIOCGIFFLAGS, request)
        (flags,) = struct.unpack_from("H", answer, 16)
        fcntl.ioctl(any_, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))
