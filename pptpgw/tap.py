"""
What C{twistd pptpgw} is told on the command line, and the service that it makes of it.
"""

from __future__ import annotations

import sys

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernameHashedPassword, IUsernamePassword
from twisted.cred.portal import Portal
from twisted.cred.strcred import (
    AuthOptionMixin,
    InvalidAuthArgumentString,
    InvalidAuthType,
    UnsupportedInterfaces,
    makeChecker,
)
from twisted.python import usage

from pptpgw import __version__
from pptpgw.auth.chain import CheckerChain
from pptpgw.auth.checkers import ChapSecretsChecker
from pptpgw.auth.realm import SubscriberRealm
from pptpgw.config import Configuration, load
from pptpgw.datapath import mppe
from pptpgw.error import PPTPGWError
from pptpgw.service import GatewayService


class Options(usage.Options, AuthOptionMixin):
    """
    The command line.
    """

    supportedInterfaces = (IUsernamePassword, IUsernameHashedPassword)
    synopsis = "[--config FILE] [--auth SPEC ...]"
    longdesc = (
        "A PPTP gateway: answers the calls of PPTP clients, authenticates them, encrypts, gives "
        "them addresses and carries their packets. PPTP's cryptography is broken; SECURITY.md "
        "says what that means."
    )
    optParameters = [
        ["config", "c", None, "TOML file; every key is optional."],
    ]
    optFlags = [
        ["check-config", None, "Say whether the configuration can be used, and exit."],
    ]

    def __init__(self) -> None:
        usage.Options.__init__(self)
        self.configuration = Configuration()

    def opt_auth(self, description: str) -> None:
        """
        Who may call, as in chap-secrets:PATH; may be named several times.
        """
        try:
            AuthOptionMixin.addChecker(self, makeChecker(description))
        except InvalidAuthType as error:
            raise usage.UsageError(
                f"--auth {description}: there is no such kind; --help-auth lists them"
            ) from error
        except UnsupportedInterfaces as error:
            raise usage.UsageError(
                f"--auth {description}: it can't check PPP's passwords; --help-auth lists what can"
            ) from error
        except (InvalidAuthArgumentString, PPTPGWError) as error:
            sys.exit(f"--auth {description}: {error}")

    def opt_version(self) -> None:
        """
        Show the versions and the MPPE implementation in use, and exit.
        """
        print(f"pptpgw {__version__}, MPPE: {mppe.implementation}")
        sys.exit(0)

    def postOptions(self) -> None:
        """
        Read the configuration; there must be somebody to judge users.
        """
        try:
            if self["config"] is not None:
                self.configuration = load(self["config"])
        except PPTPGWError as error:
            # No fault of the command line's: how to use that would only hide what is wrong.
            sys.exit(str(error))
        if self["check-config"]:
            print(f"{self['config'] or 'the default configuration'}: fine")
            sys.exit(0)
        if not self.get("credCheckers"):
            raise usage.UsageError(
                "nobody could log in: name at least one --auth, "
                "as in --auth chap-secrets:/etc/ppp/chap-secrets"
            )

    def portal(self) -> Portal:
        """
        The portal of the checkers that were named.
        """
        checkers: list[ICredentialsChecker] = self["credCheckers"]
        for checker in checkers:
            if isinstance(checker, ChapSecretsChecker):
                checker.serverName = self.configuration.link.name.encode()
        return Portal(SubscriberRealm(), [CheckerChain(checkers)])


class NotStarted(SystemExit, Exception):
    """
    Ends the process with status 1 and no traceback; a C{twistd} that becomes a daemon catches it as
    an L{Exception}, and tells whoever waits for its start.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.code = 1


class CommandService(GatewayService):
    """
    The gateway as C{twistd} runs it: what keeps it from starting is a line of its log, not a
    traceback.
    """

    def privilegedStartService(self) -> None:
        """
        Open the ports, or log why not and exit.
        """
        try:
            super().privilegedStartService()
        except PPTPGWError as error:
            self._log.critical("{why}", why=str(error))
            raise NotStarted(str(error)) from error


def makeService(options: Options) -> GatewayService:
    """
    The service that C{options} ask for.
    """
    from twisted.internet import reactor

    return CommandService(reactor, options.configuration, options.portal())
