"""
Measures what one open console costs a gateway with thousands of sessions.

The gateway and its sessions are in memory, in one process, as in L{tests.bench.scrape}, and there
is no traffic. Debian's Chromium, in another process, logs in and leaves each page open for a while.
Shown is the CPU time of this process, as a part of one core, less what it uses while nobody looks.

Run it as C{python -m tests.bench.console}, or by path. C{--sessions N} makes fewer sessions.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from pathlib import Path
from typing import Any

from twisted.internet.defer import ensureDeferred
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

SECONDS = 30.0
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


def main() -> None:
    """
    Set the sessions up, open the console, and print what each page costs.
    """
    from twisted.internet import reactor

    from pptpgw.clock import steady
    from pptpgw.management.operation import Operator, OperatorRole
    from pptpgw.management.service import ManagementService
    from tests.bench.scrape import TEXT, fill
    from tests.management.managed import Managed
    from tests.radius.freeradius import freePort

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--sessions", type=int, default=5000)
    parser.add_argument("pages", nargs="*", default=PAGES)
    given = parser.parse_args()
    count = given.sessions
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
        print(f"{count} sessions; {idle:.1f} % of a core while nobody looks", flush=True)
        browser = Browser()
        token = service.operating.consoles.link(Operator("bench", OperatorRole.ADMIN))
        url = f"http://127.0.0.1:{port}/#login={token}"
        process = running.spawnProcess(
            browser, sys.executable, [sys.executable, "-c", BROWSER, url], env=None
        )
        for number, page in enumerate(given.pages, 1):
            process.write(f"{page}\n".encode())
            while browser.shown < number:
                await wait(0.1)
            print(f"{page}: {await used() - idle:.1f} % more", flush=True)
        process.closeStdin()

    running.callWhenRunning(
        lambda: ensureDeferred(measure()).addErrback(print).addBoth(lambda _: running.stop())
    )
    running.run()


if __name__ == "__main__":
    main()
