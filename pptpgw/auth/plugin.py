"""
What C{--auth} finds: one strcred factory for each checker of ours.

Every run of twistd imports this, so it imports the rest only when asked for a checker.
"""

from __future__ import annotations

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernameHashedPassword, IUsernamePassword
from twisted.cred.strcred import ICheckerFactory, InvalidAuthArgumentString
from twisted.plugin import IPlugin
from zope.interface import implementer

_HELP = """
Users from a file in the format of pppd's chap-secrets:

    client  server  secret  [addresses...]

client is the user's name and server the gateway's own name (link.name in the
configuration); * stands for any.  The secret is the password.  addresses are
what the user may have: none or * for any from the pool, - for none at all, an
address or a network such as 192.0.2.8/29; ! before one excludes it.

The file must be readable by its owner alone (chmod 600).  It is read again
whenever it has changed; one that has become wrong is reported in the log, and
the users of before remain.
"""


@implementer(ICheckerFactory, IPlugin)
class ChapSecretsCheckerFactory:
    """
    Makes checkers for C{--auth chap-secrets:PATH}.
    """

    authType = "chap-secrets"
    authHelp = _HELP
    argStringFormat = "The path of the file."
    credentialInterfaces = (IUsernamePassword, IUsernameHashedPassword)

    def generateChecker(self, argstring: str) -> ICredentialsChecker:
        """
        A L{pptpgw.auth.checkers.ChapSecretsChecker} of the file C{argstring}.

        @raise InvalidAuthArgumentString: it names no file.
        @raise pptpgw.error.ConfigurationError: the file can't be used.
        """
        from twisted.python.filepath import FilePath

        from pptpgw.auth.checkers import ChapSecretsChecker

        if not argstring:
            raise InvalidAuthArgumentString("the path of a file is missing")
        return ChapSecretsChecker(FilePath(argstring))
