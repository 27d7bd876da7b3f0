"""
Tests for L{pptpgw.store.vault}.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pptpgw.store.error import StoreError
from pptpgw.store.vault import Vault


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """
    A vault whose key doesn't exist yet.
    """
    return Vault(tmp_path / "folder" / "key", create=True)


@given(st.text(min_size=1, max_size=20), st.binary(max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_whatIsSealedOpens(vault: Vault, name: str, password: bytes) -> None:
    """
    A sealed password is opened again, and sealing it twice gives different octets.
    """
    sealed = vault.seal(name, password)
    assert vault.open(name, sealed) == password
    assert vault.seal(name, password) != sealed


def test_theKeyIsItsOwnersAlone(vault: Vault, tmp_path: Path) -> None:
    vault.seal("bob", b"x")
    assert (tmp_path / "folder/key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o700


def test_theKeyIsKept(vault: Vault, tmp_path: Path) -> None:
    sealed = vault.seal("bob", b"x")
    for create in (True, False):
        assert Vault(tmp_path / "folder/key", create).open("bob", sealed) == b"x"


def test_anEmptyFileIsFilled(tmp_path: Path) -> None:
    """
    An empty key file is filled, so that a process that can't make the file can be given one.
    """
    (tmp_path / "key").touch(0o600)
    assert Vault(tmp_path / "key", create=True).seal("bob", b"x")
    assert (tmp_path / "key").stat().st_size > 32


def test_itOpensForNobodyElse(vault: Vault) -> None:
    sealed = vault.seal("bob", b"battery")
    for name, text in [
        ("ann", sealed),
        ("bob", "AAAA" + sealed[4:]),
        ("bob", sealed[:-4]),
        ("bob", ""),
        ("bob", "é"),
        ("bob", sealed + "!"),
    ]:
        with pytest.raises(StoreError, match="doesn't open") as caught:
            vault.open(name, text)
        assert "battery" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "QUJD", "é" * 44, "!" * 44])
def test_noKey(tmp_path: Path, content: str) -> None:
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_text(content)
    with pytest.raises(StoreError) as caught:
        Vault(path).open("bob", "")
    assert str(caught.value) == f"{path}: this is no key of passwords"


def test_anotherKey(vault: Vault, tmp_path: Path) -> None:
    sealed = vault.seal("bob", b"x")
    with pytest.raises(StoreError, match="doesn't open with the key in"):
        other = Vault(tmp_path / "other", create=True)
        other.seal("bob", b"x")
        other.open("bob", sealed)


def test_theKeyIsMissing(tmp_path: Path) -> None:
    """
    Opening a password never makes a key.
    """
    with pytest.raises(StoreError, match="No such file"):
        Vault(tmp_path / "key", create=True).open("bob", "AAAA")
    assert not (tmp_path / "key").exists()


def test_othersMayReadTheKey(vault: Vault, tmp_path: Path) -> None:
    vault.seal("bob", b"x")
    path = tmp_path / "folder/key"
    path.chmod(0o640)
    with pytest.raises(StoreError, match=f"chmod 600 {path}"):
        Vault(path).seal("bob", b"x")
