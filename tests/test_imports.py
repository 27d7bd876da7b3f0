"""
The rules on who may import what, walked over the syntax trees of all modules.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "pptpgw").rglob("*.py"))

LAYERS = [
    {"error", "counters", "bucket", "naming", "secrecy", "timer"},
    {"wire"},
    {"cause", "interfaces"},
    {"profile"},
    {"log"},
    {"compiled", "lifecycle", "slices"},
    {"clock"},
    {"pptp", "ppp"},
    {
        "declaration",
        "declared",
        "filter",
        "kind",
        "table",
        "section",
        "config",
        "plugin",
        "servers",
    },
    {"ncp"},
    {"auth", "session", "store", "datapath"},
    {"ports"},
    {"network", "radius"},
    {"tunnels"},
    {
        "line",
        "making",
        "gateway",
        "client",
        "records",
        "seating",
        "selfcall",
        "testing",
    },
    {"build", "collector", "service", "reload", "reservation"},
    {"tap", "command"},
    {"__main__", "demo"},
]
"""
The parts of pptpgw: each imports only what stands before it here and, but for L{APART}, its equals.
"""

APART = [{"pptp", "ppp"}, {"pptp", "datapath"}, {"pptp", "session"}, {"pptp", "radius"}]
"""
Parts that never import each other.
"""

SYSTEM = {"socket", "os", "fcntl", "ctypes", "select", "subprocess", "signal"}
"""
What only ports, the data path and the C{port} modules of tunnels may import.
"""

MAY_CALL_THE_SYSTEM = {"ports", "datapath"}

LOGS_ITSELF = {"pptpgw.session.audit"}
"""
The audit's events go to its own observer, which writes JSON.
"""


def part(module: str) -> str:
    """
    C{ppp} for C{pptpgw.ppp.lcp}; empty for C{pptpgw} itself.
    """
    return module.partition(".")[2].partition(".")[0]


def nameOf(path: Path) -> str:
    """
    The dotted name of the module in C{path}.
    """
    relative = path.relative_to(ROOT).with_suffix("")
    parts = relative.parts[:-1] if relative.name == "__init__" else relative.parts
    return ".".join(parts)


def imports(tree: ast.AST) -> Iterator[str]:
    """
    Every module, or name within one, that C{tree} imports, wherever in it.
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


def layer(name: str) -> int:
    """
    How high the part stands.
    """
    for height, names in enumerate(LAYERS):
        if name in names:
            return height
    raise AssertionError(f"pptpgw.{name} has no place in LAYERS")


def faults(name: str, source: str) -> list[str]:
    """
    What module C{name} imports against the rules.
    """
    tree = ast.parse(source)
    own = part(name)
    found = []
    mayCall = own in MAY_CALL_THE_SYSTEM or (own == "tunnels" and name.endswith(".port"))
    for imported in imports(tree):
        if imported.partition(".")[0] in SYSTEM and not mayCall:
            found.append(f"{name} imports {imported}: system calls belong to ports and datapath")
        other = part(imported) if imported.partition(".")[0] == "pptpgw" else ""
        if not other or not own or other == own or other == "__version__":
            continue
        if layer(other) > layer(own):
            found.append(f"{name} imports {imported}, which stands above it")
        if any({own, other} <= pair for pair in APART):
            found.append(f"{name} imports {imported}: these two know nothing of each other")
    if "twisted.logger.Logger" in imports(tree) and name not in LOGS_ITSELF:
        found.append(f"{name} logs as Twisted does: pptpgw.log.Logger escapes what others say")
    if "twisted.internet.reactor" in topLevel(tree):
        found.append(f"{name} imports the reactor: take a clock or a reactor as an argument")
    return found


@pytest.mark.parametrize("path", MODULES, ids=nameOf)
def test_aModuleImportsByTheRules(path: Path) -> None:
    assert faults(nameOf(path), path.read_text()) == []


@pytest.mark.parametrize(
    ("name", "source", "clean"),
    [
        ("pptpgw.ppp.lcp", "from pptpgw.wire import ppp", True),
        ("pptpgw.wire.ppp", "from pptpgw.ppp import lcp", False),
        ("pptpgw.wire.ppp", "def f():\n    import pptpgw.ppp.lcp", False),
        ("pptpgw.ppp.lcp", "from pptpgw.pptp.call import Call", False),
        ("pptpgw.pptp.call", "from pptpgw import ppp", False),
        ("pptpgw.ppp.lcp", "import os.path", False),
        ("pptpgw.ppp.lcp", "from pptpgw.log import Logger", True),
        ("pptpgw.ppp.lcp", "from twisted.logger import Logger", False),
        ("pptpgw.ports.tun", "import fcntl, os, socket", True),
        ("pptpgw.tunnels.hdlc.port", "import os", True),
        ("pptpgw.tunnels.hdlc.call", "import os", False),
        ("pptpgw.gateway", "from twisted.internet import reactor", False),
        ("pptpgw.tap", "def f():\n    from twisted.internet import reactor", True),
        ("pptpgw.service", "if True:\n    from twisted.internet import reactor", False),
        ("pptpgw.ppp.lcp", "from pptpgw import __version__", True),
    ],
)
def test_theRulesTellGoodFromBad(name: str, source: str, clean: bool) -> None:
    """
    The judgement itself is right: a rule that finds nothing could be a rule that sees nothing.
    """
    assert (faults(name, source) == []) is clean


def test_twistedIsNoPackageHere() -> None:
    """
    A C{twisted/__init__.py} in the checkout would hide Twisted itself.
    """
    assert list((ROOT / "twisted").rglob("__init__.py")) == []


def test_tapIsNoPackage() -> None:
    assert list((ROOT / "tap").rglob("*.py")) == []
