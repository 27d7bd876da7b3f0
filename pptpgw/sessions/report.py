"""
Reports of calls and their sessions, to the log.

The lines for calls that have no session are within a L{Quota}, so that callers can't fill the log.
Callers that are turned away are reported by L{pptpgw.sessions.refusal}.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network

from pptpgw.interfaces import Attack, Caller, INetworkProtocol, ISession
from pptpgw.log import Logger, Quota


class Reports:
    """
    Reports what happens to the calls of a gateway.
    """

    _log = Logger()

    def __init__(self, quota: Quota) -> None:
        """
        @param quota: limits the lines of the log that callers can cause.
        """
        self._quota = quota

    def opened(
        self,
        session: ISession,
        protocol: INetworkProtocol,
        networks: Sequence[IPv4Network | IPv6Network],
        seconds: float,
    ) -> None:
        """
        Report that a network protocol of C{session} opened.

        @param networks: the networks that the session has by it.
        @param seconds: the time since the call was requested.
        """
        self._log.info(
            "{user} {other}: {protocol} {networks} open {seconds:.3f} s after the call, "
            "{authentication}, {encryption}",
            session=session.identifier,
            user=session.user,
            other=session.other,
            protocol=protocol.name,
            networks=", ".join(map(str, networks)) or "is",
            seconds=seconds,
            authentication=session.authentication,
            encryption=session.encryption,
        )

    def passedOn(self, session: ISession, seconds: float) -> None:
        """
        Report that the frames of C{session} pass to another end.

        @param seconds: the time since the call was requested.
        """
        self._log.info(
            "{user} {other}: {path} {seconds:.3f} s after the call, {authentication}",
            session=session.identifier,
            user=session.user,
            other=session.other,
            path=session.path,
            seconds=seconds,
            authentication=session.authentication,
        )

    def joined(self, session: ISession, caller: Caller) -> None:
        """
        Report that a further call, from C{caller}, is a link of C{session}.
        """
        self._log.info(
            "{user}: a call from {caller}, {call}, is a further link",
            session=session.identifier,
            user=session.user,
            caller=caller.address,
            call=caller.session,
        )

    def left(self, session: ISession, caller: Caller, cause: str) -> None:
        """
        Report that a call from C{caller} has ended that was a link of C{session}, which goes on.
        """
        self._log.info(
            "{user}: the link from {caller}, {call}, ended, and the session goes on: {cause}",
            session=session.identifier,
            user=session.user,
            caller=caller.address,
            call=caller.session,
            cause=cause,
        )

    def finished(self, session: ISession, protocol: INetworkProtocol, reason: str) -> None:
        """
        Report that a network protocol of C{session} ended, or never opened.
        """
        self._log.info(
            "{user} {other}: {protocol} is over: {reason}",
            session=session.identifier,
            user=session.user,
            other=session.other,
            protocol=protocol.name,
            reason=reason,
        )

    def ended(self, session: ISession, cause: str) -> None:
        """
        Report the end of C{session}, with its figures.
        """
        self._log.info(
            "{user} {other}: ended after {seconds:.0f} s, {received} octets received, "
            "{sent} sent: {cause}",
            session=session.identifier,
            user=session.user,
            other=session.other,
            seconds=session.duration,
            received=session.counters.octetsReceived,
            sent=session.counters.octetsSent,
            cause=cause,
        )

    def endedWithoutSession(self, caller: Caller, cause: str) -> None:
        """
        Report the end of a call that had no session.
        """
        if self._quota.allows("calls without a session", caller.address):
            self._log.info(
                "{caller}: call ended without a session: {cause}",
                session=caller.session,
                caller=caller.address,
                cause=cause,
            )

    def attacked(self, attack: Attack) -> None:
        """
        Report that a call shows signs of an attack.
        """
        if self._quota.allows("attacks", attack.source):
            self._log.error(
                "{caller}: an attack on the call of {user!a}? {reason}",
                session=attack.session,
                caller=attack.source,
                user=attack.user,
                reason=attack.reason,
            )

    def silent(self, caller: Caller, text: str) -> None:
        """
        Report that a caller has sent no frame yet; C{text} says what may be wrong.
        """
        if self._quota.allows("calls without a frame", caller.address):
            self._log.warn("{text}", session=caller.session, text=text)
