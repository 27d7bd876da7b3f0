"""
What a diagnosis asks this machine: files, capabilities, clocks, disks and firewall rules. Nothing
is changed.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from pptpgw.ports import capabilities
from pptpgw.ports.nft import lackingTables
from pptpgw.ports.pppox import lackingPPPoX
from pptpgw.ports.pppprobe import lackingPPP

# The state of the kernel's clock that means that nothing disciplines it (linux/timex.h).
_TIME_ERROR = 5
# More octets than struct timex has.
_TIMEX_OCTETS = 512
# Files in /proc and /sys, and certificates, are smaller. The kernel refuses to read a file in
# /proc/sys for somebody who asks for more than it can allocate, which is 4 MiB.
_MAXIMUM_OCTETS = 1 << 20
_RULES_SECONDS = 10.0


class Host:
    """
    This machine, as a diagnosis sees it.
    """

    def read(self, path: str) -> str | None:
        """
        Return the content of a file; None if it can't be read.
        """
        try:
            with open(path, "rb") as file:
                return file.read(_MAXIMUM_OCTETS).decode(errors="replace")
        except OSError:
            return None

    def mode(self, path: str) -> int | None:
        """
        Return the mode of a file, see C{os.stat}; None if there is none, or it isn't visible.
        """
        try:
            return os.stat(path).st_mode
        except OSError:
            return None

    def names(self, path: str) -> list[str]:
        """
        Return the names in a folder; none if it can't be read.
        """
        try:
            return sorted(os.listdir(path))
        except OSError:
            return []

    def link(self, path: str) -> str:
        """
        Return what a symbolic link says; empty if it can't be read.
        """
        try:
            return os.readlink(path)
        except OSError:
            return ""

    def mayUse(self, path: str) -> bool:
        """
        Return whether this process may read and write a file.
        """
        return os.access(path, os.R_OK | os.W_OK)

    def capabilities(self) -> int:
        """
        Return the effective capabilities of this process, one bit each.
        """
        return capabilities.effective()

    def lackingPPP(self) -> str:
        """
        Return why the kernel can't carry calls, for which a device is made and removed again; an
        empty text if it can.
        """
        return lackingPPP()

    def lackingPPPoX(self, protocol: int) -> str:
        """
        See L{pptpgw.ports.pppox.lackingPPPoX}.
        """
        return lackingPPPoX(protocol)

    def lackingTables(self) -> str:
        """
        Return why there can be no tables of nftables; an empty text if there can.
        """
        return lackingTables()

    def free(self, path: str) -> tuple[int, int] | None:
        """
        Return how many octets are free to this user on the disk of a file or folder, which need not
        exist, and how many the disk has; None if that can't be told.
        """
        found = _disk(path)
        if found is None:
            return None
        return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize

    def isReadOnly(self, path: str) -> bool:
        """
        Return whether the disk of a file or folder, which need not exist, is mounted read-only.
        """
        found = _disk(path)
        return found is not None and bool(found.f_flag & os.ST_RDONLY)

    def synchronised(self) -> bool | None:
        """
        Return whether something keeps the kernel's clock right; None if that can't be told.
        """
        buffer = ctypes.create_string_buffer(_TIMEX_OCTETS)
        try:
            state = ctypes.CDLL(None).adjtimex(buffer)
        except (AttributeError, OSError):
            return None
        return None if state < 0 else state != _TIME_ERROR

    def isMonotonic(self) -> bool:
        """
        Return whether there is a clock that never goes back.
        """
        return time.get_clock_info("monotonic").monotonic

    def ruleset(self) -> str | None:
        """
        Return the rules of nftables, as C{nft} prints them in JSON; None if it can't.
        """
        nft = shutil.which("nft", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        if nft is None:
            return None
        try:
            done = subprocess.run(
                [nft, "-j", "list", "ruleset"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_RULES_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout if done.returncode == 0 else None


def _disk(path: str) -> os.statvfs_result | None:
    """
    Return what the kernel says of the disk of a file or folder, which need not exist; None for
    nothing.
    """
    place = Path(path).absolute()
    for one in (place, *place.parents):
        with suppress(OSError):
            return os.statvfs(one)
    return None
