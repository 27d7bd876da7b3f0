"""
Tests for L{pptpgw.ports.sysctl}.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pptpgw.ports import sysctl


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """
    A folder in place of the kernel's switches.
    """
    monkeypatch.setattr(sysctl, "FOLDER", tmp_path)
    for name in ("all", "pptp0"):
        (tmp_path / name).mkdir()
    return tmp_path


def test_where() -> None:
    """
    The switches are where Linux has them.
    """
    assert not sysctl.FOLDER.parent.exists() or (sysctl.FOLDER / "all" / "forwarding").exists()


def test_disabled(folder: Path) -> None:
    switch = folder / "pptp0" / "disable_ipv6"
    assert sysctl.ipv6Disabled("pptp0") == "the kernel has no IPv6"
    switch.write_text("1\n")
    assert "disabled on interface pptp0" in sysctl.ipv6Disabled("pptp0")
    switch.write_text("0\n")
    assert sysctl.ipv6Disabled("pptp0") == ""


def test_forwarding(folder: Path) -> None:
    switch = folder / "all" / "forwarding"
    switch.write_text("0\n")
    assert "net.ipv6.conf.all.forwarding=1" in sysctl.ipv6NotForwarded()
    for text in ("1\n", "2\n"):
        switch.write_text(text)
        assert sysctl.ipv6NotForwarded() == ""


def test_enabled(folder: Path) -> None:
    """
    IPv6 is enabled where it is disabled; elsewhere nothing is written.
    """
    switch = folder / "pptp0" / "disable_ipv6"
    switch.write_text("1\n")
    sysctl.enableIPv6("pptp0")
    assert switch.read_text() == "0"
    switch.write_text("0\n")
    sysctl.enableIPv6("pptp0")
    assert switch.read_text() == "0\n"
    with pytest.raises(FileNotFoundError):
        sysctl.enableIPv6("ppp1")
