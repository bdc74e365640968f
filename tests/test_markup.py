"""HTML becomes the text that a person would see of it."""

from __future__ import annotations

import pytest

from rasa_handoff.backends.markup import text_of


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("plain", "plain"),
        ("", ""),
        ("Hi <b>Ann</b>,<br/>see you", "Hi Ann,\nsee you"),
        ("fish &amp; chips &#128690; &lt;b&gt;", "fish & chips 🚲 <b>"),
        ("1 < 2 & 3 > 2", "1 < 2 & 3 > 2"),
        ("<p>one</p><p>two</p>", "one\ntwo"),
        ("<p>one</p>\n<p>two</p>", "one\ntwo"),
        ("<div>a<div>b</div></div>c", "a\nb\nc"),
        ("  a \n  b  ", "a b"),
        ("a<br><br><br><br>b", "a\n\nb"),
        ("<ul><li>x</li><li>y</li></ul>z", "- x\n- y\nz"),
        ("<table><tr><td>a</td></tr><tr><td>b</td></tr></table>", "a\nb"),
        ("<script>evil()</script>ok<style>p {}</style>", "ok"),
        ("<style>never closed", ""),
        ("a <b never closed", "a <b never closed"),
        ("</p></div>odd</a>", "odd"),
    ],
)
def test_what_a_person_sees_stays(html: str, text: str) -> None:
    assert text_of(html) == text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ('see <a href="https://x.org/a?b=1&amp;c=2">here</a>!', "see here (https://x.org/a?b=1&c=2)!"),
        ('<a href="https://x.org">https://x.org</a>', "https://x.org"),
        ('<a href="https://x.org/a">x.org/a</a>', "x.org/a"),
        ('<a href="mailto:a@x.org">a@x.org</a>', "a@x.org"),
        ('<a href="https://x.org"></a>', "https://x.org"),
        ('<a href="https://x.org">never closed', "never closed (https://x.org)"),
        ('<a href="javascript:alert(1)">click</a>', "click"),
        ("<a>nowhere</a>", "nowhere"),
        ('<img src="https://x.org/b.png" alt="a bike">', "a bike https://x.org/b.png"),
        ('<img src="data:image/png;base64,AAAA">', ""),
    ],
)
def test_a_link_stands_behind_its_words_when_a_person_can_use_it(html: str, text: str) -> None:
    assert text_of(html) == text
