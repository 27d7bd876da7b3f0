"""
What pptpgw adds to C{twistd} and to C{--auth}: one line a plugin.
"""

from twisted.application.service import ServiceMaker

from pptpgw.auth.plugin import ChapSecretsCheckerFactory

gateway = ServiceMaker(
    "pptpgw", "pptpgw.tap", "A PPTP gateway: answers, authenticates and carries calls.", "pptpgw"
)
chapSecrets = ChapSecretsCheckerFactory()
