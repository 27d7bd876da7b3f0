"""
Strangers who try to take all places of a gateway: C{strangers.py KIND GATEWAY ADDRESS ...}, where
each ADDRESS is one of this host's addresses from which they come.

With the KIND C{silent} they open 64 TCP connections from each address and send nothing. With
C{idle} they also finish the handshake, and place no call. With C{calls} they open 32 connections
from each address with 2,000 calls in all, on which nobody speaks PPP, and place 55 more calls a
second. A connection that the gateway closes is opened again at once.

The program prints C{ready} when all connections are there.
"""

import asyncio
import resource
import sys
from itertools import count

from pptpgw.tunnels.pptp.wire.message import (
    OutgoingCallRequest,
    StartControlConnectionRequest,
    encode,
)

KIND, GATEWAY, *ADDRESSES = sys.argv[1:]
HELLO = encode(
    StartControlConnectionRequest(framingCapabilities=3, bearerCapabilities=3, maximumChannels=0)
)
CONNECTIONS = 32 if KIND == "calls" else 64
CALLS = 2000 // (CONNECTIONS * len(ADDRESSES)) + 1
AGAIN = 55

numbers = count(1)
living: list[asyncio.StreamWriter] = []


def call() -> bytes:
    """
    A request for one more call.
    """
    return encode(OutgoingCallRequest(callID=next(numbers) % 65536))


async def hold(address: str, made: asyncio.Event) -> None:
    """
    Keep one connection from this address for ever.
    """
    while True:
        try:
            reader, writer = await asyncio.open_connection(GATEWAY, 1723, local_addr=(address, 0))
        except OSError:
            await asyncio.sleep(0.1)
            continue
        try:
            if KIND != "silent":
                writer.write(HELLO)
                await reader.readexactly(156)
            if KIND == "calls":
                writer.write(b"".join(call() for _ in range(CALLS)))
                living.append(writer)
            made.set()
            while await reader.read(65536):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass
        if writer in living:
            living.remove(writer)
        writer.close()
        made.set()


async def main() -> None:
    """
    Attack until the program is killed.
    """
    holders = []
    for address in ADDRESSES:
        for _ in range(CONNECTIONS):
            made = asyncio.Event()
            holders.append(asyncio.create_task(hold(address, made)))
            if len(holders) % 100 == 0:
                await made.wait()
    print("ready", flush=True)
    for number in count():
        await asyncio.sleep(1 / AGAIN)
        if living:
            living[number % len(living)].write(call())


resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
asyncio.run(main())
