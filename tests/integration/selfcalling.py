"""
A gateway with the configuration C{FILE} that calls itself at C{ADDRESS}, prints the result, and
stops.
"""

import sys
from typing import Any

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import react
from twisted.python.filepath import FilePath

from pptpgw.auth.checkers import ChapSecretsChecker
from pptpgw.auth.protocols import MSCHAPV2
from pptpgw.config.configuration import load
from pptpgw.demo.selfcall import callOurselves
from pptpgw.ppp.settings import Identity, LinkSettings
from pptpgw.service import GatewayService


async def call(
    reactor: Any, file: str, secrets: str, address: str, user: str, password: str
) -> None:
    """
    Run the gateway and the call.
    """
    checker = ChapSecretsChecker(FilePath(secrets))
    service = GatewayService(reactor, load(file), [checker])
    service.startService()
    settings = LinkSettings(identity=Identity(user.encode(), password.encode(), (MSCHAPV2,)))
    try:
        print(await callOurselves(reactor, service.clientEndpoint(address, settings)), flush=True)
    finally:
        await service.stopService()


react(lambda reactor: ensureDeferred(call(reactor, *sys.argv[1:])))
