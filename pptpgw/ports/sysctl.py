"""
The kernel's settings for IPv6 on this machine.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path("/proc/sys/net/ipv6/conf")
"""
The folder of the settings, which has a folder for each interface and one for all.
"""


def ipv6Disabled(interface: str) -> str:
    """
    Return why C{interface} has no IPv6, and what to do about it; an empty text if it has.
    """
    switch = _read(FOLDER / interface / "disable_ipv6")
    if switch is None:
        return "the kernel has no IPv6"
    if switch != "0":
        return (
            f"IPv6 is disabled on interface {interface}: "
            "sysctl net.ipv6.conf.default.disable_ipv6=0, before the gateway starts"
        )
    return ""


def enableIPv6(interface: str) -> None:
    """
    Have C{interface} use IPv6, where new interfaces don't. The kernel ignores the advertisements of
    routers there, since this process follows them.

    @raise OSError: the setting can't be changed.
    """
    for name in ("disable_ipv6", "accept_ra"):
        switch = FOLDER / interface / name
        if _read(switch) != "0":
            switch.write_text("0")


def ipv6NotForwarded() -> str:
    """
    Return why IPv6 packets aren't forwarded by this machine, and what to do about it; an empty text
    if they are.
    """
    if _read(FOLDER / "all" / "forwarding") == "0":
        return (
            "the kernel doesn't forward IPv6, so callers reach nothing beyond this machine: "
            "sysctl net.ipv6.conf.all.forwarding=1"
        )
    return ""


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
