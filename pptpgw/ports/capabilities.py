"""
Giving up the capabilities that the gateway doesn't need, in a process that was started as root.

Each thread has capabilities of its own, and a new thread begins with those of the thread that
starts it. So they must be given up before a second thread is started.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from pathlib import Path

from pptpgw.error import NotPermitted

# From linux/capability.h and linux/prctl.h.
NET_ADMIN, NET_RAW = 12, 13
_DAC_OVERRIDE, _FOWNER, _SETPCAP = 1, 3, 8
_VERSION_3 = 0x20080522
_PR_SET_KEEPCAPS, _PR_CAPBSET_READ, _PR_CAPBSET_DROP = 8, 23, 24
_PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4

NEEDED = frozenset({NET_ADMIN, NET_RAW})
"""
The capabilities for raw sockets, and for network devices with their addresses and routes.
"""
_FILES = frozenset({_DAC_OVERRIDE, _FOWNER})


def effective() -> int:
    """
    Return the effective capabilities of this thread, one bit each.
    """
    status = Path("/proc/thread-self/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("CapEff:")]
    return int(line.split()[1], 16)


def drop(path: Path, device: Path) -> None:
    """
    Give up all capabilities but L{NEEDED} for good, also for programs that this process starts.

    The process changes from root to the user that owns the folder of the gateway's files, because
    root without capabilities couldn't use files of another user. If that user may not read the
    program or open the TUN device, the process stays root and keeps the capability to use files of
    other users.

    @param path: the folder of the gateway's files; it may be missing.
    @param device: the path of the TUN device.
    @raise NotPermitted: the kernel refuses.
    """
    found, wanted = effective(), NEEDED
    owner = _nearest(path).stat()
    becoming = os.geteuid() == 0 != owner.st_uid
    program = (Path(os.__file__), Path(sys.prefix), Path(__file__))
    if os.geteuid() == 0 and not (
        _mayUse(device, owner.st_uid, 0o6)
        and all(_mayUse(one, owner.st_uid, 0o4) for one in program)
    ):
        becoming, wanted = False, NEEDED | _FILES
    libc = ctypes.CDLL(None, use_errno=True)

    def call(result: int) -> None:
        if result < 0:
            error = ctypes.get_errno()
            raise NotPermitted(f"capabilities can't be given up: {os.strerror(error)}")

    call(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    call(libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
    if found >> _SETPCAP & 1:
        number = 0
        while libc.prctl(_PR_CAPBSET_READ, number, 0, 0, 0) >= 0:
            if number not in wanted:
                call(libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0))
            number += 1
    if becoming:
        call(libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0))
        try:
            os.setgroups([])
            os.setresgid(owner.st_gid, owner.st_gid, owner.st_gid)
            os.setresuid(owner.st_uid, owner.st_uid, owner.st_uid)
        except OSError as error:
            raise NotPermitted(
                f"the process can't change from root to user {owner.st_uid}, who owns {path}: "
                f"{error.strerror}; name a folder of root's with --state"
            ) from error
    bits = found & sum(1 << number for number in wanted)
    # Effective, permitted and inheritable sets: the lower 32 bits of each, then the higher ones.
    header = struct.pack("Ii", _VERSION_3, 0)
    low, high = bits & 0xFFFFFFFF, bits >> 32
    call(libc.capset(header, struct.pack("6I", low, low, 0, high, high, 0)))


def _mayUse(path: Path, user: int, bits: int) -> bool:
    """
    Return whether a user may use a file.

    This is so if C{user} owns C{path}, or if everybody has the permissions C{bits} of its mode; and
    if the same is true of the permission to enter each folder above it.
    """

    def allows(one: Path, bits: int) -> bool:
        found = one.stat()
        return found.st_uid == user or found.st_mode & bits == bits

    return allows(path, bits) and all(allows(one, 0o1) for one in path.absolute().parents)


def _nearest(path: Path) -> Path:
    """
    Return C{path} or, if it doesn't exist, the nearest folder above it that does.
    """
    path = path.absolute()
    return next(one for one in (path, *path.parents) if one.exists())
