"""
Tests for L{pptpgw.sessions.username}, and for the user that a claim means.
"""

from __future__ import annotations

from typing import Any

import pytest

from pptpgw.auth.eap import EAP
from pptpgw.auth.eaptls import TLS, CertifiedClaim
from pptpgw.auth.protocols import PAP
from pptpgw.interfaces import Claim
from pptpgw.sessions.username import nameOf


def password(name: bytes) -> Claim:
    return Claim(PAP, name, 1, b"", b"")


@pytest.mark.parametrize("name", [b"alice", b"ALICE", b"DOM\\Alice", b"A\\B\\alice", b"\\alice"])
def test_oneUser(name: bytes) -> None:
    claim = password(name)
    assert claim.identity() == claim.identity(nameOf(name)) == "alice"
    assert claim.identity("Bob") == claim.identity("DOM\\bob") == "bob"
    assert claim.account.lower() == b"alice"


@pytest.mark.parametrize("name", [b"m\xfcller", b"DOM\\m\xfcller"])
def test_whatIsNoUTF8(name: bytes) -> None:
    """
    The backslashes with which a name that isn't UTF-8 is escaped don't separate a domain from it.
    """
    claim = password(name)
    texts = [nameOf(name), nameOf(b"m\xfcller")]
    assert {claim.identity(), *map(claim.identity, texts)} == {"m\\xfcller"}
    assert claim.identity() != password(b"t\xfcller").identity()


def test_aCertificatesNameHasNoDomain() -> None:
    keys: Any = None
    claim = CertifiedClaim(EAP, b"PARTNER\\Alice", 1, b"", b"", TLS, keys)
    assert claim.identity() == claim.identity("PARTNER\\alice") == "partner\\alice"
    assert claim.account == b"PARTNER\\Alice"


def test_theLongestName() -> None:
    assert len(password(b"\xff" * 70_000).identity()) == 4 * 256
