"""
The tunnels that are measured beside each other, and how the server is configured for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tests.bench import paths

PPTP, SSTP, L2TP, HDLC = "pptp", "sstp", "l2tp", "hdlc"
"""
The names of the tunnels. HDLC's lines are TCP connections.
"""

PLAIN, MPPE, TLS = "plain", "MPPE", "TLS"
"""
What encrypts the packets of a call.
"""

WAYS = {PPTP: (PLAIN, MPPE), L2TP: (PLAIN,), SSTP: (TLS,), HDLC: (PLAIN,)}
"""
The tunnels, each with the encryptions by which it carries packets.
"""

THREADED = (PPTP, L2TP)
"""
The tunnels whose packets other data paths than that in Python may carry.
"""

LINES = 1724
"""
The TCP port of HDLC's lines.
"""

CERTIFICATE = "sstp.pem"
"""
The name of the file of SSTP's certificate, which the server makes.
"""


def sections(tunnel: str, folder: Path, patience: float) -> dict[str, Mapping[str, object]]:
    """
    Return what the configuration of a server with this tunnel has for it.

    @param patience: the seconds that handshakes may take.
    """
    own: dict[str, Mapping[str, object]] = {
        PPTP: {"handshake-timeout": patience, "call-timeout": patience},
        SSTP: {"certificate": str(folder / CERTIFICATE), "opening-timeout": patience},
        L2TP: {"clear": "accept", "handshake-timeout": patience},
        HDLC: {"endpoints": [f"tcp:{LINES}"]},
    }
    return {tunnel: own[tunnel]}


def carried(able: Iterable[str] | None = None) -> Iterator[tuple[str, str, str]]:
    """
    Return tunnel, data path and encryption of all calls by which packets are carried.

    @param able: the data paths; None for those that this machine can have.
    """
    able = paths.possible() if able is None else tuple(able)
    for tunnel, words in WAYS.items():
        for path in able:
            if path == paths.PYTHON or (path != paths.TWINS and tunnel in THREADED):
                for word in words:
                    yield tunnel, path, word


def by(tunnel: str) -> str:
    """
    Return what the names of figures end with for a tunnel. Figures without it are PPTP's.
    """
    return "" if tunnel == PPTP else f" by {tunnel}"
