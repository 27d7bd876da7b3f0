"""
Tests for L{pptpgw.auth.chain}.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.cred.checkers import ICredentialsChecker, InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.credentials import IUsernamePassword, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, fail
from zope.interface import Interface, implementer
from zope.interface.verify import verifyObject

from pptpgw.auth.chain import CheckerChain


class IOther(Interface):
    """
    Credentials that no checker here takes.
    """


@implementer(ICredentialsChecker)
class Failing:
    """
    A checker that fails, or that must not be asked.
    """

    def __init__(self, interface: Any, error: Exception) -> None:
        self.credentialInterfaces = (interface,)
        self.error = error

    def requestAvatarId(self, credentials: object) -> Deferred[bytes | tuple[()]]:
        return fail(self.error)


def checker(**users: bytes) -> InMemoryUsernamePasswordDatabaseDontUse:
    """
    A checker that knows these users.
    """
    return InMemoryUsernamePasswordDatabaseDontUse(**users)


def ask(chain: CheckerChain, name: bytes, password: bytes) -> object:
    """
    The chain's answer: the avatar id, or the class of the failure.
    """
    results: list[object] = []
    asked = chain.requestAvatarId(UsernamePassword(name, password))
    asked.addCallbacks(results.append, lambda failure: results.append(failure.type))
    return results[0]


def test_order() -> None:
    """
    The first checker that accepts the user decides. After a refusal the next checker is asked.
    """
    chain = CheckerChain([checker(alice=b"one"), checker(alice=b"two", bob=b"three")])
    verifyObject(ICredentialsChecker, chain)
    assert ask(chain, b"alice", b"one") == b"alice"
    assert ask(chain, b"alice", b"two") == b"alice"
    assert ask(chain, b"bob", b"three") == b"bob"
    assert ask(chain, b"bob", b"one") is UnauthorizedLogin
    assert ask(chain, b"carol", b"one") is UnauthorizedLogin


def test_otherCredentials() -> None:
    """
    A checker of other credentials isn't asked.
    """
    chain = CheckerChain([Failing(IOther, ValueError()), checker(alice=b"one")])
    assert IOther in chain.credentialInterfaces and IUsernamePassword in chain.credentialInterfaces
    assert ask(chain, b"alice", b"one") == b"alice"


@pytest.mark.parametrize("error", [ValueError("broken"), OSError("gone")])
def test_brokenChecker(error: Exception) -> None:
    """
    A checker's exception isn't treated as a refusal.
    """
    chain = CheckerChain([Failing(IUsernamePassword, error), checker(alice=b"one")])
    assert ask(chain, b"alice", b"one") is type(error)
