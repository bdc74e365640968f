"""A Chromium for the tests, and the patience that its pages need on a slow machine."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright import async_api, sync_api

PATIENCE = 20_000.0  #: milliseconds that a page has for what a test expects

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
