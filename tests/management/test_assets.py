"""
Tests for L{pptpgw.management.assets}, and for the files of the console as far as no browser is
needed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import pytest
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

import pptpgw.management
from pptpgw.management.assets import FOLDER, console
from pptpgw.management.operation import Operations
from pptpgw.management.service import root
from pptpgw.management.site import ManagementSite
from pptpgw.management.stream import Streams
from tests.management.asking import REMOTE, Asking

BROWSER = Path(pptpgw.management.__file__).parent / FOLDER
MODULES = sorted(BROWSER.glob("*.js"))


def get(path: str, method: str = "GET") -> tuple[str, str]:
    """
    Ask a site that has the console for a file, without logging in, and return the head and the body
    of its answer.
    """
    clock, operating = Clock(), Asking(Operations([])).operating
    made = root(clock, Operations([]), Streams(clock), operating.access, print, console())
    site = ManagementSite(made, clock, operating.access)
    site.startFactory()
    transport = StringTransport(hostAddress=REMOTE, peerAddress=REMOTE)
    protocol: Any = cast(Any, site).buildProtocol(REMOTE)
    protocol.makeConnection(transport)
    protocol.dataReceived(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    head, _, body = transport.value().decode().partition("\r\n\r\n")
    return head, body


@pytest.mark.parametrize(
    "path, kind, text",
    [
        ("/", "text/html; charset=utf-8", "<!doctype html>"),
        ("/console/main.js", "text/javascript; charset=utf-8", "import "),
        ("/console/style.css", "text/css; charset=utf-8", ":root"),
        ("/console/icon.svg", "image/svg+xml", "<svg"),
    ],
)
def test_whoeverConnectsIsServedTheFiles(path: str, kind: str, text: str) -> None:
    head, body = get(path)
    assert head.startswith("HTTP/1.1 200 ")
    assert f"content-type: {kind}" in head.lower()
    assert "script-src 'self'; style-src 'self'" in head
    assert text in body
    head, body = get(path, "HEAD")
    assert head.startswith("HTTP/1.1 200 ") and body == ""


@pytest.mark.parametrize("path", ["/console/", "/console/assets.py", "/console/..%2Fassets.py"])
def test_nothingElseIsServed(path: str) -> None:
    head, _ = get(path)
    assert head.startswith("HTTP/1.1 404 ")


def test_nothingIsInlineAndNothingComesFromElsewhere() -> None:
    """
    There is no script and no style within the page, nothing is run from a text, no text is set as
    markup, and no file comes from another host.
    """
    page = (BROWSER / "index.html").read_text()
    assert not re.search(r"<style|style=| on\w+=|<script(?![^>]* src=)", page)
    for path in BROWSER.iterdir():
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|@import", text), path.name
    for path in MODULES:
        forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function"
        assert not re.search(forbidden, path.read_text()), path.name


def test_everyModuleIsImportedAndEveryImportIsThere() -> None:
    imports = {
        name: set(re.findall(r'from "\./([\w.]+)"', (BROWSER / name).read_text()))
        for name in (path.name for path in MODULES)
    }
    reached, left = set(), {"main.js"}
    while left:
        name = left.pop()
        reached.add(name)
        left |= imports[name] - reached
    assert reached == set(imports)
