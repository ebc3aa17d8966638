"""JSON keeps every digit, refuses what is not JSON, and is bounded."""

from decimal import Decimal
from typing import Any

import pytest

from service.errors import InvalidResource, ServiceError, TooLarge
from service.fhir.json import content_hash, decode, encode, repeats_a_name


def read(body: bytes, *, max_bytes: int = 10_000, max_depth: int = 10) -> Any:
    return decode(body, max_bytes=max_bytes, max_depth=max_depth)


@pytest.mark.parametrize(
    "text",
    [b"72.50", b"100.00", b"0.10", b"-0.0", b"12345678901234567890", b"0.12345678901234567890", b"1E+5", b"3"],
)
def test_a_number_keeps_its_digits(text: bytes) -> None:
    assert encode(read(b'{"value":' + text + b"}")) == b'{"value":' + text + b"}"


def test_a_number_with_a_fraction_is_a_decimal_and_one_without_an_int() -> None:
    assert read(b"[1.0,1]") == [Decimal("1.0"), 1]
    assert [type(one) for one in read(b"[1.0,1]")] == [Decimal, int]


@pytest.mark.parametrize(
    "body",
    [b"", b"NaN", b"[Infinity]", b"{", b"{} {}", b"{'a':1}", b'"\\ud800"', b'"\xff"', b"\xff", b"[1,]", b"1" * 5000],
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidResource):
        read(body)


@pytest.mark.parametrize("number", [b"1e309", b"1E999999999", b"-1e99999999999999999999999", b"1e-400"])
def test_a_number_that_would_swallow_the_machine_is_refused(number: bytes) -> None:
    with pytest.raises(InvalidResource, match="beyond the range"):
        read(b"[" + number + b"]")


def test_the_refusal_says_where_and_never_what() -> None:
    with pytest.raises(InvalidResource) as caught:
        read(b'{"name":"Ann Smith",}')
    assert "byte 20" in caught.value.text
    assert "Smith" not in caught.value.text


def test_a_body_that_is_too_long_is_refused_before_it_is_read() -> None:
    with pytest.raises(TooLarge, match="11 bytes; at most 10"):
        read(b"not json at", max_bytes=10)


def test_depth_is_bounded() -> None:
    assert read(b'[{"a":[1]}]', max_depth=3) == [{"a": [1]}]
    with pytest.raises(TooLarge, match="3 levels"):
        read(b'[{"a":[{}]}]', max_depth=3)
    with pytest.raises(TooLarge):
        read(b"[" * 5000 + b"]" * 5000)


def test_the_last_of_two_equal_names_counts() -> None:
    assert read(b'{"a":1,"a":2}') == {"a": 2}


@pytest.mark.parametrize(
    ("body", "repeats"),
    [
        (b'{"a": 1, "b": {"a": 1}, "c": [{"a": 1}, {"a": 1}]}', False),
        (b'{"a": 1, "a": 1}', True),
        (b'[{"b": {"a": 1, "c": 2, "a" \n: 1}}]', True),
        (b'{"a": 1, "\\u0061": 1}', True),
        (b'{"a": "\\":", "b": "\\\\", "c": ":", "d": [",", ":"], "e:": {}}', False),
        (b'{"a": "\\":", "a": ""}', True),
        (b'[{}, [], "a", ":", 1, null]', False),
        (b'"a"', False),
    ],
)
def test_a_name_given_twice_in_one_object_is_told(body: bytes, *, repeats: bool) -> None:
    assert repeats_a_name(body, read(body)) is repeats


def test_a_byte_order_mark_is_ignored() -> None:
    assert read(b"\xef\xbb\xbf{}") == {}


def test_refusals_are_service_errors() -> None:
    assert issubclass(InvalidResource, ServiceError)
    assert issubclass(TooLarge, ServiceError)


def test_equal_content_has_one_hash_whatever_the_order_of_names() -> None:
    assert content_hash(read(b'{"a":1,"b":[{"c":2,"d":3}]}')) == content_hash(read(b'{"b":[{"d":3,"c":2}],"a":1}'))
    assert content_hash({}).startswith("sha256:")


@pytest.mark.parametrize("other", [b'{"a":1.50}', b'{"a":1}', b'{"a":"1.5"}', b'{"a":[1.5]}', b'{"a":1.5,"b":[]}'])
def test_other_content_has_another_hash(other: bytes) -> None:
    assert content_hash(read(b'{"a":1.5}')) != content_hash(read(other))


def test_order_in_a_list_counts() -> None:
    assert content_hash([1, 2]) != content_hash([2, 1])


def test_named_members_are_left_out_at_their_place_only() -> None:
    first = {"timestamp": "now", "entry": [{"resource": {"meta": {"lastUpdated": "now"}, "timestamp": 1}}]}
    second = {"timestamp": "then", "entry": [{"resource": {"meta": {"lastUpdated": "then"}, "timestamp": 1}}]}
    third = {"entry": [{"resource": {"meta": {}, "timestamp": 2}}]}
    without = ("timestamp", "entry.resource.meta.lastUpdated")
    assert content_hash(first, without) == content_hash(second, without)
    assert content_hash(first) != content_hash(second)
    assert content_hash(first, without) != content_hash(third, without)
    assert first["timestamp"] == "now"
