"""JSON from strangers: read, or refused in words that do not repeat it."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasa_handoff import strict_json
from rasa_handoff.errors import Malformed

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abcé😀", max_size=4), inner),
    max_leaves=30,
)


@given(values, st.booleans())
def test_what_is_well_formed_is_read(value: Any, ascii_only: bool) -> None:
    assert strict_json.loads(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with suppress(Malformed):
        json.dumps(strict_json.loads(body), allow_nan=False, ensure_ascii=False).encode()


def nested(levels: int, opening: str = "[", closing: str = "]") -> bytes:
    return (opening * levels + closing * levels).encode()


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"{} {}", "is not JSON"),
        (b"\xef\xbb\xbf{}", "is not JSON"),
        ('{"a": "x"}'.encode("utf-16"), "is not UTF-8"),
        (b'"\xff"', "is not UTF-8"),
        (b'"\xed\xa0\x80"', "is not UTF-8"),
        (b'"a\0b"', "is not JSON"),
        (b'{"a": 1, "a": 2}', "same key twice"),
        (b'[{"b": {"a": 1, "\\u0061": 2}}]', "same key twice"),
        (b"NaN", "NaN or Infinity"),
        (b"[Infinity]", "NaN or Infinity"),
        (b'{"a": -Infinity}', "NaN or Infinity"),
        (b"1e999", "too large"),
        (b"[-1E+0400]", "too large"),
        (b'{"a":1' + b"0" * 400 + b".5}", "too large"),
        (b"1" * 5000, "beyond 64 bits"),
        (b"9223372036854775809", "beyond 64 bits"),
        (b'{"a":[-9223372036854775809]}', "beyond 64 bits"),
        (b'"\\ud800"', "half a surrogate pair"),
        (b'{"\\uDFFF": 1}', "half a surrogate pair"),
        (b'["\\ude00\\ud83d"]', "half a surrogate pair"),
        (b'"a\\u0000b"', "NUL"),
        (nested(65), "more than 64 levels"),
        (nested(65, '{"a":', "}").replace(b":}", b":1}"), "more than 64 levels"),
        (nested(100_000), "more than 64 levels"),
        (b"[" * 200_000, "more than 64 levels"),
    ],
)
def test_what_is_not_well_formed_is_refused(body: bytes, fault: str) -> None:
    with pytest.raises(Malformed) as caught:
        strict_json.loads(body)
    assert fault in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        nested(64),
        b"[" + b"[]," * 500 + b"[]]",
        b"9223372036854775808",
        b"1e300",
        b'"\\ud83d\\ude00"',
        b'"\\\\u0000 and \\\\ud800 as text"',
        b'"018e123e-4e12-7e99-9e10-1e999e999e99"',
    ],
)
def test_what_only_looks_suspicious_is_read(body: bytes) -> None:
    assert strict_json.loads(body) == json.loads(body)


def test_a_refusal_never_repeats_what_was_sent() -> None:
    for body in (b'{"s3cret": 1, "s3cret": 2}', b'{"a": s3cret}', b'["s3cret\\u0000"]'):
        with pytest.raises(Malformed) as caught:
            strict_json.loads(body)
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("body", [b"[]", b"1", b"null", b'"a"'])
def test_a_body_that_must_be_an_object_is_one(body: bytes) -> None:
    assert strict_json.loads_object(b'{"a": 1}') == {"a": 1}
    with pytest.raises(Malformed, match="must be a JSON object"):
        strict_json.loads_object(body)


class TestReaders:
    PAYLOAD: ClassVar[dict[str, Any]] = {
        "t": "hi",
        "blank": " ",
        "b": False,
        "n": 1.5,
        "m": {"a": 1},
        "l": [1, 2],
        "none": None,
    }

    def test_a_field_of_the_right_type_is_given(self) -> None:
        p = self.PAYLOAD
        assert strict_json.text(p, "t", max_length=2) == "hi"
        assert strict_json.boolean(p, "b") is False
        assert strict_json.number(p, "n") == 1.5
        assert strict_json.mapping(p, "m") == {"a": 1}
        assert strict_json.sequence(p, "l", max_length=2) == [1, 2]

    @pytest.mark.parametrize("name", ["none", "absent"])
    def test_what_is_not_required_may_be_absent_or_null(self, name: str) -> None:
        p = self.PAYLOAD
        assert strict_json.text(p, name, max_length=1, required=False) is None
        assert strict_json.boolean(p, name, required=False) is None
        assert strict_json.number(p, name, required=False) is None
        assert strict_json.mapping(p, name, required=False) is None
        assert strict_json.sequence(p, name, max_length=1, required=False) is None

    @pytest.mark.parametrize("name", ["none", "absent"])
    def test_what_is_required_must_be_there(self, name: str) -> None:
        with pytest.raises(Malformed, match=f"{name} is missing"):
            strict_json.mapping(self.PAYLOAD, name)

    def test_a_required_text_must_say_something(self) -> None:
        with pytest.raises(Malformed, match="blank must not be empty"):
            strict_json.text(self.PAYLOAD, "blank", max_length=9)
        assert strict_json.text(self.PAYLOAD, "blank", max_length=9, required=False) == " "

    def test_what_is_too_long_is_refused(self) -> None:
        with pytest.raises(Malformed, match="t must not be longer than 1 characters"):
            strict_json.text(self.PAYLOAD, "t", max_length=1)
        with pytest.raises(Malformed, match="l must not have more than 1 entries"):
            strict_json.sequence(self.PAYLOAD, "l", max_length=1)

    @pytest.mark.parametrize("value", ["s3cret", ["s3cret"], {"s3cret": 1}, True, 5])
    def test_another_type_is_refused_by_the_name_of_the_field(self, value: Any) -> None:
        readers: dict[type, Any] = {
            str: lambda p: strict_json.text(p, "field", max_length=99),
            bool: lambda p: strict_json.boolean(p, "field"),
            int: lambda p: strict_json.number(p, "field"),
            dict: lambda p: strict_json.mapping(p, "field"),
            list: lambda p: strict_json.sequence(p, "field", max_length=9),
        }
        for wanted, reader in readers.items():
            if wanted is type(value):
                assert reader({"field": value}) == value
                continue
            with pytest.raises(Malformed, match="field must be") as caught:
                reader({"field": value})
            assert "s3cret" not in str(caught.value)
