"""What the book of the bot's chats keeps, and for how long."""

from __future__ import annotations

from pathlib import Path

from rasa_handoff.liveperson_agent.book import Book, Kept

WORDS = "your order 4711 is on its way"


def bytes_of(folder: Path) -> bytes:
    """All that is in the book's files, its log too."""
    return b"".join(path.read_bytes() for path in folder.glob("positions.db*"))


async def test_nothing_of_a_chat_that_is_over_is_left_on_the_disk(tmp_path: Path) -> None:
    """Neither its name nor what the bot said in it, while the server runs on."""
    book = Book(tmp_path / "positions.db")
    book.open()
    for chat in ("chat-of-ann", "chat-of-bob"):
        await book.keep(chat, Kept(position=7, met=True))
        await book.wrote(chat, {"text": f"{WORDS} {chat}" * 100})
    await book.sent(1)
    assert WORDS.encode() in bytes_of(tmp_path)
    await book.forget("chat-of-ann")
    left = bytes_of(tmp_path)
    assert b"chat-of-ann" not in left
    assert b"chat-of-bob" in left
    assert (await book.known("chat-of-bob")) == Kept(position=7, met=True)
    await book.close()
