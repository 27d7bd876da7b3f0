"""
Tests for L{pptpgw.tunnels.l2tp.secrets}.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pptpgw.error import ConfigurationError
from pptpgw.tunnels.l2tp.secrets import PeerTrust, TunnelSecrets


def secretsIn(folder: Path, text: str, mode: int = 0o600) -> TunnelSecrets:
    path = folder / "secrets"
    path.touch(mode)
    path.write_text(text)
    return TunnelSecrets(str(path))


def test_whoIsNamedAndWhoIsNot(tmp_path: Path) -> None:
    text = '# LACs\npop "open sesame"  # the first\n\n"branch office" x\nguest ""\n'
    some = secretsIn(tmp_path, text)
    assert some.trust(b"pop") == PeerTrust(True, b"open sesame", isNamed=True)
    assert some.trust(b"branch office") == PeerTrust(True, b"x", isNamed=True)
    assert some.trust(b"guest") == PeerTrust(True, b"", isNamed=True)
    assert some.trust(b"stranger") == PeerTrust(False)
    every = secretsIn(tmp_path, text + "* else\n")
    assert every.trust(b"stranger") == every.trust(b"*") == PeerTrust(True, b"else")
    assert "sesame" not in repr(some.trust(b"pop"))


@pytest.mark.parametrize("text", ["pop\n", "pop open sesame\n", 'pop "open\n'])
def test_linesThatAreNotUnderstood(text: str, tmp_path: Path) -> None:
    """
    An error names the line, and doesn't show what may be a secret.
    """
    with pytest.raises(ConfigurationError, match="line 2") as raised:
        secretsIn(tmp_path, "\n" + text)
    assert "open" not in str(raised.value)


def test_filesThatCannotBeUsed(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="chmod 600"):
        secretsIn(tmp_path, "pop x\n", 0o644)
    with pytest.raises(ConfigurationError, match="No such file"):
        TunnelSecrets(str(tmp_path / "nothing"))
