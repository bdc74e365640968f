"""A Chromium for the tests, and the patience that its pages need on a slow machine."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright import async_api, sync_api

from tests.web_stage import Web, token_of

PATIENCE = (
    60_000.0  #: milliseconds that a page has for what a test expects, on a machine that stands still now and then
)

async_api.expect.set_options(timeout=PATIENCE)
sync_api.expect.set_options(timeout=PATIENCE)


def chromium() -> str:
    """Where the browser is."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert path, "the browser tests need Chromium: apt-get install chromium"
    return path


@asynccontextmanager
async def running_browser() -> AsyncIterator[async_api.Browser]:
    """A browser of a test's own."""
    async with async_api.async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        yield browser
        await browser.close()


async def console(web: Web, browser: async_api.Browser | async_api.BrowserContext, name: str = "Bo") -> async_api.Page:
    """The console, with an agent who is signed in there."""
    page = await browser.new_page()
    await page.goto(f"{web.url}/desk/")
    await page.get_by_label("Token", exact=True).fill(token_of(name))
    await page.get_by_role("button", name="Sign in").click()
    await async_api.expect(page.get_by_role("heading", name="Waiting")).to_be_visible()
    return page
