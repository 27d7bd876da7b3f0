"""
The gateway, as twistd runs it, for users whose accounts have profiles. C{SIGUSR1} triples the rate
at which every session may send to the gateway.
"""

import signal
import sys
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernameHashedPassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet import reactor
from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import globalLogBeginner, textFileLogObserver
from twisted.python import usage
from zope.interface import implementer

from pptpgw.auth.realm import AvatarID
from pptpgw.sessions.profile import Profile
from pptpgw.tap import CommandService, Options

assert isinstance(reactor, ReactorBase)
loop: ReactorBase = reactor
ALICE = Profile(
    "alice",
    pool="homes",
    routes=(IPv4Network("192.168.77.0/24"), IPv4Network("198.51.100.0/24")),
    sendRate=4_000_000,
    receiveRate=2_000_000,
)
# An address within a network behind alice.
BOB = Profile("bob", (IPv4Network("192.168.77.5"),))


@implementer(ICredentialsChecker)
class Checker:
    """
    Knows both users, who have the same password.
    """

    credentialInterfaces = (IUsernameHashedPassword,)

    def requestAvatarId(self, credentials: IUsernameHashedPassword) -> Deferred[Any]:
        """
        See L{ICredentialsChecker.requestAvatarId}.
        """
        profile = {b"alice": ALICE, b"bob": BOB}.get(credentials.username)
        if profile is not None and credentials.checkPassword(b"open sesame"):
            return succeed(AvatarID(profile))
        return fail(UnauthorizedLogin())


def triple() -> None:
    """
    Change every session's profile.
    """
    for session in service.gateway.sessions:
        profile = session.profile
        session.change(replace(profile, receiveRate=3 * (profile.receiveRate or 0)))


options = Options()
options["credCheckers"] = [Checker()]
usage.Options.parseOptions(options, sys.argv[1:])
globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout)], redirectStandardIO=False)
service = CommandService(loop, options)
reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
reactor.callWhenRunning(service.privilegedStartService)
reactor.callWhenRunning(service.startService)
signal.signal(signal.SIGUSR1, lambda *_: loop.callFromThread(triple))
reactor.run()
