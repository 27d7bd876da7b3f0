"""
How a call becomes a further link of a session (RFC 1990), once its caller has authenticated.
"""

from __future__ import annotations

from typing import Protocol as TypingProtocol
from typing import TypeVar

from pptpgw.error import Category, Refused
from pptpgw.interfaces import Caller
from pptpgw.ppp.bundle import Bundle
from pptpgw.ppp.link import Link
from pptpgw.sessions.admission import permit
from pptpgw.sessions.attempt import Attempt
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.sessions.context import LineContext
from pptpgw.sessions.profile import Profile
from pptpgw.sessions.remedy import Remedy
from pptpgw.sessions.session import Session

SILENT = Cause(
    "the peer doesn't answer on this link, and another one of the same user begins",
    Termination.LOST_CARRIER,
    Remedy.REPLACED,
)
"""
Why a link ends that is dead when another one is to join it.
"""


class JoiningLine(TypingProtocol):
    """
    A line that may join another one. L{pptpgw.sessions.answered.AnsweredLine} is one.

    @ivar bundle: the bundle that it heads; None for none.
    """

    attempt: Attempt
    bundle: Bundle | None
    caller: Caller
    identity: str
    link: Link
    session: Session | None

    def assertCalling(self) -> None: ...


L = TypeVar("L", bound=JoiningLine)


async def joined(context: LineContext, line: L, profile: Profile) -> L | None:
    """
    Have C{line}, whose link is one of a bundle, join the line that heads the bundle of the same
    user and endpoint.

    @param profile: what the user's account allows.
    @return: the line that heads it; None if that is C{line} itself from now on.
    @raise Refused: the user may not have this link.
    """
    while (head := context.bundles.headFor(line)) is not line:
        bundle = head.bundle
        if head.session is None or bundle is None or bundle.isOver:
            await context.bundles.wait(head)
        else:
            # The peer may have begun anew, and its old links may be dead.
            await bundle.dropSilent(SILENT)
        line.assertCalling()
        if bundle is not None and bundle.links and head.bundle is bundle:
            permit(profile, line.caller.address, context.now())
            if why := bundle.objection(line.link):
                raise Refused(why, retry=False)
            most = context.lines.limits.maxLinks
            if len(bundle.links) >= most:
                text = f"the session has {most} links, see [limits] max-links"
                raise Refused(text, retry=False, category=Category.LIMITS, remedy=Remedy.LINKS)
            context.lines.joined(line)
            line.attempt.named(profile.name, line.identity)
            line.attempt.passed("limits", "network")
            joins: L = head
            return joins
    return None
