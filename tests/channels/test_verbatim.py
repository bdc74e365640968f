"""What a person typed, for services that look for markup in every text."""

from __future__ import annotations

import pytest

from rasa_handoff.channels import verbatim
from rasa_handoff.channels.verbatim import JOINER


@pytest.mark.parametrize(
    ("typed", "markdown"),
    [
        ("*really* 5 * 3", r"\*really\* 5 \* 3"),
        ("_so_ snake_case __init__", r"\_so\_ snake_case \_\_init\_\_"),
        ("~~no~~ `ls` a|b", r"\~\~no\~\~ \`ls\` a\|b"),
        ("[here](x) \\* c:\\dir", r"\[here](x) \\\* c:\dir"),
        ("# one\n> two\n- three\n+ four", "\\# one\n\\> two\n\\- three\n\\+ four"),
        ("1. one\n  22) two\n3.5 kg", "1\\. one\n  22\\) two\n3\\.5 kg"),
        ("Offer\n---\n===\n    indented", f"Offer\n\\---\n{JOINER}===\n{JOINER}    indented"),
        ("Well-known: #1, a > b.", "Well-known: #1, a > b."),
    ],
)
def test_markup_is_escaped_and_all_else_is_as_it_was(typed: str, markdown: str) -> None:
    assert verbatim.in_markdown(typed) == markdown


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        ("see https://a.test/_x_/*y*?b=_c_&d=[1], please", "https://a.test/_x_/*y*?b=_c_&d=[1"),
        ("*https://a.test/x*", "https://a.test/x"),
        ("(https://a.test/x_(y))", "https://a.test/x_(y)"),
        ("Look: HTTP://a.test.", "HTTP://a.test"),
    ],
)
def test_an_address_stays_as_it_is(typed: str, address: str) -> None:
    assert [each for is_address, each in verbatim.runs(typed) if is_address] == [address]
    assert address in verbatim.in_markdown(typed)


@pytest.mark.parametrize("name", ["all", "Channel", "HERE"])
@pytest.mark.parametrize("behind", ["", "!", "_", "-hands", " now"])
def test_nobody_is_called(name: str, behind: str) -> None:
    assert verbatim.quiet(f"hi @{name}{behind}") == f"hi @{JOINER}{name}{behind}"


@pytest.mark.parametrize("typed", ["@ann", "@allan", "@channel5", "all here"])
def test_other_names_are_as_they_were(typed: str) -> None:
    assert verbatim.quiet(typed) == typed
