"""
Fixtures of the tests of the console, in Debian's Chromium against a real gateway. All tests share a
gateway and a browser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser import world as here
from tests.browser.world import ARGUMENTS, CHROMIUM, PASSWORD, URL, Site
from tests.integration.conftest import lacking
from tests.integration.world import World

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Dialog, Locator, Page

HERE = Path(__file__).parent
shared = ExitStack()
"""
The gateway and the browser.
"""
PATIENCE = 20_000
"""
Milliseconds for which the page is waited for.
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Skip the tests where they can't run.
    """
    reason = lacking() or here.lacking()
    for item in items:
        if reason and item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """
    Close the gateway and the browser after the last test of this folder. The browser's event loop
    runs until then, and tests elsewhere have loops of their own.
    """
    if nextitem is None or not nextitem.path.is_relative_to(HERE):
        shared.close()


@contextmanager
def served(folder: Path) -> Iterator[Site]:
    """
    The gateway, with its files in a folder.
    """
    made = World(folder)
    try:
        site = Site(made, folder)
        yield site
        site.stop()
    finally:
        made.remove()


@contextmanager
def launched(site: Site) -> Iterator[Browser]:
    """
    The browser, which runs on the gateway's host.
    """
    from playwright.sync_api import sync_playwright

    wrapper = site.folder / "chromium"
    command = " ".join(site.world.gateway.command(CHROMIUM))
    wrapper.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    wrapper.chmod(0o755)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=wrapper, args=ARGUMENTS, chromium_sandbox=False
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """
    The gateway.
    """
    return shared.enter_context(served(tmp_path_factory.mktemp("gateway")))


@pytest.fixture(scope="session")
def chromium(site: Site) -> Browser:
    """
    The browser.
    """
    return shared.enter_context(launched(site))


Visit = Callable[..., "Page"]
cookies: dict[str, Any] = {}
"""
The cookies of operators who have logged in. A login costs a second.
"""


@pytest.fixture
def visit(site: Site, chromium: Browser) -> Iterator[Visit]:
    """
    A function that opens the console in a new browser profile. Its arguments are the operator who
    logs in, or an empty string for nobody, the page, and options of the profile. At the end no
    program error and no violation of the Content-Security-Policy may have been reported.
    """
    contexts = []
    faults: list[str] = []

    def said(dialog: Dialog) -> None:
        faults.append(dialog.message)
        dialog.dismiss()

    def open(operator: str = "ada", page: str = "", **options: Any) -> Page:
        context = chromium.new_context(storage_state=cookies.get(operator), **options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        made = context.new_page()
        made.on("pageerror", lambda error: faults.append(str(error)))
        made.on("dialog", said)
        made.on("console", lambda line: faults.extend(faultIn(line)))
        made.goto(f"{URL}#/{page}")
        if operator and operator not in cookies:
            logIn(made, operator)
            made.get_by_role("navigation").get_by_role("link").first.wait_for()
            cookies[operator] = context.storage_state()
        return made

    yield open
    for context in contexts:
        context.close()
    site.hangUp()
    assert not faults


def logIn(page: Page, operator: str, password: str = PASSWORD) -> None:
    """
    Fill in the form of the login.
    """
    page.get_by_label("Name").fill(operator)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def row(page: Page, table: str, text: str) -> Locator:
    """
    Return the row of a table that has a text.
    """
    return (
        page.get_by_role("table", name=table, exact=True).get_by_role("row").filter(has_text=text)
    )


def heading(page: Page, text: str) -> None:
    """
    Wait for the heading of a page.
    """
    page.get_by_role("heading", name=text, level=1, exact=True).wait_for()


def tabTo(page: Page, text: str) -> None:
    """
    Press Tab until what has a text has the focus, which must be visible.
    """
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == text:
            outline = "getComputedStyle(document.activeElement).outlineStyle"
            assert page.evaluate(outline) == "solid"
            return
    raise AssertionError(f"no way to {text}")


def faultIn(line: ConsoleMessage) -> list[str]:
    """
    Return the fault that the browser reports in a line. Answers with a status that isn't 200 are
    none.
    """
    isFault = line.type == "error" and "Failed to load resource" not in line.text
    return [line.text] if isFault else []
