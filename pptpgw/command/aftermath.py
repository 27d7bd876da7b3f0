"""
What becomes of a user's sessions when the account changes: the option C{--now}.

Changes of an account hold from the next call on. Sessions that go on are told, and with C{--now}
they are ended, or changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import click

from pptpgw.command.options import Accounts
from pptpgw.command.output import counted
from pptpgw.command.status import Unreachable
from pptpgw.error import PPTPGWError
from pptpgw.sessions.profile import Profile

if TYPE_CHECKING:
    from pptpgw.command.remote import RunningGateway

NOW = click.option(
    "--now", is_flag=True, help="End the user's sessions and calls, too, if there are any."
)
NOW_CHANGES = click.option(
    "--now",
    is_flag=True,
    help="Change the user's sessions, too: limits, rates and filter. End them if the password "
    "changes.",
)

_LIVE: Mapping[str, tuple[str, Callable[[Profile], Any]]] = {
    "session-timeout": ("session_timeout_seconds", lambda one: one.sessionTimeout),
    "idle-timeout": ("idle_timeout_seconds", lambda one: one.idleTimeout),
    "volume": ("volume_octets", lambda one: one.volume),
    "receive-rate": ("receive_rate", lambda one: one.receiveRate),
    "send-rate": ("send_rate", lambda one: one.sendRate),
    "filter": ("filter", lambda one: one.filter),
}
"""
The attributes that a session can change, by their options: the field of the change, and its value.
"""


@dataclass(frozen=True, slots=True)
class Aftermath:
    """
    What becomes of the sessions of a user.

    @ivar sessions: their identifiers; None if it isn't known whether there are any.
    @ivar what: what becomes of it, in words, if there is one session.
    @ivar allWhat: what becomes of them, if there are several.
    @ivar setups: how many calls that were being set up are ended.
    @ivar fault: why nothing could be done about them, though it was asked for.
    """

    sessions: list[str] | None
    what: str = ""
    allWhat: str = ""
    setups: int = 0
    fault: Unreachable | None = None

    @property
    def words(self) -> str:
        """
        Sentences for people; empty if there are no sessions and calls.
        """
        words = []
        if self.sessions:
            one, many = f"session {self.what}.", f"sessions {self.allWhat}."
            words.append(counted(len(self.sessions), one, many))
        if self.setups:
            one, many = "call that was being set up is", "calls that were being set up are"
            words.append(f"{counted(self.setups, one, many)} ended.")
        return " ".join(words)


async def ended(accounts: Accounts, name: str, now: bool) -> Aftermath:
    """
    Find the sessions of the user C{name}. If C{now} says so, end them, and the calls that are being
    set up.
    """
    try:
        gateway, sessions = await _find(accounts, name)
    except PPTPGWError as error:
        return _unknown(error, now)
    if not now:
        return Aftermath(sessions, "goes on; --now ends it", "go on; --now ends them")
    setups = await gateway.endSetups(name)
    for identifier in sessions:
        await _ask(gateway, "DELETE", identifier)
    return Aftermath(sessions, "is ended", "are ended", len(setups))


async def changed(
    accounts: Accounts, name: str, now: bool, options: set[str], profile: Profile
) -> Aftermath:
    """
    Find the sessions of the user C{name}. If C{now} says so, change them, and end the calls that
    are being set up, which may have been judged before the change.

    @param options: the attributes that have changed; those that a session can't change are left.
    @param profile: what the account allows now.
    """
    try:
        gateway, sessions = await _find(accounts, name)
    except PPTPGWError as error:
        return _unknown(error, now)
    if not now:
        words = "goes on as it is; --now changes it", "go on as they are; --now changes them"
        return Aftermath(sessions, *words)
    setups = await gateway.endSetups(name)
    body = {field: value(profile) for option, (field, value) in _LIVE.items() if option in options}
    for identifier in sessions if body else ():
        await _ask(gateway, "PATCH", identifier, body)
    words = ("is changed", "are changed") if body else ("can't be changed by this",) * 2
    return Aftermath(sessions, *words, len(setups))


async def _ask(
    gateway: RunningGateway, method: str, identifier: str, body: Mapping[str, Any] | None = None
) -> None:
    """
    End or change a session, unless it has ended by itself meanwhile.
    """
    from pptpgw.command.remote import NotDone

    try:
        await gateway.ask(method, f"/sessions/{identifier}", body=body)
    except NotDone as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise


def _unknown(error: PPTPGWError, now: bool) -> Aftermath:
    """
    Return the aftermath when the gateway can't be asked. Perhaps it doesn't run.
    """
    fault = Unreachable(f"the account is changed, but no session: {error}") if now else None
    return Aftermath(None, fault=fault)


async def _find(accounts: Accounts, name: str) -> tuple[RunningGateway, list[str]]:
    """
    Return the gateway and the identifiers of the user's sessions.

    @raise PPTPGWError: the gateway can't be asked.
    """
    # Commands that only read accounts start sooner without this module.
    from pptpgw.command.reach import Reach

    gateway = Reach().gateway(accounts.reactor, *accounts.management)
    return gateway, [one["session_id"] for one in await gateway.sessionsOf(name)]
