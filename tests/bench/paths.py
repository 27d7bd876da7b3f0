"""
The data paths that are measured, and why this machine can't have one of them.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import entry_points

PYTHON, TWINS, KERNEL, NATIVE = "python", "twins", "kernel", "native"
"""
The Python data path with its compiled parts, without them, and the other two.
"""

HDLC = "hdlc"
"""
In place of a data path: the Python data path with a call over a line.
"""

PROTOTYPE = "prototype"
"""
In place of a data path: the program that L{tests.bench.prototype} measures.
"""

COMPILED = (
    "pptpgw.datapath._mppe",
    "pptpgw.datapath._native",
    "pptpgw.ports._tun",
    "pptpgw.ppp._des",
    "pptpgw.ppp._md4",
    "pptpgw.tunnels.pptp.port._gre",
)


def prototype() -> str:
    """
    Return the path of the program that C{make bench PROTOTYPE=PROGRAM} names; empty without one.
    """
    return os.environ.get("PROTOTYPE", "")


def lacking() -> dict[str, str]:
    """
    Return all data paths, each with the reason why this machine can't have it; an empty one if it
    can.
    """
    offered = {point.name for point in entry_points(group="pptpgw.datapath")}
    # Imported here, so that a process can choose before any other part of pptpgw is imported.
    from pptpgw.ports.pppprobe import lackingPPP

    found = {PYTHON: "", TWINS: ""}
    for name in (KERNEL, NATIVE):
        found[name] = "" if name in offered else "this version of pptpgw has no such data path"
    if not found[KERNEL] and (problem := lackingPPP()):
        found[KERNEL] = f"{problem}: make bench-peers measures it in the lab"
    if problem := _uncompiled():
        found[PYTHON] = problem
    return found


def _uncompiled() -> str:
    from pptpgw.datapath.mppe import implementation

    return (
        ""
        if implementation == "compiled"
        else "its compiled parts aren't built, or of other source"
    )


def choose(path: str) -> None:
    """
    Make this process use the twins in Python instead of compiled modules, if C{path} says so. This
    comes before pptpgw is imported.
    """
    if path == TWINS:
        for name in COMPILED:
            sys.modules[name] = None  # type: ignore[assignment]


def configured(path: str) -> dict[str, str]:
    """
    Return the section C{datapath} of a gateway with this data path.
    """
    return {"path": PYTHON if path == TWINS else path}


def possible() -> list[str]:
    """
    Return the data paths that this machine can have.
    """
    return [name for name, reason in lacking().items() if not reason]
