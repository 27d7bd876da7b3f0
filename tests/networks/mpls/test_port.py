"""
Tests for L{pptpgw.networks.mpls.port}. The lab tests labelled packets with a kernel that has MPLS.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from pptpgw.counting.counters import Counters
from pptpgw.error import NotPermitted
from pptpgw.networks.mpls.port import MPLSPort
from tests.ports.namespace import Readers, inNamespace


def test_noMPLS(tmp_path: Path) -> None:
    """
    The error about a kernel without MPLS says how to load it, and nothing is opened.
    """
    port = MPLSPort(cast(Any, Readers()), "labels0", 1396, Counters(), tmp_path / "mpls")
    with pytest.raises(NotPermitted, match="modprobe mpls_router"):
        port.start()
    assert port.fileno() < 0


def test_device() -> None:
    """
    The device is brought up with MPLS switched on, and is removed at the end or left as it was
    found.
    """
    inNamespace("labels")
