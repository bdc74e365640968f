"""Makes the README's pictures from the real pages: ``.venv/bin/python scripts/screenshots.py``."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests import pages  # noqa: E402
from tests.servers import Bot, running  # noqa: E402

IMAGES = ROOT / "docs" / "images"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, running(Bot(Path(folder))) as bot, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        agent = browser.new_page(viewport={"width": 1280, "height": 800}, device_scale_factor=1.5)
        agent.goto(f"{bot.url}/webhooks/handoff/desk/")
        pages.sign_in(agent, bot.access["agents"][0]["token"])
        pages.be(agent, "online")
        others = [browser.new_context().new_page() for _ in range(2)]
        user = browser.new_page(viewport={"width": 760, "height": 800}, device_scale_factor=1.5)
        for number, page in enumerate([user, *others]):
            page.goto(f"{bot.url}/webhooks/handoff/chat/")
            pages.user_says(page, ["hello", "how much is a service?", "how long does a repair take?"][number])
            page.wait_for_timeout(800)
            pages.user_says(page, "I want to talk to an agent")
            pages.expect_talking_to(page, "In the queue")
        pages.accept_first(agent)
        pages.reply(agent, "Hello, this is Agent 1. What can I do for your bike?")
        pages.expect_line(user, "Hello, this is Agent 1. What can I do for your bike?")
        pages.user_says(user, "The gears slip since yesterday 🚲")
        pages.expect_line(agent, "The gears slip since yesterday 🚲")
        pages.reply(agent, "Bring it in today, I keep a place for you until six.")
        pages.expect_delivered(agent, "Bring it in today, I keep a place for you until six.")
        agent.wait_for_timeout(1000)
        agent.screenshot(path=IMAGES / "console.png")
        user.screenshot(path=IMAGES / "chat.png")
        browser.close()


if __name__ == "__main__":
    main()
