"""
The group of the commands that try one thing, and show how it goes: C{pptpgw test}.
"""

from __future__ import annotations

from collections.abc import Iterable

from pptpgw.command.parsing import Group
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import IAuthenticationProtocol, IConfiguredProtocol

_FOLDER = "pptpgw.command"

group = Group(
    "test",
    "Try one thing without a caller: login, radius, call.",
    {
        "login": (f"{_FOLDER}.trylogin:login", "Have the checkers judge a user's password."),
        "radius": (f"{_FOLDER}.tryradius:radius", "Ask each RADIUS server."),
        "call": (f"{_FOLDER}.trycall:call", "Call a gateway, and time each stage."),
    },
)
"""
C{pptpgw test}: the group of commands that try something.
"""


def passwordMethods(
    methods: Iterable[IAuthenticationProtocol],
) -> tuple[IAuthenticationProtocol, ...]:
    """
    Return the authentication protocols that need nothing but a password, which are all but EAP.

    @raise ConfigurationError: there is none.
    """
    found = tuple(one for one in methods if not IConfiguredProtocol.providedBy(one))
    if not found:
        raise ConfigurationError("[link] authentication has no protocol with a password but EAP")
    return found
