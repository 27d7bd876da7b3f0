# The gateway and a web site in one process: twistd -n -y web.tac
#
# The site listens only inside the tunnels, on the gateway's own address there. It recognizes a caller by the session to
# which the address of the request belongs, so nobody has to log in twice. http://10.77.0.1/ shows a caller its session.

from collections import Counter
from time import ctime

from twisted.application import strports
from twisted.application.service import Application
from twisted.internet import reactor
from twisted.web.resource import Resource
from twisted.web.server import Site

from pptpgw.service import GatewayService
from pptpgw.sessions.observer import SessionObserver
from pptpgw.tap import Options

LOCAL = "10.77.0.1"  # [ipv4] local


class Calls(SessionObserver):
    """
    A session observer that counts how often each user has called since the start.
    """

    def __init__(self):
        self.number = Counter()

    def sessionStarted(self, session):
        self.number[session.user] += 1


class Yourself(Resource):
    """
    A page with what the gateway knows about the caller that requests it.
    """

    isLeaf = True

    def __init__(self, sessions, calls):
        super().__init__()
        self.sessions = sessions
        self.calls = calls

    def render_GET(self, request):
        request.setHeader("Content-Type", "text/plain; charset=utf-8")
        request.setHeader("Cache-Control", "no-store")
        address = request.getClientAddress().host
        session = self.sessions.sessionFor(address)
        if session is None:
            request.setResponseCode(403)
            return f"No session has the address {address}.\n".encode()
        counters = session.counters
        lines = [
            f"user: {session.user}",
            f"calling from: {session.caller}",
            f"since: {ctime(session.since)}, {session.duration:.0f} s",
            f"authentication: {session.authentication}",
            f"encryption: {session.encryption}",
            *(
                f"protocol {name}: {', '.join(map(str, networks)) or 'open'}"
                for name, networks in session.networks.items()
            ),
            f"received: {counters.packetsReceived} packets, {counters.octetsReceived} octets",
            f"sent: {counters.packetsSent} packets, {counters.octetsSent} octets",
            f"calls since the start: {self.calls.number[session.user]}",
        ]
        return "\n".join([*lines, ""]).encode()


options = Options()
options.parseOptions(["--config", "/etc/pptpgw/pptpgw.toml", "--auth", "chap-secrets:/etc/pptpgw/chap-secrets"])

calls = Calls()
gateway = GatewayService(reactor, options.configuration, options.checkers, [calls])
site = strports.service(f"tcp:80:interface={LOCAL}", Site(Yourself(gateway.sessions, calls)))

application = Application("pptpgw-web")
# In this order: the address of the site is there once the gateway's service has opened the tunnels' device, and
# services stop in the opposite order.
gateway.setServiceParent(application)
site.setServiceParent(application)
