"""
Tests for the console in a real Chromium: what operators see of a real gateway, and do with it.
"""

from __future__ import annotations

import json

import pytest

from tests.browser.conftest import Visit, cookies, heading, logIn, row, tabTo
from tests.browser.world import ALICE, ARABIC, FAILURES, MARKUP, PASSWORD, Site, until
from tests.integration.world import fingerprint

DARK = ("overview", "active", "why", "import", "operators")
"""
The pages whose colours are looked at in the dark, too.
"""

PAGES = (
    "overview",
    "active",
    "why",
    "users",
    "import",
    "profiles",
    "usage",
    "pools",
    "lockouts",
    "radius",
    "events",
    "operators",
    "operators/ada",
    "configuration",
)


class TestLogin:
    def test_aWrongPassword(self, visit: Visit) -> None:
        """
        A wrong password is refused in words. Then the right one shows the page that was asked for.
        """
        page = visit("", "users")
        logIn(page, "ada", "open barley")
        page.get_by_role("alert").filter(has_text="no such operator").wait_for()
        logIn(page, "ada")
        heading(page, "Users")
        assert page.locator("#operator").inner_text().startswith("ada (admin)")
        page.get_by_role("button", name="Log out").click()
        heading(page, "Log in")

    def test_anExpiredSessionLeadsToTheLoginAndBack(self, site: Site, visit: Visit) -> None:
        page = visit("ada", "active")
        heading(page, "Active")
        site.logOut("ada")
        del cookies["ada"]
        heading(page, "Log in")
        assert "active" in page.url
        logIn(page, "ada")
        heading(page, "Active")

    def test_aLinkLogsInOnce(self, site: Site, visit: Visit) -> None:
        path = site.ask("POST", "/links")["path"]
        page = visit("")
        heading(page, "Log in")
        page.goto("http://127.0.0.1:8723" + path)
        page.get_by_role("navigation").wait_for()
        page.get_by_text("(admin)").wait_for()
        assert "login" not in page.url
        other = visit("")
        other.goto("http://127.0.0.1:8723" + path)
        other.get_by_text("this link was used already").wait_for()


class TestSessions:
    def test_aSessionFromItsBeginningToItsEnd(self, site: Site, visit: Visit) -> None:
        """
        A session appears without reloading, its plot moves, and ending it there hangs up the call.
        """
        page = visit("olga", "active")
        page.get_by_text("No session matches.").wait_for()
        client = site.client()
        call = client.dial(ALICE)
        row(page, "Active", call["address"]).get_by_role("link", name="alice").click()
        heading(page, "alice from 192.0.2.10")
        rate = page.locator("figure .figure").first
        until(lambda: rate.inner_text() == "0 b/s")
        line = page.locator("figure path").first
        before = line.get_attribute("d")
        client.ask("datagrams", 1, 600, 200)
        until(lambda: rate.inner_text().endswith((" kb/s", " Mb/s")))
        assert line.get_attribute("d") != before
        page.locator("figure svg").focus()
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowLeft")
        assert "from the user" in str(page.locator("figure svg").get_attribute("aria-label"))
        stages = page.get_by_role("table", name="Stages").get_by_role("row")
        assert stages.filter(has_text="✓ passed").count() >= 8
        page.get_by_role("button", name="End", exact=True).click()
        page.get_by_role("dialog").get_by_role("button", name="End session").click()
        assert "disconnected by" in client.ask("ended", call["number"])["cause"]
        page.get_by_text("This session is over.").wait_for()
        assert rate.is_visible()

    def test_whatASessionHasAgreedOn(self, site: Site, visit: Visit) -> None:
        """
        The page shows the options of each protocol in both directions, and the frames of the
        set-up.
        """
        page = visit("vic", viewport={"width": 390, "height": 844})
        call = site.client().dial(ALICE)
        (session,) = site.ask("GET", "/sessions")["items"]
        page.goto(f"http://127.0.0.1:8723/#/session/{session['session_id']}")
        heading(page, "alice from 192.0.2.10")
        rows = page.get_by_role("table", name="Options agreed").get_by_role("row")
        rows.filter(has_text="IPCP").first.wait_for()
        shown = [text.split("\t") for text in rows.all_inner_texts()]
        assert shown[0] == ["Protocol", "Option", "Ours", "Peer's"]
        assert ["LCP", "auth", "chap MS-v2", ""] in shown
        assert ["LCP", "pcomp", "yes", "yes"] in shown
        assert ["CCP", "mppe", "+H -M +S -L -D -C", "+H -M +S -L -D -C"] in shown
        assert ["IPCP", "addr", "10.77.0.1", call["address"]] in shown
        protocols = site.ask("GET", f"/sessions/{session['session_id']}")["protocols"]
        assert len(shown) == 1 + sum(len(one["options"]) for one in protocols)
        frames = page.get_by_role("list", name="Control frames")
        frames.get_by_text("sent [LCP ConfReq").first.wait_for()
        frames.get_by_text("rcvd [IPCP ConfAck").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390

    def test_changingASession(self, site: Site, visit: Visit) -> None:
        page = visit("olga", "active")
        site.client().dial(ALICE)
        row(page, "Active", "alice").get_by_role("button", name="Change").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Volume").fill("1000000")
        dialog.get_by_label("Filter").fill("nothing")
        dialog.get_by_role("button", name="Change").click()
        dialog.get_by_role("alert").filter(has_text="there is no filter nothing").wait_for()
        dialog.get_by_label("Filter").fill("")
        dialog.get_by_role("button", name="Change").click()
        dialog.wait_for(state="detached")
        (session,) = site.ask("GET", "/sessions")["items"]
        assert session["limits"]["volume_octets"] == 1_000_000
        assert session["limits"]["idle_timeout_seconds"] is None

    def test_searchingOrderingAndEndingManySessions(self, site: Site, visit: Visit) -> None:
        page = visit("olga", "active")
        client = site.client()
        client.dial(ALICE)
        client.dial((MARKUP, PASSWORD))
        client.dial((ARABIC, PASSWORD))
        table = page.get_by_role("table", name="Active", exact=True)
        page.get_by_text("1 to 3 of 3").wait_for()
        table.get_by_role("button", name="User").click()
        table.get_by_role("button", name="User").click()
        assert table.locator("th[aria-sort=descending]").inner_text() == "User"
        until(lambda: table.locator("tbody a").first.inner_text() == ARABIC)
        page.get_by_role("searchbox").first.fill("ali")
        page.get_by_text("1 to 1 of 1").wait_for()
        assert "user=" in page.url
        page.reload()
        page.get_by_text("1 to 1 of 1").wait_for()
        page.get_by_role("button", name="End all that match").click()
        page.get_by_role("button", name="End them").click()
        until(lambda: site.ask("GET", "/sessions")["total"] == 2)

    def test_columnsAreChosenAndRemembered(self, visit: Visit) -> None:
        page = visit("vic", "active")
        page.get_by_text("Columns").first.click()
        page.get_by_label("Authentication").check()
        head = page.get_by_role("table", name="Active", exact=True).get_by_role("columnheader")
        assert "Authentication" in head.all_inner_texts()
        page.reload()
        page.get_by_role("columnheader", name="Authentication").wait_for()

    def test_aTrace(self, site: Site, visit: Visit) -> None:
        page = visit("olga", "active")
        client = site.client()
        call = client.dial(ALICE)
        row(page, "Active", "alice").get_by_role("button", name="Trace").click()
        page.get_by_text("Frames appear as they come").wait_for()
        until(lambda: "GET /api/v1/trace" in site.served.text)
        client.ask("hangUp", call["number"])
        page.get_by_text("rcvd [LCP TermReq").wait_for()

    def test_namesThatAreMarkupOrArabic(self, site: Site, visit: Visit) -> None:
        """
        The name of a user is shown as it is, in its own direction, and never run.
        """
        page = visit("ada", "active")
        client = site.client()
        client.dial((MARKUP, PASSWORD))
        client.dial((ARABIC, PASSWORD))
        for name, direction in ((MARKUP, "ltr"), (ARABIC, "rtl")):
            link = page.get_by_role("link", name=name)
            link.wait_for()
            assert (
                link.locator("bdi").evaluate("one => getComputedStyle(one).direction") == direction
            )
        page.get_by_role("link", name=MARKUP).click()
        heading(page, f"{MARKUP} from 192.0.2.10")
        for other in ("users", "why", "pools", "events", "overview"):
            page.goto(f"http://127.0.0.1:8723/#/{other}")
            page.locator("bdi", has_text=MARKUP).first.wait_for()
        assert page.locator("#gateway").inner_text() == "gate <b>1</b>"
        assert page.locator("main script, main b:text-is('1')").count() == 0


class TestTunnels:
    def test_sessionsOfSeveral(self, site: Site, visit: Visit) -> None:
        """
        Each session shows its tunnel, and those of one can be looked at alone.
        """
        client = site.client()
        client.dial(ALICE)
        assert "error" not in client.ask("sstp", MARKUP, PASSWORD, fingerprint(site.certificate))
        assert "error" not in client.ask("l2tp", ARABIC, PASSWORD)
        page = visit("olga", "active")
        for user, tunnel in (("alice", "pptp"), (MARKUP, "sstp"), (ARABIC, "l2tp")):
            row(page, "Active", user).get_by_role("cell", name=tunnel, exact=True).wait_for()
        page.get_by_label("Column to search in").first.select_option("tunnel")
        page.get_by_role("searchbox").first.fill("sstp")
        page.get_by_text("1 to 1 of 1").wait_for()
        row(page, "Active", MARKUP).get_by_role("link", name=MARKUP).click()
        heading(page, f"{MARKUP} from 192.0.2.10")
        page.get_by_text("TLSv1.3").wait_for()
        page.goto("http://127.0.0.1:8723/#/overview")
        row(page, "Sessions by tunnel", "l2tp").get_by_role("link").click()
        page.get_by_text("1 to 1 of 1").wait_for()
        row(page, "Active", ARABIC).wait_for()
        page.goto("http://127.0.0.1:8723/#/why?tunnel=l2tp")
        calls = page.get_by_role("table", name="The last calls and callers").locator("tbody tr")
        calls.first.wait_for()
        assert all("l2tp" in text for text in calls.all_inner_texts())


class TestRoles:
    def test_aViewerSeesNoButtonsThatItMayNotUse(self, site: Site, visit: Visit) -> None:
        page = visit("vic", "active")
        site.client().dial(ALICE)
        row(page, "Active", "alice").wait_for()
        for name in ("End", "Change", "Trace", "End all that match"):
            assert page.get_by_role("button", name=name, exact=True).count() == 0
        page.goto("http://127.0.0.1:8723/#/users")
        row(page, "Users", "alice").wait_for()
        for name in ("Add a user", "Disable", "Remove"):
            assert page.get_by_role("button", name=name, exact=True).count() == 0
        page.goto("http://127.0.0.1:8723/#/configuration")
        page.get_by_text("The gateway takes calls.").wait_for()
        assert page.get_by_role("button", name="Drain").count() == 0

    def test_whatTheGatewayForbidsIsSaidInWords(self, site: Site, visit: Visit) -> None:
        page = visit("vic", "active")
        # The page is made to believe that a viewer may do what an operator may.
        text = json.dumps(site.ask("GET", "/openapi.json"))
        text = text.replace('"x-role": "operator"', '"x-role": "viewer"')
        page.route("**/openapi.json", lambda route: route.fulfill(body=text))
        page.reload()
        site.client().dial(ALICE)
        row(page, "Active", "alice").get_by_role("button", name="End", exact=True).click()
        page.get_by_role("button", name="End session").click()
        page.get_by_role("alert").filter(has_text="vic is a viewer, and this needs").wait_for()
        assert site.ask("GET", "/sessions")["total"] == 1


class TestAccounts:
    def test_aUserFromTheFirstDayToTheLast(self, site: Site, visit: Visit) -> None:
        page = visit("ada", "profiles")
        page.get_by_role("button", name="Add a profile").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Name").fill("slow")
        dialog.get_by_label("Receive rate").fill("256000")
        dialog.get_by_role("button", name="Add").click()
        row(page, "Profiles", "slow").wait_for()
        page.goto("http://127.0.0.1:8723/#/users")
        page.get_by_role("button", name="Add a user").click()
        dialog.get_by_label("Name").fill("bob")
        dialog.get_by_label("Password").fill(PASSWORD)
        dialog.get_by_label("Profile").fill("fast")
        dialog.get_by_role("button", name="Add").click()
        dialog.get_by_role("alert").filter(has_text="fast").wait_for()
        dialog.get_by_label("Profile").fill("slow")
        dialog.get_by_role("button", name="Add").click()
        dialog.wait_for(state="detached")
        bob = row(page, "Users", "bob")
        bob.wait_for()
        client = site.client()
        call = client.dial(("bob", PASSWORD))
        bob.get_by_role("button", name="Disable").click()
        page.get_by_text("bob is disabled. 1 session goes on as it is.").wait_for()
        bob.get_by_text("disabled").wait_for()
        bob.get_by_role("button", name="Enable").click()
        bob.get_by_text("enabled").wait_for()
        bob.get_by_role("button", name="Remove").click()
        dialog.get_by_label("Now").check()
        dialog.get_by_role("button", name="Remove").click()
        page.get_by_text("bob is removed. 1 session ends.").wait_for()
        bob.wait_for(state="detached")
        assert "the user is removed" in client.ask("ended", call["number"])["cause"]
        page.goto("http://127.0.0.1:8723/#/profiles")
        row(page, "Profiles", "slow").get_by_role("button", name="Remove").click()
        dialog.get_by_role("button", name="Remove").click()
        row(page, "Profiles", "slow").wait_for(state="detached")

    def test_whyAUserCantCallAndHerLockout(self, site: Site, visit: Visit) -> None:
        client = site.client()
        client.ask("call", "carol", "wrong", 1400)
        page = visit("olga", "why")
        row(page, "The last calls and callers", "carol").first.wait_for()
        row(page, "The last calls and callers", "carol").first.get_by_role("link").click()
        stages = page.get_by_role("table", name="Stages").get_by_role("row")
        assert stages.filter(has_text="✗ failed").inner_text().startswith("authentication")
        assert "✓ passed" in stages.filter(has_text="LCP").inner_text()
        page.get_by_text("sent [LCP ConfReq").first.wait_for()
        for _ in range(FAILURES - 1):
            client.order("call", "carol", "wrong", 1400)
        page.get_by_role("link", name="Why can't this user call?").click()
        page.get_by_text("Problem:").first.wait_for()
        page.goto("http://127.0.0.1:8723/#/lockouts")
        row(page, "Lockouts", "carol").get_by_role("button", name="Clear").click()
        row(page, "Lockouts", "carol").wait_for(state="detached")
        for one in site.ask("GET", "/lockouts")["items"]:
            site.ask("DELETE", f"/lockouts/{one['kind']}/{one['subject']}")
        # Its other calls are answered late.
        client.kill()


class TestGateway:
    def test_theOverviewAndEventsAsTheyHappen(self, site: Site, visit: Visit) -> None:
        page = visit("vic")
        page.get_by_text("✓ serving").wait_for()
        site.client().dial(ALICE)
        row(page, "Last events", "session started").filter(has_text="alice").first.wait_for()
        row(page, "Sessions by tunnel", "pptp").get_by_text("1", exact=True).wait_for()
        page.goto("http://127.0.0.1:8723/#/events")
        page.get_by_label("Kind").select_option("session-started")
        row(page, "Events", "session started").first.wait_for()
        assert row(page, "Events", "session changed").count() == 0

    def test_drainingAndTakingCallsAgain(self, site: Site, visit: Visit) -> None:
        page = visit("ada", "configuration")
        page.get_by_role("button", name="Drain").click()
        page.get_by_role("dialog").get_by_role("button", name="Drain").click()
        page.get_by_text("The gateway has taken no calls since").wait_for()
        page.get_by_role("button", name="Undrain").click()
        page.get_by_text("The gateway takes calls.").wait_for()
        assert site.ask("GET", "/status")["drain"] is None

    def test_aGatewayThatRestartsUnderThePage(self, site: Site, visit: Visit) -> None:
        """
        The page says that the connection is lost, and comes back by itself. The gateway has
        forgotten who had logged in, and after the login the page is where it was.
        """
        page = visit("ada", "users")
        row(page, "Users", "alice").wait_for()
        site.served.stop(9)
        cookies.clear()
        page.get_by_role("alert").filter(
            has_text="The connection to the gateway is lost"
        ).wait_for()
        site.served = site.serve()
        heading(page, "Log in")
        assert not page.locator("#banner").is_visible()
        logIn(page, "ada")
        row(page, "Users", "alice").wait_for()


class TestEverybody:
    def test_theKeyboardAlone(self, site: Site, visit: Visit) -> None:
        """
        Everything is done by the keyboard: logging in, going to a page and ending a session.
        """
        page = visit("")
        press, focused = page.keyboard.press, "document.activeElement.textContent"
        heading(page, "Log in")
        page.keyboard.type("olga")
        press("Tab")
        page.keyboard.type(PASSWORD)
        press("Enter")
        page.get_by_role("navigation").get_by_role("link", name="Active").wait_for()
        client = site.client()
        call = client.dial(ALICE)
        tabTo(page, "Active")
        press("Enter")
        row(page, "Active", "alice").wait_for()
        tabTo(page, "End")
        press("Enter")
        page.get_by_role("dialog").wait_for()
        press("Escape")
        page.get_by_role("dialog").wait_for(state="detached")
        assert page.evaluate(focused) == "End"
        press("Enter")
        tabTo(page, "End session")
        press("Enter")
        assert "disconnected by" in client.ask("ended", call["number"])["cause"]

    def test_aTelephone(self, site: Site, visit: Visit) -> None:
        """
        On a screen of 390 pixels nothing is wider than the screen, and sessions can be ended.
        """
        page = visit("ada", viewport={"width": 390, "height": 844}, has_touch=True)
        client = site.client()
        call = client.dial(ALICE)
        for name in PAGES:
            page.goto(f"http://127.0.0.1:8723/#/{name}")
            page.locator("main:not([aria-busy]) h1").wait_for(state="attached")
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
        page.goto("http://127.0.0.1:8723/#/active")
        end = row(page, "Active", "alice").get_by_role("button", name="End")
        end.wait_for()
        box = end.bounding_box()
        assert box and box["x"] + box["width"] <= 390 and box["height"] >= 24
        end.tap()
        page.get_by_role("button", name="End session").tap()
        assert "disconnected by" in client.ask("ended", call["number"])["cause"]

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_axeFindsNoFault(self, site: Site, visit: Visit, scheme: str) -> None:
        """
        The rules of axe-core find no fault on any page. In the dark the colours alone differ.
        """
        axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
        options = {"runOnly": ["color-contrast"]} if scheme == "dark" else None
        page = visit("", color_scheme=scheme)
        client = site.client()
        client.dial(ALICE)
        client.order("call", f"dora {scheme}", "wrong", 1400)
        heading(page, "Log in")
        faults = [("login", one) for one in axe.run(page, options=options).response["violations"]]
        logIn(page, "ada")
        page.get_by_role("navigation").get_by_role("link", name="Active").wait_for()
        assert "error" in client.answer()
        identifier = site.ask("GET", "/sessions")["items"][0]["session_id"]
        for name in (*PAGES, f"session/{identifier}", f"why/{identifier}"):
            if scheme == "dark" and name not in DARK:
                continue
            page.goto(f"http://127.0.0.1:8723/#/{name}")
            page.locator("main:not([aria-busy]) h1").wait_for(state="attached")
            faults += [(name, one) for one in axe.run(page, options=options).response["violations"]]
        page.goto("http://127.0.0.1:8723/#/users")
        page.get_by_role("button", name="Add a user").click()
        faults += [("dialog", one) for one in axe.run(page, options=options).response["violations"]]
        assert not [
            (name, one["id"], [node["html"][:200] for node in one["nodes"]]) for name, one in faults
        ]
