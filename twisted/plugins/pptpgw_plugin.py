"""
What pptpgw adds to C{twistd}, to C{--auth} and to its own kinds of plugin: one line a plugin.
"""

from twisted.application.service import ServiceMaker

from pptpgw.auth.plugin import ChapSecretsCheckerFactory
from pptpgw.interfaces import IAddressPoolFactory, IDataPathFactory, INetworkFactory
from pptpgw.plugin import Lazy

gateway = ServiceMaker(
    "pptpgw", "pptpgw.tap", "A PPTP gateway: answers, authenticates and carries calls.", "pptpgw"
)
chapSecrets = ChapSecretsCheckerFactory()
python = Lazy(IDataPathFactory, "pptpgw.ports.path.PythonDataPathFactory", name="python")
ranges = Lazy(IAddressPoolFactory, "pptpgw.session.pool.AddressPoolFactory", name="ranges")
ipv4 = Lazy(INetworkFactory, "pptpgw.network.ipv4.IPv4Factory", name="ipv4")
