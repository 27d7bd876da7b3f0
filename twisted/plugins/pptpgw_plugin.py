"""
The plugins of pptpgw for Twisted: the command for C{twistd}, and the checkers for C{--auth}. The
other plugins of pptpgw are entry points, in pyproject.toml. Every run of C{twistd} imports this
module.
"""

from twisted.application.service import ServiceMaker

from pptpgw.auth.plugin import AccountsCheckerFactory, ChapSecretsCheckerFactory
from pptpgw.radius.plugin import RADIUSCheckerFactory

gateway = ServiceMaker(
    "pptpgw", "pptpgw.tap", "A PPTP gateway: answers, authenticates and carries calls.", "pptpgw"
)
accounts = AccountsCheckerFactory()
chapSecrets = ChapSecretsCheckerFactory()
radius = RADIUSCheckerFactory()
