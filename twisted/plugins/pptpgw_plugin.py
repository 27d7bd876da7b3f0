"""
The plugins of pptpgw for Twisted: the command for C{twistd}, the checkers for C{--auth}, and kinds
of endpoint strings. The other plugins of pptpgw are entry points, in pyproject.toml. Every run of
C{twistd} imports this module.
"""

from twisted.application.service import ServiceMaker

from pptpgw.auth.plugin import AccountsCheckerFactory, ChapSecretsCheckerFactory
from pptpgw.radius.plugin import RADIUSCheckerFactory
from pptpgw.tunnels.hdlc.endpoint import PseudoterminalParser, SerialParser

gateway = ServiceMaker(
    "pptpgw", "pptpgw.tap", "A PPTP gateway: answers, authenticates and carries calls.", "pptpgw"
)
accounts = AccountsCheckerFactory()
chapSecrets = ChapSecretsCheckerFactory()
radius = RADIUSCheckerFactory()
pseudoterminal = PseudoterminalParser()
serial = SerialParser()
