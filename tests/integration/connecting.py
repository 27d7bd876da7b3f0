"""
A program that connects by the endpoint string in its argument. It prints why that failed, and which
files are open a moment later that weren't before.
"""

import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import ensureDeferred
from twisted.internet.endpoints import clientFromString
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater, react

from pptpgw.client import PacketProtocol

make: Any = Factory


def descriptors() -> set[str]:
    """
    The files that are open.
    """
    folder = Path("/proc/self/fd")
    return {str(one.readlink()) for one in folder.iterdir() if one.is_symlink()}


async def connect(reactor: Any, where: str) -> None:
    """
    Connect once.
    """
    endpoint = clientFromString(reactor, where)
    # The running reactor has opened a pipe of its own.
    await deferLater(reactor, 0)
    before = descriptors()
    try:
        await endpoint.connect(make.forProtocol(PacketProtocol))
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
    await deferLater(reactor, 0.5)
    print("left:", *sorted(descriptors() - before))


react(lambda reactor, where: ensureDeferred(connect(reactor, where)), sys.argv[1:])
