"""
The gateway inside an application that already runs. C{SIGUSR1} makes it print its state, and
C{SIGUSR2} stop and start.
"""

import gc
import json
import os
import signal
import sys
from typing import Any

from twisted.application.service import MultiService, Service
from twisted.internet import reactor
from twisted.internet.base import ReactorBase
from twisted.internet.defer import inlineCallbacks
from twisted.logger import globalLogBeginner, textFileLogObserver
from twisted.python import usage

from pptpgw.networks.ipv4.plugin import IPv4Sessions
from pptpgw.service import GatewayService
from pptpgw.sessions.line import Line
from pptpgw.sessions.pool import AddressPool
from pptpgw.tap import Options

assert isinstance(reactor, ReactorBase)
loop: ReactorBase = reactor
options = Options()
usage.Options.parseOptions(options, sys.argv[1:])
globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout)], redirectStandardIO=False)
application = MultiService()
service = GatewayService(reactor, options.configuration, options.checkers)
ipv4 = service.networks["ipv4"]
assert isinstance(ipv4, IPv4Sessions) and isinstance(ipv4.pool, AddressPool)
pool: AddressPool = ipv4.pool


def state() -> None:
    """
    Print the figures of each session, and the numbers of everything that could leak.
    """
    sessions = [
        {
            "addresses": [str(one) for one in session.networks.get("ipv4", ())],
            "encryption": session.encryption,
            "calling": session.stations.calling,
            "protocols": [
                frame.protocol
                for attempt in service.gateway.attempts
                if attempt.caller.session == session.identifier
                for frame in attempt.frames
            ],
            **session.counters.asDict(),
        }
        for session in service.gateway.sessions
    ]
    print("SESSIONS " + json.dumps(sessions), flush=True)
    gc.collect()
    calls = [call for call in service.gateway.context.clock.getDelayedCalls() if call.active()]
    held = {
        "lines": sum(isinstance(one, Line) for one in gc.get_objects()),
        "addresses": pool.used,
        "descriptors": len(os.listdir("/proc/self/fd")),
        "timers": len(calls),
    }
    print("STATE " + json.dumps(held), flush=True)


@inlineCallbacks
def restart() -> Any:
    """
    Stop the gateway alone, and start it again.
    """
    yield service.stopService()
    service.startService()
    print("serves", flush=True)


def start() -> None:
    """
    Add the gateway to an application that runs.
    """
    try:
        application.privilegedStartService()
        application.startService()
        Service.setServiceParent(service, application)
    except BaseException:
        reactor.stop()
        raise
    signal.signal(signal.SIGUSR1, lambda *_: loop.callFromThread(state))
    signal.signal(signal.SIGUSR2, lambda *_: loop.callFromThread(restart))
    print("serves", flush=True)


reactor.addSystemEventTrigger("before", "shutdown", application.stopService)
reactor.callWhenRunning(start)
reactor.run()
