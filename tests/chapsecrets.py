"""
The files of accounts that gateways in tests read.
"""

from __future__ import annotations

from twisted.python.filepath import FilePath

ALICE = 'alice * "open sesame" *\n'


def secretsIn(folder: object, text: str = ALICE) -> FilePath[str]:
    """
    Write a chap-secrets file that only its owner may read.
    """
    secrets = FilePath(str(folder)).child("chap-secrets")
    secrets.setContent(text.encode())
    secrets.chmod(0o600)
    return secrets
