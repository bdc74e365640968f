"""docs/channels.md says what the code does."""

from __future__ import annotations

from rasa.core.channels import BUILTIN_CHANNELS

from scripts import channels_page


def test_the_page_is_as_the_code_is() -> None:
    """If not: make docs."""
    assert channels_page.PAGE.read_text("utf-8") == channels_page.page()


def test_every_channel_of_rasas_is_on_it() -> None:
    told = channels_page.page()
    assert all(f"| **{name}** |" in told for name in BUILTIN_CHANNELS if name != "cmdline")
