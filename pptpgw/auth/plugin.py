"""
The strcred factories of our own checkers, which C{--auth} and C{[auth] checkers} find by name.

Every run of twistd imports this module, so it imports the checkers only when one is asked for.
"""

from __future__ import annotations

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernameHashedPassword, IUsernamePassword
from twisted.cred.strcred import ICheckerFactory, InvalidAuthArgumentString
from twisted.plugin import IPlugin
from zope.interface import implementer

from pptpgw.interfaces import ICertifiedName

_CHAP_SECRETS_HELP = """
Users from a file in the format of pppd's chap-secrets:

    client  server  secret  [addresses...]

client is the user's name and server the gateway's own name (link.name in the
configuration); * means any.  The secret is the password.  addresses are
what the user may have: none or * for any from the pool, - for none at all, an
address or a network such as 192.0.2.8/29; ! before one excludes it.  If the
pools hold addresses of a network, one of these is given.

The file must be readable by its owner alone (chmod 600).  It is read again
whenever it has changed; one that has become wrong is reported in the log, and
the users of before remain.
"""

_ACCOUNTS_HELP = """
Users from a database, which the command pptpgw keeps: pptpgw user add NAME.

The argument says where it is, as in sqlite:/var/lib/pptpgw/accounts.sqlite or
postgresql://HOST/DATABASE; without one it is [accounts] store of the
configuration.  Passwords are kept as NT hashes, which PAP and MS-CHAP need;
CHAP needs the password itself, which is kept, encrypted under the key in
[accounts] key, for users made with --recoverable.
"""


@implementer(ICheckerFactory, IPlugin)
class ChapSecretsCheckerFactory:
    """
    The strcred factory of C{chap-secrets:PATH}.
    """

    authType = "chap-secrets"
    authHelp = _CHAP_SECRETS_HELP
    argStringFormat = "The path of the file."
    credentialInterfaces = (IUsernamePassword, IUsernameHashedPassword, ICertifiedName)

    def generateChecker(self, argstring: str) -> ICredentialsChecker:
        """
        Return a L{pptpgw.auth.checkers.ChapSecretsChecker} that reads the file C{argstring}.

        @raise InvalidAuthArgumentString: C{argstring} is empty.
        @raise pptpgw.error.ConfigurationError: the file can't be used.
        """
        from twisted.python.filepath import FilePath

        from pptpgw.auth.checkers import ChapSecretsChecker

        if not argstring:
            raise InvalidAuthArgumentString("the path of a file is missing")
        return ChapSecretsChecker(FilePath(argstring))


@implementer(ICheckerFactory, IPlugin)
class AccountsCheckerFactory:
    """
    The strcred factory of C{accounts} and C{accounts:URL}.
    """

    authType = "accounts"
    authHelp = _ACCOUNTS_HELP
    argStringFormat = "The URL of the store; none for [accounts] store."
    credentialInterfaces = (IUsernamePassword, IUsernameHashedPassword)

    def generateChecker(self, argstring: str) -> ICredentialsChecker:
        """
        Return a L{pptpgw.auth.checkers.AccountsChecker} of the store at C{argstring}.

        @raise pptpgw.error.PPTPGWError: the store can't be used.
        """
        from twisted.internet import reactor

        from pptpgw.auth.checkers import AccountsChecker
        from pptpgw.store.database import locate
        from pptpgw.store.store import Store

        if argstring:
            locate(argstring)
        return AccountsChecker(
            lambda settings: Store(reactor, argstring or settings.store, settings.key)
        )
