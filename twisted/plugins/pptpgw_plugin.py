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
class ClientParser:
    """
    Makes the endpoints of the clients of one tunnel.
    """

    def __init__(self, prefix: str) -> None:
        """
        @param prefix: the name of the tunnel.
        """
        self.prefix = prefix

    def parseStreamClient(self, reactor: Any, *args: Any, **kwargs: Any) -> IStreamClientEndpoint:
        """
        An endpoint as L{pptpgw.clientstring.fromString} describes it.
        """
        # Only when it is needed, as a run of twistd rarely does.
        from pptpgw.clientstring import fromString

        return fromString(reactor, self.prefix, *args, **kwargs)


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
pptp = ClientParser("pptp")
sstp = ClientParser("sstp")
l2tp = ClientParser("l2tp")
hdlc = ClientParser("hdlc")
