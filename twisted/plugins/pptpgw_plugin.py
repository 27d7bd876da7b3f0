"""
What pptpgw adds to C{twistd}, to C{--auth} and to its own kinds of plugin: one line a plugin.
"""

from twisted.application.service import ServiceMaker
from twisted.cred.strcred import ICheckerFactory

from pptpgw.auth.plugin import AccountsCheckerFactory, ChapSecretsCheckerFactory
from pptpgw.interfaces import (
    IAddressPoolFactory,
    IAuthenticationProtocol,
    IDataPathFactory,
    INetworkFactory,
)
from pptpgw.plugin import Lazy

gateway = ServiceMaker(
    "pptpgw", "pptpgw.tap", "A PPTP gateway: answers, authenticates and carries calls.", "pptpgw"
)
accounts = AccountsCheckerFactory()
chapSecrets = ChapSecretsCheckerFactory()
radius = Lazy(ICheckerFactory, "pptpgw.radius.plugin.RADIUSCheckerFactory", authType="radius")
python = Lazy(IDataPathFactory, "pptpgw.ports.path.PythonDataPathFactory", name="python")
ranges = Lazy(IAddressPoolFactory, "pptpgw.session.pool.AddressPoolFactory", name="ranges")
ipv4 = Lazy(INetworkFactory, "pptpgw.network.ipv4.IPv4Factory", name="ipv4")
ipv6 = Lazy(INetworkFactory, "pptpgw.network.ipv6.network.IPv6Factory", name="ipv6")
bridge = Lazy(INetworkFactory, "pptpgw.network.bridge.network.BridgeFactory", name="bridge")
mpls = Lazy(INetworkFactory, "pptpgw.network.mpls.network.MPLSFactory", name="mpls")
pap = Lazy(IAuthenticationProtocol, "pptpgw.auth.protocols.PAP", name="pap")
chap = Lazy(IAuthenticationProtocol, "pptpgw.auth.protocols.CHAP", name="chap")
mschap = Lazy(IAuthenticationProtocol, "pptpgw.auth.protocols.MSCHAP", name="mschap")
mschapV2 = Lazy(IAuthenticationProtocol, "pptpgw.auth.protocols.MSCHAPV2", name="mschapv2")
eap = Lazy(IAuthenticationProtocol, "pptpgw.auth.eap.EAP", name="eap")
ipx = Lazy(INetworkFactory, "pptpgw.network.ipx.network.IPXFactory", name="ipx")
appletalk = Lazy(INetworkFactory, "pptpgw.network.generic.shipped.appletalk", name="appletalk")
decnet = Lazy(INetworkFactory, "pptpgw.network.generic.shipped.decnet", name="decnet")
netbios = Lazy(INetworkFactory, "pptpgw.network.generic.shipped.netbios", name="netbios")
osi = Lazy(INetworkFactory, "pptpgw.network.generic.shipped.osi", name="osi")
vines = Lazy(INetworkFactory, "pptpgw.network.generic.shipped.vines", name="vines")
xns = Lazy(INetworkFactory, "pptpgw.network.generic.shipped.xns", name="xns")
