"""
A printer of frames, which sends them to Debian's pppd on a pseudoterminal and reads its log.
"""

from __future__ import annotations

import os
import time
import tty
from collections.abc import Sequence
from pathlib import Path

from pptpgw.ppp.wire.ppp import ADDRESS_CONTROL
from pptpgw.tunnels.hdlc.wire import FLAG, encode
from tests.lab.peers import Process

Frame = tuple[int, bytes]

SECONDS = 2.0
"""
How long pppd may take for a frame. The kernel discards some that it doesn't like.
"""


class Printer:
    """
    One pppd, which waits for a call.
    """

    def __init__(self, log: Path) -> None:
        self._end, device = os.openpty()
        tty.setraw(device)
        options = ["nodetach", "debug", "debug", "noauth", "silent", "local"]
        self._process = Process(["pppd", os.ttyname(device), *options], log)
        self._process.waitFor("<-->")
        os.close(device)
        self._seen = 0

    def text(self, frame: Frame) -> str | None:
        """
        Return pppd's text of a frame; None if pppd doesn't get it.
        """
        protocol, information = frame
        octets = ADDRESS_CONTROL + protocol.to_bytes(2, "big") + information
        os.write(self._end, FLAG + encode(octets))
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            running = self._process.running
            lines = [one for one in self._process.text.splitlines() if one.startswith("rcvd [")]
            if len(lines) > self._seen:
                self._seen += 1
                return lines[self._seen - 1].removeprefix("rcvd ").rstrip()
            if not running:
                return None
            time.sleep(0.002)
        return None

    @property
    def running(self) -> bool:
        """
        Whether pppd runs: some frames make it end.
        """
        return self._process.running

    def stop(self) -> None:
        self._process.stop()
        os.close(self._end)


def printed(frames: Sequence[Frame], folder: Path) -> list[str | None]:
    """
    Return pppd's texts of frames, None for those that it doesn't get.
    """
    texts: list[str | None] = []
    while len(texts) < len(frames):
        printer = Printer(folder / f"printer-{len(texts)}.log")
        while printer.running and len(texts) < len(frames):
            texts.append(printer.text(frames[len(texts)]))
        printer.stop()
    return texts
