"""
Faults that a campaign must find before its results count: one in Python, and one in C for each
sanitizer.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from tests.fuzz.build import PLANTED
from tests.fuzz.reader import Target

FAULTS = {
    b"\0": "AssertionError: planted",
    b"\1": "AddressSanitizer: heap-buffer-overflow",
    b"\2": "runtime error: signed integer overflow",
}
"""
Inputs, and the reports that they must cause.
"""


def _planted(octets: bytes) -> None:
    assert octets[:1] != b"\0", "planted"
    library = ctypes.CDLL(str(Path(os.environ["PPTPGW_NATIVE"]) / PLANTED))
    library.planted(octets, ctypes.c_size_t(len(octets)))


TARGETS: dict[str, Target] = {"planted": _planted}
"""
Targets by name.
"""
