"""Files of agents, on a server that a channel may get them from."""

from __future__ import annotations

from rasa_handoff.channels.agent_files import AgentFiles
from rasa_handoff.model import Attachment
from tests.internet import Internet

HOST = "files.example"
BILL = Attachment(url=f"https://{HOST}/bill.pdf", name="bill.pdf", mime="application/pdf")
SONG = Attachment(url=f"https://{HOST}/song.mp3", kind="audio", name="song.mp3")
FILM = Attachment(url=f"https://{HOST}/film.mp4", kind="video", name="film.mp4")
CONTENT = b"%PDF-1.7 a bill"


def serve(internet: Internet, files: AgentFiles, content: bytes = CONTENT, mime: str = "application/pdf") -> None:
    """The server, which the guard lets through although it is on this machine."""
    internet.respond("GET", "/bill.pdf", lambda asked: (200, content, {"Content-Type": mime}))
    internet.respond("GET", "/song.mp3", lambda asked: (200, content, {"Content-Type": "audio/mpeg"}))
    internet.respond("GET", "/film.mp4", lambda asked: (200, content, {"Content-Type": "video/mp4"}))
    files._fetcher._trusted = frozenset({f"{HOST}:443"})
