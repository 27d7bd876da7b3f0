"""
The strcred factory of the RADIUS checker, which C{--auth} and C{[auth] checkers} find by name.

This module imports the checker only when one is asked for, so that listing the plugins stays cheap.
"""

from __future__ import annotations

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernameHashedPassword, IUsernamePassword
from twisted.cred.strcred import ICheckerFactory, InvalidAuthArgumentString
from twisted.plugin import IPlugin
from zope.interface import implementer

from pptpgw.interfaces import IEAPCredentials

_HELP = """
Users whom RADIUS servers judge: [radius] and the [[radius.server]] tables of
the configuration say which, and how they are asked.  There is no argument.

Every authentication protocol of the gateway can be judged.  Users get the
addresses, limits and rates that the server's answer names.
"""


@implementer(ICheckerFactory, IPlugin)
class RADIUSCheckerFactory:
    """
    The strcred factory of C{radius}.
    """

    authType = "radius"
    authHelp = _HELP
    argStringFormat = "None: the servers stand in the configuration."
    credentialInterfaces = (IUsernamePassword, IUsernameHashedPassword, IEAPCredentials)

    def generateChecker(self, argstring: str) -> ICredentialsChecker:
        """
        Return a L{pptpgw.radius.checker.RADIUSChecker}.

        @raise InvalidAuthArgumentString: there is an argument.
        """
        from pptpgw.radius.checker import RADIUSChecker

        if argstring:
            raise InvalidAuthArgumentString("the servers stand in the configuration: [radius]")
        return RADIUSChecker()
