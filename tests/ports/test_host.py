"""
Tests for L{pptpgw.ports.host} on this machine.
"""

from __future__ import annotations

from pptpgw.ports.host import Host


def test_settingsOfTheKernel() -> None:
    """
    The kernel refuses reads of C{/proc/sys} that are too large.
    """
    assert Host().read("/proc/sys/net/ipv4/ip_forward") in ("0\n", "1\n")


def test_nothing() -> None:
    assert Host().read("/nonexistent") is None
