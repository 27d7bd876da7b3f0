"""
Makes the pictures of the console in C{README.md}: a gateway with some callers, in the real browser.

Run it as C{python -m tests.browser.screenshots FOLDER}, as root.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.browser.conftest import launched, logIn
from tests.browser.world import ARABIC, PASSWORD, URL, Site
from tests.integration.world import Client, World, fingerprint

if TYPE_CHECKING:
    from playwright.sync_api import FloatRect

SECONDS = 900
"""
How long callers send, which is longer than it takes to make the pictures.
"""
USERS = ("alice", "bob", "carol", "meter7", "meter8", "office-lyon", ARABIC)


@contextmanager
def gateway() -> Iterator[Site]:
    """
    A gateway with callers by several tunnels, who send datagrams at different rates.
    """
    with tempfile.TemporaryDirectory() as name, ExitStack() as clients:
        world = World(Path(name))
        try:
            site = Site(world, Path(name), "branch-1")
            for user in USERS[1:]:
                if user != ARABIC:
                    site.ask("POST", "/users", {"name": user, "password": PASSWORD})
            for number, user in enumerate(USERS):
                client = Client(world.caller)
                clients.callback(client.kill)
                way = ("call", 1400), ("sstp", fingerprint(site.certificate)), ("l2tp",)
                name, *more = way[number % len(way)]
                assert "error" not in client.ask(name, user, PASSWORD, *more)
                rate = 20 * (number + 1)
                client.order("datagrams", 1, rate * SECONDS, rate)
            site.client().ask("call", "dave", "wrong", 1400)
            yield site
            site.stop()
        finally:
            world.remove()


def main(folder: Path) -> None:
    """
    Make the pictures.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with gateway() as site, launched(site) as browser:
        page = browser.new_page(viewport={"width": 1200, "height": 740})
        page.goto(URL)
        logIn(page, "ada")
        page.get_by_role("navigation").get_by_role("link", name="Active").click()
        page.mouse.move(600, 700)
        page.wait_for_timeout(70_000)
        page.screenshot(path=folder / "active.png", clip=clip(1200, 300))
        page.goto(f"{URL}#/overview")
        page.wait_for_timeout(4000)
        page.screenshot(path=folder / "overview.png")
        page.goto(f"{URL}#/why")
        page.get_by_role("link", name="dave").first.click()
        page.get_by_text("sent [LCP ConfReq").first.wait_for()
        page.screenshot(path=folder / "why.png", clip=clip(1200, 560))


def clip(width: int, height: int) -> FloatRect:
    """
    Return the part of a page that begins at its left upper corner.
    """
    return {"x": 0, "y": 0, "width": width, "height": height}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
