"""
The plugins of pptpgw for Twisted: the command for C{twistd}, the checkers for C{--auth}, and kinds
of endpoint strings. The other plugins of pptpgw are entry points, in pyproject.toml. Every run of
C{twistd} imports this module.
"""

from typing import Any

from twisted.application.service import ServiceMaker
from twisted.internet.interfaces import (
    IStreamClientEndpoint,
    IStreamClientEndpointStringParserWithReactor,
)
from twisted.plugin import IPlugin
from zope.interface import implementer

from pptpgw.auth.plugin import AccountsCheckerFactory, ChapSecretsCheckerFactory
from pptpgw.radius.plugin import RADIUSCheckerFactory
from pptpgw.tunnels.hdlc.endpoint import PseudoterminalParser, SerialParser


@implementer(IPlugin, IStreamClientEndpointStringParserWithReactor)
class PPTPClientParser:
    """
    Makes the endpoints of PPTP clients.
    """

    prefix = "pptp"

    def parseStreamClient(self, reactor: Any, *args: Any, **kwargs: Any) -> IStreamClientEndpoint:
        """
        An endpoint as L{pptpgw.clientstring.fromString} describes it.
        """
        # Only when it is needed, as a run of twistd rarely does.
        from pptpgw.clientstring import fromString

        return fromString(reactor, *args, **kwargs)


class GatewayMaker(ServiceMaker):
    """
    Makes the gateway that a process of its own runs.
    """

    @property
    def options(self) -> Any:
        """
        The class of the command's options. This imports the gateway's modules.
        """
        from pptpgw.ports.loading import loading

        with loading():
            return super().options


gateway = GatewayMaker(
    "pptpgw", "pptpgw.tap", "A PPTP gateway: answers, authenticates and carries calls.", "pptpgw"
)
accounts = AccountsCheckerFactory()
chapSecrets = ChapSecretsCheckerFactory()
radius = RADIUSCheckerFactory()
pseudoterminal = PseudoterminalParser()
serial = SerialParser()
client = PPTPClientParser()
