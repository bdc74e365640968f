"""Files of agents, on a server that a channel may get them from."""

from __future__ import annotations

from collections.abc import AsyncIterator

from rasa_handoff.channels.agent_files import AgentFiles
from rasa_handoff.model import Attachment, Handoff, new_id
from rasa_handoff.store.files import KeptFile
from tests.channels.line import Line
from tests.internet import Internet

HOST = "files.example"
BILL = Attachment(url=f"https://{HOST}/bill.pdf", name="bill.pdf", mime="application/pdf")
SONG = Attachment(url=f"https://{HOST}/song.mp3", kind="audio", name="song.mp3")
FILM = Attachment(url=f"https://{HOST}/film.mp4", kind="video", name="film.mp4")
CONTENT = b"%PDF-1.7 a bill"


async def kept(line: Line, handoff: Handoff, content: bytes = CONTENT) -> Attachment:
    """A file that an agent of ours has given: nobody can get it from the address in its link."""
    file = KeptFile(
        id=new_id(), handoff_id=handoff.id, who="agent", kind="file", name="bill.pdf", mime="application/pdf"
    )

    async def body() -> AsyncIterator[bytes]:
        yield content

    await line.runtime.files.receive(file, body(), lambda tx: None)
    (attachment,) = await line.runtime.store.write(
        lambda tx: line.runtime.files.attachments(tx, [file.id], handoff.id, handoff.channel)
    )
    return attachment


def serve(internet: Internet, files: AgentFiles, content: bytes = CONTENT, mime: str = "application/pdf") -> None:
    """The server, which the guard lets through although it is on this machine."""
    internet.respond("GET", "/bill.pdf", lambda asked: (200, content, {"Content-Type": mime}))
    internet.respond("GET", "/song.mp3", lambda asked: (200, content, {"Content-Type": "audio/mpeg"}))
    internet.respond("GET", "/film.mp4", lambda asked: (200, content, {"Content-Type": "video/mp4"}))
    files._porter._fetcher._trusted = frozenset({f"{HOST}:443"})
