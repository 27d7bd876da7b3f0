"""
Which users of a file a store can take, and as what.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass

from pptpgw.error import ConfigurationError
from pptpgw.ppp.mschap import ntPasswordHash
from pptpgw.sessions.profile import Profile
from pptpgw.store.attribute import profileOf
from pptpgw.store.record import Draft
from pptpgw.store.user import LONGEST_NAME, possible
from pptpgw.store.vault import Vault
from pptpgw.userfiles.entry import Entry, EntryFault


@dataclass(frozen=True, slots=True)
class Intake:
    """
    What judges the users of a file.

    @ivar users: the names of the users that the store has.
    @ivar profiles: the names of the profiles that the store has.
    @ivar check: checks that the gateway can give a session a profile; otherwise it raises
        L{ConfigurationError}.
    @ivar update: whether users that the store has are changed; otherwise they can't be taken.
    """

    users: Container[str]
    profiles: Container[str]
    check: Callable[[Profile], None]
    update: bool

    def judged(self, found: Entry | EntryFault) -> Entry | EntryFault:
        """
        Return C{found}, or the fault for which it can't be taken.
        """
        if isinstance(found, EntryFault):
            return found
        why = self._lacking(found)
        return EntryFault(found.line, found.name, why) if why else found

    def _lacking(self, entry: Entry) -> str:
        """
        Return why C{entry} can't be taken; empty if it can.
        """
        if not possible(entry.name):
            return f"a name has 1 to {LONGEST_NAME} characters, none of them NUL"
        if entry.name in self.users and not self.update:
            return f"there is a user {entry.name} already"
        if entry.shared and entry.shared not in self.profiles:
            return f"there is no profile {entry.shared}; pptpgw profile add makes one"
        if entry.attributes:
            try:
                self.check(profileOf(entry.name, entry.attributes))
            except ConfigurationError as error:
                return str(error)
        return ""


def draftOf(entry: Entry, vault: Vault | None) -> Draft:
    """
    Return C{entry} as the store takes it.

    @param vault: what seals the password, which is then stored too; None if only its hash is.
    """
    password = entry.password
    return Draft(
        entry.name,
        entry.ntHash if password is None else ntPasswordHash(password),
        "" if password is None or vault is None else vault.seal(entry.name, password),
        entry.attributes,
        entry.shared,
        entry.disabled,
        entry.expires,
    )
