# The gateway and a JSON API beside it: twistd -n -y sessions.tac
#
# http://127.0.0.1:8723/ lists the sessions; http://127.0.0.1:8723/10.77.0.10 is the session to which this address of a
# caller belongs. Every user of this machine can read it; callers can't, since the site listens on the loopback address.

import json

from twisted.application import strports
from twisted.application.service import Application
from twisted.internet import reactor
from twisted.web.resource import Resource
from twisted.web.server import Site

from pptpgw.service import GatewayService
from pptpgw.tap import Options


def described(session):
    """
    Return a description of a session in types that JSON has.
    """
    return {
        "identifier": session.identifier,
        "user": session.user,
        "caller": session.caller,
        "since": session.since,
        "seconds": round(session.duration),
        "networks": {name: list(map(str, networks)) for name, networks in session.networks.items()},
        "octetsReceived": session.counters.octetsReceived,
        "octetsSent": session.counters.octetsSent,
    }


class Sessions(Resource):
    """
    All sessions, or the one of an address.
    """

    isLeaf = True

    def __init__(self, sessions):
        super().__init__()
        self.sessions = sessions

    def render_GET(self, request):
        request.setHeader("Content-Type", "application/json")
        request.setHeader("Cache-Control", "no-store")
        address = b"/".join(request.postpath).decode(errors="replace")
        if not address:
            return json.dumps([described(session) for session in self.sessions]).encode()
        try:
            session = self.sessions.sessionFor(address)
        except ValueError:
            session = None
        if session is None:
            request.setResponseCode(404)
            return json.dumps({"error": f"no session has the address {address}"}).encode()
        return json.dumps(described(session)).encode()


options = Options()
options.parseOptions(["--config", "/etc/pptpgw/pptpgw.toml", "--auth", "chap-secrets:/etc/pptpgw/chap-secrets"])

gateway = GatewayService(reactor, options.configuration, options.checkers)
site = strports.service("tcp:8723:interface=127.0.0.1", Site(Sessions(gateway.sessions)))

application = Application("pptpgw-sessions")
gateway.setServiceParent(application)
site.setServiceParent(application)
