"""
What one open console costs a gateway with thousands of sessions.

The gateway and its sessions are in memory, in one process, as in L{tests.bench.scrape}, and there
is no traffic. Debian's Chromium, in another process, logs in and leaves each page open for a while.
Measured is the processor time of this process, as a part of one core, less what it uses while
nobody looks.

C{python -m tests.bench.console SESSIONS} measures it in this process, and prints the values.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from shutil import which
from typing import Any

from twisted.internet.defer import ensureDeferred
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater

from tests.bench.process import printed, settle
from tests.bench.row import Figure, Trial

SECONDS = 10.0
SESSIONS = 5_000
PAGES = ("overview", "active", "active?sort=-rate_received", "active?user=*9*&sort=user", "pools")
BROWSER = """
import sys
from playwright.sync_api import sync_playwright
from tests.browser.world import ARGUMENTS, CHROMIUM
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(
        executable_path=CHROMIUM, args=ARGUMENTS, chromium_sandbox=False)
    page = browser.new_page()
    page.goto(sys.argv[1])
    page.get_by_role("navigation").get_by_role("link").first.wait_for()
    for line in sys.stdin:
        page.goto(sys.argv[1].partition("#")[0] + "#/" + line.strip())
        page.locator("main:not([aria-busy]) h1").wait_for(state="attached")
        page.wait_for_timeout(3000)
        print("shown", flush=True)
"""


class Browser(ProcessProtocol):
    """
    The browser's process.
    """

    def __init__(self) -> None:
        self.shown = 0

    def outReceived(self, data: bytes) -> None:
        """
        Count the pages that are shown.
        """
        self.shown += data.count(b"shown")

    def errReceived(self, data: bytes) -> None:
        """
        Pass on why it failed.
        """
        sys.stderr.write(data.decode(errors="replace"))


def console(count: int) -> None:
    """
    Set C{count} sessions up, open the console, and print what each page costs.
    """
    from twisted.internet import reactor

    from pptpgw.clock import steady
    from pptpgw.management.operation import Operator, OperatorRole
    from pptpgw.management.service import ManagementService
    from tests.bench.scrape import TEXT, fill
    from tests.management.managed import Managed
    from tests.radius.freeradius import freePort

    running: Any = reactor
    loop: Any = steady(reactor)
    port = freePort()
    world = Managed(TEXT.format(port=port), clock=loop)
    service: Any = ManagementService(loop, world.configuration.management, world)
    service.privilegedStartService()
    service.startService()

    def wait(seconds: float) -> Any:
        return deferLater(loop, seconds)

    async def used() -> float:
        cpu, since = time.process_time(), time.monotonic()
        await wait(SECONDS)
        return 100 * (time.process_time() - cpu) / (time.monotonic() - since)

    async def measure() -> None:
        await fill(world, count)
        gc.collect()
        gc.freeze()
        await wait(2)
        idle = await used()
        values = [idle]
        browser = Browser()
        token = service.operating.consoles.link(Operator("bench", OperatorRole.ADMIN))
        url = f"http://127.0.0.1:{port}/#login={token}"
        process = running.spawnProcess(
            browser, sys.executable, [sys.executable, "-c", BROWSER, url], env=None
        )
        for number, page in enumerate(PAGES, 1):
            process.write(f"{page}\n".encode())
            while browser.shown < number:
                await wait(0.1)
            values.append(await used() - idle)
        process.closeStdin()
        print(json.dumps(values))

    running.callWhenRunning(
        lambda: (
            ensureDeferred(measure())
            .addErrback(lambda failure: failure.printTraceback())
            .addBoth(lambda _: running.stop())
        )
    )
    running.run()


def trials(quick: bool) -> Iterator[Trial]:
    """
    Return the one trial, which a quick run and a machine without a browser leave out.
    """
    if quick or not which("chromium") or find_spec("playwright") is None:
        return
    name = f"console with {SESSIONS} sessions"
    figures = [Figure(f"{name}, closed", "% of a core")]
    figures += [Figure(f"{name}, {page}", "% of a core more") for page in PAGES]
    yield Trial(tuple(figures), lambda: printed("console", SESSIONS), 1)


if __name__ == "__main__":
    settle(server=True)
    console(int(sys.argv[1]))
