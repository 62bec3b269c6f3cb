"""Strict reading of JSON: what is read, and the field errors."""

import json
import sys
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.core import strict_json
from shared.core.strict_json import MAX_DEPTH, MOST_FIELD_ERRORS, FieldError, Json, NotJson, pointer

SURROGATES = st.characters(categories=["Cs"])
TEXTS = st.text(st.one_of(st.characters(), SURROGATES))
NUMBERS = st.one_of(st.integers(-(2**70), 2**70), st.floats())
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(TEXTS, inner)),
)


def pointers(text: str | bytes) -> list[str]:
    """Give the pointers of a text's field errors."""
    data = text.encode() if isinstance(text, str) else text
    return [field_error.pointer for field_error in strict_json.read(data).field_errors]


@given(st.binary())
def test_arbitrary_bytes_are_read_or_are_not_json(data: bytes) -> None:
    """No other exception is raised."""
    try:
        strict_json.read(data)
    except NotJson:
        return


LONG = "9" * 5000
PIECES = st.sampled_from(
    [
        *(
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            '"',
            "\\",
            "-",
            ".",
            "e",
            "1",
            '"b"',
            '"b":',
            "null",
            "NaN",
        ),
        *(
            LONG,
            f"-{LONG}",
            f"{LONG}.0",
            f"{LONG},",
            f'"n":{LONG}',
            "[" * 200_000,
            '{"b":' * 200_000,
        ),
    ]
)


@given(st.lists(PIECES, max_size=8), st.booleans())
@example(['{"kind":"booked",', f'"n":{LONG}', ","], False)
@example(['{"kind":"booked",', f'"n":{LONG}', ",", "[" * 200_000], False)
@example(["[", LONG, ",", "[" * 200_000], True)
def test_no_text_raises_anything_but_not_json(pieces: list[str], control_characters: bool) -> None:
    """Also where the text is broken behind a number that Python does not read."""
    text = "".join(pieces).encode()

    with suppress(NotJson):
        strict_json.read(text, control_characters=control_characters)
    with suppress(NotJson):
        strict_json.read_parts(text, member="b", control_characters=control_characters)


@given(VALUES)
def test_each_text_that_pythons_parser_reads_is_read_or_has_a_field_error(value: object) -> None:
    """Also with NaN and lone surrogates. The value is the same, or there is an error."""
    text = json.dumps(value)
    document = strict_json.read(text.encode())
    assert document.field_errors or document.value == json.loads(text)


@given(VALUES)
def test_a_value_without_field_errors_can_be_written_again(value: object) -> None:
    """As UTF-8, as strict JSON, and equal."""
    document = strict_json.read(json.dumps(value).encode())
    again = json.dumps(document.value, ensure_ascii=False, allow_nan=False).encode()
    assert strict_json.read(again).value == document.value


@pytest.mark.parametrize(
    "text",
    ["", " ", "{", "{'a':1}", "[1,]", "01", "nul", "{} {}", '"\n"', f'{{"n":{"9" * 5000},'],
)
def test_the_error_for_broken_json_has_a_place_and_quotes_nothing(text: str) -> None:
    """It names line and column. The text may hold a link."""
    with pytest.raises(NotJson, match=r"^The text is not JSON \(line \d+, column \d+\)\.$"):
        strict_json.read(text.encode())


@pytest.mark.parametrize("data", [b"\xff", b'"\xc3("', b'"\xed\xa0\x80"', "{}".encode("utf-16")])
def test_the_error_for_other_encodings_has_a_place(data: bytes) -> None:
    """Also for encoded surrogates."""
    with pytest.raises(NotJson, match=r"^The text is not UTF-8 \(byte \d+\)\.$"):
        strict_json.read(data)


@pytest.mark.parametrize("number", ["1", "9" * 5000])
def test_control_characters_are_read_where_they_are_allowed(number: str) -> None:
    """Also beside a number that Python does not read."""
    document = strict_json.read(f'{{"a":"x\ny","b":{number}}}'.encode(), control_characters=True)
    assert isinstance(document.value, dict)
    assert document.value["a"] == "x\ny"


@pytest.mark.parametrize(
    "text", [b'[{"a":1,"a":2},7]', b'{"b":[{"a":1,"a":2},7]}', b'{"b":[{"a":1,"a":2},7],"b":[]}']
)
def test_what_a_list_holds_is_given_to_be_counted_before_it_is_checked(text: bytes) -> None:
    """The list may be the whole, or the first member of a name; an empty one is left there."""
    whole, parts = strict_json.read_parts(text, member="b")

    assert parts is not None
    first, second = map(strict_json.check, parts)
    assert [error.pointer for error in first.field_errors] == ["/a"]
    assert (second.value, second.field_errors) == (7, ())
    assert whole.value in ([], {"b": []})


@pytest.mark.parametrize("text", [b"7", b'{"a":[]}', b'{"b":7}', b'{"b":7,"b":[1]}', b"[" * 20_000])
def test_where_there_is_no_list_the_whole_is_read_as_ever(text: bytes) -> None:
    """Of a member that is there twice, the first counts."""
    whole, parts = strict_json.read_parts(text, member="b")

    assert parts is None
    assert whole == strict_json.read(text)


def test_a_byte_order_mark_is_dropped() -> None:
    """Windows tools write one."""
    assert strict_json.read(b'\xef\xbb\xbf{"a": 1}').value == {"a": 1}


def test_a_duplicate_member_is_a_field_error_at_each_place() -> None:
    """The first one is kept and checked as well."""
    assert pointers('{"a":1,"a":2,"b":[{"c":1,"c":1}]}') == ["/a", "/b/0/c"]
    assert strict_json.read(b'{"a":1,"a":2}').value == {"a": 1}


@pytest.mark.parametrize(
    "number",
    ["NaN", "Infinity", "-Infinity", "1e999", str(2**53), str(-(2**53)), "1e300", "9" * 5000],
)
def test_a_number_that_cannot_be_returned_unchanged_is_a_field_error(number: str) -> None:
    """Not finite, or more than 53 bits."""
    assert pointers(f'{{"context":[{number}]}}') == ["/context/0"]


@pytest.mark.parametrize("number", [0, -1, 2**53 - 1, -(2**53 - 1), 0.1, -2.5e-7, 5e15])
def test_ordinary_numbers_are_kept(number: float) -> None:
    """Integers up to 53 bits, and floats of that size."""
    document = strict_json.read(json.dumps([number]).encode())
    assert document.field_errors == ()
    assert document.value == [number]


def test_a_lone_surrogate_is_a_field_error_in_texts_and_in_names() -> None:
    """It cannot be written as UTF-8, but a whole pair can."""
    assert pointers(r'{"a":"\ud83d"}') == ["/a"]
    assert pointers(r'{"\udc00":1}') == ["/?"]
    assert strict_json.read(rb'"\ud83d\ude00"').value == "\N{GRINNING FACE}"


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize("innermost", ["[]", "{}", "[1]"])
def test_nesting_is_allowed_up_to_its_limit(opening: str, closing: str, innermost: str) -> None:
    """Arrays and objects count, also empty ones."""
    outer = MAX_DEPTH - 1
    assert pointers(opening * outer + innermost + closing * outer) == []
    faults = strict_json.read(
        (opening * MAX_DEPTH + innermost + closing * MAX_DEPTH).encode()
    ).field_errors
    assert [field_error.detail for field_error in faults] == [f"Nested more than {MAX_DEPTH} deep."]


def test_nesting_too_deep_for_the_parser_is_a_field_error() -> None:
    """There is no RecursionError."""
    document = strict_json.read(b"[" * 60_000 + b"]" * 60_000)
    assert document.value is None
    assert [field_error.detail for field_error in document.field_errors] == [
        f"Nested more than {MAX_DEPTH} deep."
    ]


def test_a_sender_cannot_choose_how_deep_pythons_stack_is() -> None:
    """At some depths each call costs more. Only Python's parser, in C, calls itself."""

    def calls(text: bytes) -> int:
        depth = deepest = 0

        def profile(_frame: object, event: str, _argument: object) -> None:
            nonlocal depth, deepest
            depth += {"call": 1, "return": -1}.get(event, 0)
            deepest = max(deepest, depth)

        sys.setprofile(profile)
        try:
            strict_json.read(text)
        finally:
            sys.setprofile(None)
        return deepest

    flat, nested = b'{"a":[0,"x",{}]}', b'{"a":[' * 30 + b'0,"x",{}' + b"]}" * 30

    assert calls(nested) == calls(flat)


def test_the_number_of_field_errors_is_bounded() -> None:
    """So that the response does not grow with an attack."""
    assert len(pointers("[" + ",".join(["NaN"] * 1000) + "]")) == MOST_FIELD_ERRORS


def test_a_pointer_escapes_names_as_rfc_6901_says() -> None:
    """First the tilde, then the slash."""
    assert pointer("a/b", "m~n", 0) == "/a~1b/m~0n/0"
    assert pointer() == ""


@given(st.lists(TEXTS))
def test_a_pointer_is_short_and_can_be_written(names: list[str]) -> None:
    """For names of any length and content."""
    text = pointer(*names)
    assert len(text) <= 100
    text.encode("utf-8")


def test_equal_values_stay_equal_in_type() -> None:
    """True is not 1, and 1.0 stays a float."""
    value: Json = strict_json.read(b"[true, 1, 1.0, null]").value
    assert isinstance(value, list)
    assert [type(item) for item in value] == [bool, int, float, type(None)]


def test_a_field_error_of_the_whole_is_written_without_a_place() -> None:
    """An empty pointer has no name."""
    assert str(FieldError("/userId", "Missing.")) == "/userId: Missing."
    assert str(FieldError("", "Missing.")) == "Missing."
