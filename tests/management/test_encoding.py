"""
Tests for L{pptpgw.management.encoding}.
"""

from __future__ import annotations

import pytest

from pptpgw.management.encoding import toJSON
from pptpgw.sessions.cause import Cause, Termination


@pytest.mark.parametrize(
    ("user", "shown"),
    [("alice", b'"alice"'), (b"al\xffce".decode(errors="surrogateescape"), b'"al?ce"')],
)
def test_causes(user: str, shown: bytes) -> None:
    """
    A cause is shown as its text, also beside a name that isn't valid UTF-8.
    """
    cause = Cause("the TCP connection ended", Termination.LOST_CARRIER)
    answer = toJSON({"user": user, "failure": cause})
    assert answer == b'{"user":' + shown + b',"failure":"the TCP connection ended"}'


def test_others() -> None:
    with pytest.raises(TypeError):
        toJSON({"failure": object()})
