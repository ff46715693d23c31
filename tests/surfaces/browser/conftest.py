"""A real Chromium against a real server. One browser per file, one house and one clean profile per test."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright

from runwright.model.principals import Grant, Role
from support.house import PASSWORD, House, grant, open_house, served
from surfaces.conftest import History
from surfaces.seed import Seeded

ANSWERED = "Failed to load resource: the server responded with a status of 4"
"""Chromium's note on a page with an error status; nothing went wrong in the page."""


@dataclass
class Site:
    """A house that browsers visit."""

    house: House
    url: str
    seeded: Seeded
    browser: Browser
    complaints: list[str] = field(default_factory=list)
    """Errors and warnings on any page's console: refused by the policy, broken scripts, missing files."""

    @asynccontextmanager
    async def visitor(self, **options: object) -> AsyncIterator[Page]:
        """A browser of one's own: its cookies, its console under watch."""
        context = await self.browser.new_context(base_url=self.url, **options)
        context.set_default_timeout(15_000)
        page = await context.new_page()
        page.on("console", self._listen)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        try:
            yield page
        finally:
            await context.close()

    @asynccontextmanager
    async def person(self, name: str, *grants: Grant, **options: object) -> AsyncIterator[Page]:
        """Someone who has logged in on the page, as an admin if no grant is given."""
        await self.house.add_person(name, *(grants or (grant(Role.ADMIN),)))
        async with self.visitor(**options) as page:
            await log_in(page, name)
            yield page

    def _listen(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(ANSWERED):
            self.complaints.append(message.text)


async def log_in(page: Page, name: str, password: str = PASSWORD) -> None:
    """Through the form."""
    await page.goto("/login")
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Log in").click()
    await page.wait_for_load_state()


async def cookies_of(context: BrowserContext) -> list[dict[str, object]]:
    return [dict(cookie) for cookie in await context.cookies()]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            # Tests run as root too, where Chromium has no sandbox; its pages come from this test alone.
            args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
        )
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def site(chromium: Browser, history: History, tmp_path: Path) -> AsyncIterator[Site]:
    """A house with history, served; no page of it may complain on its console."""
    async with open_house(history.copy(tmp_path / "data")) as house, served(house) as url:
        found = Site(house, url, history.seeded, chromium)
        yield found
    assert found.complaints == []


@pytest.fixture
def review_path(history: History) -> str:
    return f"/review/{history.seeded.candidate}"
