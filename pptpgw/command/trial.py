"""
The group of the commands that try one thing, and show how it goes: C{pptpgw test}.
"""

from __future__ import annotations

from pptpgw.command.parsing import Group

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
