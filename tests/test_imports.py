"""
Tests for the rules on which modules may import which, with the syntax trees of all modules.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "pptpgw").rglob("*.py"))

FAMILIES = {"tunnels", "networks"}
"""
Rooms with a folder for each protocol. They never import each other, and no protocol imports another
of its room.
"""

TOP = {
    "__main__",
    "build",
    "client",
    "clientstring",
    "command",
    "demo",
    "gateway",
    "profilecheck",
    "reporting",
    "service",
    "tap",
    "testing",
}
"""
Modules above all rooms. No room imports them.
"""

SYSTEM = {"socket", "os", "fcntl", "ctypes", "select", "subprocess", "signal"}
"""
Modules with system calls, which only ports and the data path may import.
"""

MAY_CALL_THE_SYSTEM = {"ports", "datapath"}

LOGS_ITSELF = {"pptpgw.sessions.audit"}
"""
Modules that log by other means. The audit's events go to its own observer, which writes JSON.
"""


def parts(module: str) -> list[str]:
    """
    C{ppp} and C{lcp} for C{pptpgw.ppp.lcp}, and nothing for C{pptpgw} itself.
    """
    return module.split(".")[1:]


def room(module: str) -> str:
    """
    C{ppp} for C{pptpgw.ppp.lcp}, and nothing for C{pptpgw} itself.
    """
    return module.partition(".")[2].partition(".")[0]


def isWire(module: str) -> bool:
    """
    Whether the module converts between octets and values.
    """
    return "wire" in parts(module)


def callsTheSystem(module: str) -> bool:
    """
    Whether the module may make system calls: it is a port, or belongs to the data path.
    """
    return room(module) in MAY_CALL_THE_SYSTEM or (
        room(module) in FAMILIES and "port" in parts(module)
    )


def nameOf(path: Path) -> str:
    """
    The dotted name of the module in C{path}.
    """
    relative = path.relative_to(ROOT).with_suffix("")
    parts = relative.parts[:-1] if relative.name == "__init__" else relative.parts
    return ".".join(parts)


def imports(tree: ast.AST) -> Iterator[str]:
    """
    Every module, or name in one, that C{tree} imports anywhere.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"a relative import, line {node.lineno}"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def topLevel(tree: ast.Module) -> Iterator[str]:
    """
    The imports that run when the module itself is imported.
    """
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from imports(node)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            pending += ast.iter_child_nodes(node)


def againstTheRooms(name: str, imported: str) -> str:
    """
    The reason why a room may not import a module of pptpgw, or nothing if it may.
    """
    own, other = room(name), room(imported)
    its = "".join(parts(imported)[1:2])
    if isWire(name) and not isWire(imported) and other != "error":
        return "wire modules know the standard library, error and each other alone"
    if own in ("ppp", "config") and other in FAMILIES:
        return f"{own} knows neither tunnels nor networks"
    if own not in FAMILIES | TOP and other == "tunnels" and isFamilyMember(other, its):
        return "only tunnels, and what stands above all rooms, know a tunnel"
    if own in FAMILIES and other in FAMILIES - {own}:
        return "tunnels and networks know nothing of each other"
    if own in FAMILIES and own == other:
        mine = "".join(parts(name)[1:2])
        folders = [one for one in (mine, its) if isFamilyMember(own, one)]
        if len(folders) == 2 and mine != its:
            return "these two are siblings, and know nothing of each other"
        if folders == [its]:
            return "what all have in common knows none of them"
    if own == "management" and other in FAMILIES:
        return "management knows neither tunnels nor networks"
    if own not in TOP | {"management"} and other == "management":
        return "only what stands above all rooms knows the management interface"
    if own != other and other in TOP and own not in TOP:
        return "it stands above all rooms"
    return ""


def isFamilyMember(family: str, name: str) -> bool:
    """
    Whether C{name} is the folder of one protocol, and not something that all protocols share.
    """
    return name not in ("", "wire") and (ROOT / "pptpgw" / family / name).is_dir()


def faults(name: str, source: str) -> list[str]:
    """
    The imports of module C{name} that break the rules.
    """
    tree = ast.parse(source)
    found = []
    for imported in imports(tree):
        top = imported.partition(".")[0]
        if top in SYSTEM and not callsTheSystem(name):
            found.append(f"{name} imports {imported}: system calls belong to ports and datapath")
        if top == "pptpgw" and room(name) and imported != "pptpgw.__version__":
            if wrong := againstTheRooms(name, imported):
                found.append(f"{name} imports {imported}: {wrong}")
        elif isWire(name) and top not in sys.stdlib_module_names:
            found.append(f"{name} imports {imported}: wire modules know the standard library alone")
    if "twisted.logger.Logger" in imports(tree) and name not in LOGS_ITSELF:
        found.append(f"{name} logs as Twisted does: pptpgw.log.Logger escapes what others say")
    if "twisted.internet.reactor" in topLevel(tree):
        found.append(f"{name} imports the reactor: take a clock or a reactor as an argument")
    return found


def graph(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """
    The imports of each module: at its top, in functions, and for types alone.
    """
    edges: dict[str, set[str]] = {}
    for name, source in sources.items():
        found = set()
        for imported in imports(ast.parse(source)):
            module = imported if imported in sources else imported.rpartition(".")[0]
            if module in sources and module != name:
                found.add(module)
        edges[name] = found
    return edges


def circles(sources: Mapping[str, str]) -> list[set[str]]:
    """
    The circles of modules that import each other (Tarjan's algorithm).
    """
    edges = graph(sources)
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(name: str) -> None:
        order[name] = lowest[name] = len(order)
        stack.append(name)
        for other in edges[name]:
            if other not in order:
                visit(other)
                lowest[name] = min(lowest[name], lowest[other])
            elif other in stack:
                lowest[name] = min(lowest[name], order[other])
        if lowest[name] == order[name]:
            place = stack.index(name)
            circle = set(stack[place:])
            del stack[place:]
            if len(circle) > 1:
                found.append(circle)

    for name in edges:
        if name not in order:
            visit(name)
    return found


@pytest.mark.parametrize("path", MODULES, ids=nameOf)
def test_aModuleImportsByTheRules(path: Path) -> None:
    assert faults(nameOf(path), path.read_text()) == []


def test_noModuleNeedsAFrameworkOfTests() -> None:
    """
    L{pptpgw.testing} needs no framework for tests, so that authors of plugins can use any.
    """
    imported = {one for path in MODULES for one in imports(ast.parse(path.read_text()))}
    frameworks = "pytest", "hypothesis", "unittest", "twisted.trial"
    assert [one for one in imported if one.startswith(frameworks)] == []


def test_noModulesImportInACircle() -> None:
    assert circles({nameOf(path): path.read_text() for path in MODULES}) == []


def test_theRootHasFewModules() -> None:
    """
    What has a room stands in its folder; the root of the package has fewer than twelve modules.
    """
    modules = [path for path in (ROOT / "pptpgw").glob("*.py") if not path.stem.startswith("__")]
    assert len(modules) < 12, modules


@pytest.mark.parametrize(
    ("name", "source", "clean"),
    [
        ("pptpgw.ppp.lcp", "from pptpgw.ppp.wire import ppp", True),
        ("pptpgw.ppp.wire.ppp", "from pptpgw.error import Malformed", True),
        ("pptpgw.datapath.wire.pcapng", "from pptpgw.ppp.wire import ppp", True),
        ("pptpgw.ppp.wire.ppp", "from pptpgw.ppp import lcp", False),
        ("pptpgw.networks.ipv6.wire", "from pptpgw.log import Logger", False),
        ("pptpgw.networks.ipv6.wire", "from twisted.internet.defer import Deferred", False),
        ("pptpgw.networks.ipv6.wire", "import struct", True),
        ("pptpgw.ppp.wire.ppp", "def f():\n    import pptpgw.ppp.lcp", False),
        ("pptpgw.ppp.lcp", "from pptpgw.tunnels.pptp.call import Call", False),
        ("pptpgw.ppp.lcp", "from pptpgw.networks.ipv6 import plugin", False),
        ("pptpgw.config.kind", "from pptpgw.networks.mpls.wire.mpls import LARGEST", False),
        ("pptpgw.config.section", "from pptpgw.tunnels.environment import X", False),
        ("pptpgw.config.section", "from pptpgw.radius.servers import Server", True),
        ("pptpgw.management.status", "from pptpgw.sessions.line import Line", True),
        ("pptpgw.management.status", "from pptpgw.networks.ipv4.plugin import X", False),
        ("pptpgw.sessions.line", "from pptpgw.management.page import Page", False),
        ("pptpgw.command.remote", "from pptpgw.management.page import Page", True),
        ("pptpgw.tunnels.pptp.call", "from pptpgw import ppp", True),
        ("pptpgw.tunnels.pptp.call", "from pptpgw.networks.protocol import X", False),
        ("pptpgw.networks.ipv6.plugin", "from pptpgw.tunnels.pptp import call", False),
        ("pptpgw.gateway", "from pptpgw.tunnels.pptp.call import Call", True),
        ("pptpgw.sessions.line", "from pptpgw.gateway import Gateway", False),
        ("pptpgw.sessions.line", "from pptpgw.tunnels.pptp.call import Call", False),
        ("pptpgw.datapath.checks", "from pptpgw.tunnels.pptp import call", False),
        ("pptpgw.radius.client", "from pptpgw.tunnels.pptp.call import PPTP", False),
        ("pptpgw.radius.client", "from pptpgw.tunnels.environment import X", True),
        ("pptpgw.testing", "from pptpgw.tunnels.pptp.call import PPTP", True),
        ("pptpgw.sessions.line", "if TYPE_CHECKING:\n    from pptpgw.service import X", False),
        ("pptpgw.demo.probe", "from pptpgw.client import Client", True),
        ("pptpgw.ppp.lcp", "import os.path", False),
        ("pptpgw.networks.ipv6.plugin", "import socket", False),
        ("pptpgw.networks.ethernet.port", "import socket", True),
        ("pptpgw.tunnels.pptp.port.gre", "import socket", True),
        ("pptpgw.tunnels.hdlc.port", "import os", True),
        ("pptpgw.tunnels.hdlc.call", "import os", False),
        ("pptpgw.ppp.port", "import socket", False),
        ("pptpgw.ppp.lcp", "from pptpgw.log import Logger", True),
        ("pptpgw.ppp.lcp", "from twisted.logger import Logger", False),
        ("pptpgw.ports.tun", "import fcntl, os, socket", True),
        ("pptpgw.ports.devicesystem", "from pptpgw.ports import _tun", True),
        ("pptpgw.ports.tun", "from pptpgw.tunnels.pptp.port import _gre", False),
        ("pptpgw.gateway", "from twisted.internet import reactor", False),
        ("pptpgw.tap", "def f():\n    from twisted.internet import reactor", True),
        ("pptpgw.service", "if True:\n    from twisted.internet import reactor", False),
        ("pptpgw.ppp.lcp", "from pptpgw import __version__", True),
    ],
)
def test_theRulesTellGoodFromBad(name: str, source: str, clean: bool) -> None:
    """
    The rules find the faults in wrong imports and none in right ones.
    """
    assert (faults(name, source) == []) is clean


@pytest.mark.parametrize(
    ("name", "source", "clean"),
    [
        ("pptpgw.networks.one.plugin", "from pptpgw.networks.one.wire import x", True),
        ("pptpgw.networks.one.plugin", "from pptpgw.networks.two.plugin import x", False),
        ("pptpgw.networks.one.wire", "from pptpgw.networks.two.wire import x", False),
        ("pptpgw.networks.one.plugin", "from pptpgw.networks.common import x", True),
        ("pptpgw.networks.one.wire", "from pptpgw.networks.wire.checksum import x", True),
        ("pptpgw.networks.common", "from pptpgw.networks.one.plugin import x", False),
    ],
)
def test_siblingsAreToldFromWhatTheyHaveInCommon(
    name: str, source: str, clean: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        f"{__name__}.isFamilyMember", lambda family, member: member in ("one", "two")
    )
    assert (faults(name, source) == []) is clean


@pytest.mark.parametrize(
    ("second", "found"),
    [
        ("", []),
        ("import pptpgw.a", [{"pptpgw.a", "pptpgw.b"}]),
        ("from pptpgw import a", [{"pptpgw.a", "pptpgw.b"}]),
        ("def f():\n    from pptpgw.a import x", [{"pptpgw.a", "pptpgw.b"}]),
        ("if TYPE_CHECKING:\n    from pptpgw.a import x", [{"pptpgw.a", "pptpgw.b"}]),
        ("from pptpgw.c import x", [{"pptpgw.a", "pptpgw.b", "pptpgw.c"}]),
        ("from pptpgw.d import x", []),
    ],
)
def test_aCircleIsFound(second: str, found: Iterable[set[str]]) -> None:
    sources = {
        "pptpgw.a": "from pptpgw.b import y",
        "pptpgw.b": second,
        "pptpgw.c": "from pptpgw import a",
        "pptpgw.d": "",
    }
    assert circles(sources) == found


def test_twistedIsNoPackageHere() -> None:
    """
    There is no C{twisted/__init__.py} in the checkout, as it would hide Twisted itself.
    """
    assert list((ROOT / "twisted").rglob("__init__.py")) == []


def test_tapIsNoPackage() -> None:
    assert list((ROOT / "tap").rglob("*.py")) == []
