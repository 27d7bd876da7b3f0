"""
Tests for the pages of the console that import users, and that manage operators, in a real Chromium.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Visit, heading, row, tabTo
from tests.browser.world import ALICE, ARABIC, MARKUP, PASSWORD, Site

if TYPE_CHECKING:
    from playwright.sync_api import FilePayload, Page

OUTCOMES = "What becomes of each user"
GOOD = f'dave * "{PASSWORD}" *\nerin * "{PASSWORD}" * 2048/512\n'
BAD = f'frank * "{PASSWORD}" *\n"{MARKUP}" * y fast\nalice * z *\n{ARABIC} *\n'


def file(text: str) -> FilePayload:
    """
    Return a file as the browser takes it.
    """
    return {"name": "chap-secrets", "mimeType": "", "buffer": text.encode()}


def preview(page: Page, text: str) -> None:
    """
    Choose a file, and ask what would become of its users.
    """
    page.get_by_label("File").set_input_files(file(text))
    page.get_by_role("button", name="Preview").click()
    page.get_by_role("heading", name="Preview").wait_for()


def users(site: Site) -> set[str]:
    """
    Return the names of the users that the gateway has.
    """
    return {one["name"] for one in site.ask("GET", "/users")["items"]}


def believing(page: Page, site: Site, role: str) -> None:
    """
    Have the page believe that operators of a role may do what only admins may.
    """
    text = json.dumps(site.ask("GET", "/openapi.json"))
    text = text.replace('"x-role": "admin"', f'"x-role": "{role}"')
    page.route("**/openapi.json", lambda route: route.fulfill(body=text))
    page.reload()


class TestImport:
    @pytest.fixture(autouse=True)
    def usersAsBefore(self, site: Site) -> None:
        """
        Remove the users that an earlier test has imported.
        """
        for name in users(site) & {"dave", "erin", "frank"}:
            site.ask("DELETE", f"/users/{name}")

    def test_aGoodFile(self, site: Site, visit: Visit) -> None:
        """
        A preview imports nobody; after the confirmation the users are there, and can call.
        """
        page = visit("ada", "users")
        page.get_by_role("link", name="Import").click()
        heading(page, "Import users")
        assert page.locator("#to-users").get_attribute("aria-current") == "page"
        preview(page, GOOD)
        page.get_by_text("Format accel: 2 users would be added, 0 changed, 0 left out.").wait_for()
        assert "Send rate 2.05 Mb/s" in row(page, OUTCOMES, "erin").inner_text()
        assert "dave" not in users(site)
        page.get_by_role("button", name="Import 2 users").click()
        page.get_by_role("heading", name="Imported").wait_for()
        assert {"dave", "erin"} < users(site)
        assert page.get_by_role("button", name="Import 2 users").count() == 0
        site.client().dial(("erin", PASSWORD))
        page.get_by_role("link", name="Back to the users").click()
        row(page, "Users", "erin").get_by_role("link", name="1").wait_for()
        page.go_back()
        preview(page, GOOD)
        assert row(page, OUTCOMES, "dave").inner_text().endswith("there is a user dave already")
        page.get_by_label("Update").check()
        page.get_by_role("heading", name="Preview").wait_for(state="detached")
        page.get_by_role("button", name="Preview").click()
        page.get_by_role("button", name="Import 2 users").click()
        page.get_by_text("2 changed, 0 left out. 1 session goes on as it is.").wait_for()

    def test_aFileWithBadLines(self, site: Site, visit: Visit) -> None:
        """
        Each bad line is named with its reason, and nobody is imported unless they are skipped.
        """
        page = visit("ada", "import")
        preview(page, BAD)
        for name, why in (
            (MARKUP, "'fast' as an address"),
            ("alice", "there is a user alice already"),
            (ARABIC, "words, at least client, server and secret are needed"),
        ):
            text = row(page, OUTCOMES, name).inner_text()
            assert "left out" in text and why in text
        assert row(page, OUTCOMES, "frank").inner_text().split() == ["1", "frank", "added"]
        page.get_by_text("No user is imported unless Skip errors is chosen.").wait_for()
        assert page.get_by_role("button", name="Import 1 user").count() == 0
        page.get_by_label("Skip errors").check()
        page.get_by_role("heading", name="Preview").wait_for(state="detached")
        page.get_by_role("button", name="Preview").click()
        page.get_by_role("button", name="Import 1 user").click()
        page.get_by_role("heading", name="Imported").wait_for()
        assert "frank" in users(site)
        site.client().dial(ALICE)

    def test_aFileThatIsTooLarge(self, visit: Visit) -> None:
        page = visit("ada", "import")
        page.get_by_label("File").set_input_files(file("#" * 750_001))
        page.get_by_role("button", name="Preview").click()
        page.get_by_role("alert").filter(has_text="750,001 octets, more than 750,000").wait_for()
        page.get_by_label("File").set_input_files(file("#" * 750_000))
        page.get_by_role("button", name="Preview").click()
        page.get_by_text("0 users would be added, 0 changed, 0 left out.").wait_for()

    def test_aViewerMayNot(self, site: Site, visit: Visit) -> None:
        """
        A viewer finds no way to the page, and a page that is tampered with is refused.
        """
        page = visit("vic", "users")
        row(page, "Users", "alice").wait_for()
        assert page.get_by_role("link", name="Import").count() == 0
        page.goto("http://127.0.0.1:8723/#/import")
        heading(page, "There is no such page")
        believing(page, site, "viewer")
        page.get_by_label("File").set_input_files(file(GOOD))
        page.get_by_role("button", name="Preview").click()
        page.get_by_role("alert").filter(has_text="vic is a viewer, and this needs").wait_for()
        assert "dave" not in users(site)

    def test_byTheKeyboard(self, site: Site, visit: Visit) -> None:
        page = visit("ada", "import")
        heading(page, "Import users")
        with page.expect_file_chooser() as chooser:
            page.get_by_label("File").press("Enter")
        chooser.value.set_files(file(GOOD))
        tabTo(page, "Preview")
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Preview").wait_for()
        tabTo(page, "Import 2 users")
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Imported").wait_for()
        assert {"dave", "erin"} < users(site)


def status(page: Page, token: str) -> int:
    """
    Return the status of an answer to a program that has a token.
    """
    found: int = page.evaluate(
        "async (token) => (await fetch('/api/v1/me', { credentials: 'omit', headers: "
        "{ Authorization: `Bearer ${token}` } })).status",
        token,
    )
    return found


class TestOperators:
    def test_anOperatorFromTheFirstDayToTheLast(self, site: Site, visit: Visit) -> None:
        page = visit("ada", "operators")
        page.get_by_role("button", name="Add an operator").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Name").fill("evelyn")
        dialog.get_by_label("Role").select_option("viewer")
        dialog.get_by_label("Password").fill(PASSWORD)
        dialog.get_by_role("button", name="Add").click()
        dialog.wait_for(state="detached")
        evelyn = row(page, "Operators", "evelyn")
        evelyn.get_by_text("viewer").wait_for()
        evelyn.get_by_role("button", name="Change").click()
        dialog.get_by_label("Role").select_option("operator")
        dialog.get_by_role("button", name="Change").click()
        evelyn.get_by_text("operator", exact=True).wait_for()
        page.get_by_role("link", name="evelyn").click()
        heading(page, "Tokens of evelyn")
        page.get_by_role("button", name="Add a token").click()
        dialog.get_by_label("Name").fill("backup")
        dialog.get_by_role("button", name="Add").click()
        text = dialog.get_by_label("It isn't shown again.")
        token = text.input_value()
        assert text.evaluate("one => document.activeElement === one")
        dialog.get_by_role("button", name="Close").click()
        assert page.evaluate("document.activeElement.textContent") == "Add a token"
        assert status(page, token) == 200
        page.reload()
        row(page, "Tokens", "backup").wait_for()
        assert token not in page.content()
        page.get_by_role("link", name="All operators").click()
        evelyn.get_by_role("button", name="Disable").click()
        page.get_by_text("evelyn is disabled.").wait_for()
        assert status(page, token) == 401
        evelyn.get_by_role("button", name="Enable").click()
        evelyn.get_by_role("button", name="Disable").wait_for()
        assert status(page, token) == 200
        page.get_by_role("link", name="evelyn").click()
        row(page, "Tokens", "backup").get_by_role("button", name="Remove").click()
        dialog.get_by_role("button", name="Remove").click()
        page.get_by_text("The operator has no token").wait_for()
        assert status(page, token) == 401
        page.get_by_role("link", name="All operators").click()
        evelyn.get_by_role("button", name="Remove").click()
        dialog.get_by_role("button", name="Remove").click()
        evelyn.wait_for(state="detached")
        assert "evelyn" not in str(site.ask("GET", "/operators"))

    def test_onlyAdminsSeeThem(self, site: Site, visit: Visit) -> None:
        page = visit("olga", "operators")
        heading(page, "There is no such page")
        assert page.locator("#to-operators").count() == 0
        believing(page, site, "operator")
        page.get_by_text("olga is a operator, and this needs the role admin").wait_for()
