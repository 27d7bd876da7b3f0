"""
The gateway inside an application that runs already; C{SIGUSR1} makes it print what it holds.
"""

import gc
import json
import os
import signal
import sys

from twisted.application.service import MultiService, Service
from twisted.internet import reactor
from twisted.internet.base import ReactorBase
from twisted.logger import globalLogBeginner, textFileLogObserver
from twisted.python import usage

from pptpgw.gateway import Line
from pptpgw.service import GatewayService
from pptpgw.tap import Options

assert isinstance(reactor, ReactorBase)
loop: ReactorBase = reactor
options = Options()
usage.Options.parseOptions(options, sys.argv[1:])
globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout)], redirectStandardIO=False)
application = MultiService()
service = GatewayService(reactor, options.configuration, options.portal())


def state() -> None:
    """
    Print how much there is of whatever could leak.
    """
    gc.collect()
    calls = [call for call in reactor.getDelayedCalls() if call.active()]
    held = {
        "lines": sum(isinstance(one, Line) for one in gc.get_objects()),
        "addresses": service.pool.used,
        "descriptors": len(os.listdir("/proc/self/fd")),
        "timers": len(calls),
    }
    print("STATE " + json.dumps(held), flush=True)


def start() -> None:
    """
    Join an application that runs.
    """
    application.privilegedStartService()
    application.startService()
    Service.setServiceParent(service, application)
    signal.signal(signal.SIGUSR1, lambda *_: loop.callFromThread(state))
    print("serves", flush=True)


reactor.addSystemEventTrigger("before", "shutdown", application.stopService)
reactor.callWhenRunning(start)
reactor.run()
