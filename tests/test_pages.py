"""The console and the chat page, as they are served: strict, cached, and nothing else with them."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from importlib import resources

import pytest

from tests.web_stage import BASE, Web

PAGES = [("/desk/", "rasa_handoff.desk", "console.html"), ("/chat/", "rasa_handoff.web", "chat.html")]


class Links(HTMLParser):
    """What a page asks for, and what it must not have in itself."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.inline: list[str] = []
        self._in_script = False
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        known = dict(attributes)
        self._in_script = tag == "script"
        self.inline += [f"<{tag} {name}>" for name in known if name == "style" or name.startswith("on")]
        self.inline += ["<style>"] if tag == "style" else []
        if tag == "script":
            self.asked.append(known.get("src") or "")
        if tag == "link":
            self.asked.append(known.get("href") or "")

    def handle_data(self, data: str) -> None:
        if self._in_script and data.strip():
            self.inline.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False


@pytest.mark.parametrize(("path", "package", "index"), PAGES)
class TestPage:
    async def test_is_served_with_a_strict_policy(self, web: Web, path: str, package: str, index: str) -> None:
        answer = await (await web.stranger()).get(path)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert answer.body == (resources.files(package) / "pages" / index).read_bytes()
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
        assert (policy["default-src"], policy["script-src"], policy["style-src"]) == ("'none'", "'self'", "'self'")
        assert (policy["frame-ancestors"], policy["base-uri"]) == ("'none'", "'none'")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"

    async def test_has_nothing_inline_and_all_it_asks_for(self, web: Web, path: str, package: str, index: str) -> None:
        stranger = await web.stranger()
        links = Links((await stranger.get(path)).body.decode())
        assert links.inline == []
        assert links.asked
        for name in links.asked:
            answer = await stranger.get(path + name)
            assert answer.status == 200, name
            for module in re.findall(r'^\s*(?:import|export)\b[^;]*?"\./([^"]+)"', answer.body.decode(), re.MULTILINE):
                assert (await stranger.get(path + module)).status == 200, module

    async def test_every_file_has_a_type(self, web: Web, path: str, package: str, index: str) -> None:
        stranger = await web.stranger()
        for file in (resources.files(package) / "pages").iterdir():
            if file.is_file():
                answer = await stranger.get(path + file.name)
                assert answer.status == 200, file.name
                assert answer.headers["Content-Type"] != "application/octet-stream", file.name

    async def test_what_a_browser_has_is_not_sent_again(self, web: Web, path: str, package: str, index: str) -> None:
        stranger = await web.stranger()
        etag = (await stranger.get(path)).headers["ETag"]
        answer = await stranger.get(path, headers={"If-None-Match": etag})
        assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", etag)
        assert (await stranger.get(path, headers={"If-None-Match": '"other"'})).status == 200

    async def test_without_the_slash_leads_there(self, web: Web, path: str, package: str, index: str) -> None:
        """Its files are named relative to it."""
        answer = await (await web.stranger()).get(path.rstrip("/"))
        assert (answer.status, answer.headers["Location"]) == (302, BASE + path)

    @pytest.mark.parametrize(
        "name", ["nothing.js", "..", "../api.py", "%2e%2e%2fapi.py", "..%2fapi.py", "%2fetc%2fpasswd", "pages", "%00"]
    )
    async def test_nothing_else_is(self, web: Web, path: str, package: str, index: str, name: str) -> None:
        answer = await web.raw(f"GET {BASE}{path}{name} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 404"), answer
        assert b"import" not in answer


async def test_without_the_setting_there_is_no_chat_page(tmp_path_factory: pytest.TempPathFactory) -> None:
    from tests.web_stage import open_web

    folder = tmp_path_factory.mktemp("no-chat-page")
    async with open_web(f"sqlite:///{folder}/handoff.db", folder, chat_page=False) as web:
        assert (await (await web.stranger()).get("/chat/")).status == 404
