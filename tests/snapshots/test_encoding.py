"""Plain data as bytes: what goes in comes out, and other bytes are refused."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vm.snapshots.encoding import DEEPEST, EncodingError, decode, encode

SCALARS = (st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.binary()
           | st.text(st.characters(codec=None)))
KEYS = st.recursive(st.booleans() | st.integers() | st.text() | st.binary(), lambda keys: st.tuples(keys, keys))
PLAIN = st.recursive(SCALARS, lambda values: st.lists(values) | st.lists(values).map(tuple)
                     | st.dictionaries(KEYS, values), max_leaves=30)


def alike(one, other):
    """Equal, and of the same types: 1, 1.0 and True are equal in Python."""
    return repr(one) == repr(other)


@given(PLAIN)
def test_round_trip(value):
    assert alike(decode(encode(value)), value)


@given(st.integers(-(1 << 3000), 1 << 3000))
def test_integers_of_any_size(value):
    assert decode(encode(value)) == value


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.0, 5e-324])
def test_floats_that_are_special(value):
    assert alike(decode(encode(value)), value)


@pytest.mark.parametrize("value, data", [
    (None, b"N"), (0, b"i\0"), (127, b"i\1\x7f"), (128, b"i\2\x80\0"), (-1, b"i\1\xff"), (-128, b"i\1\x80"),
    (1.0, b"d\0\0\0\0\0\0\xf0\x3f"), ("\u00e9", b"s\2\xc3\xa9"), (b"x" * 128, b"b\x80\1" + b"x" * 128),
    ((1, [True]), b"t\2i\1\1l\1T"), ({"a": False}, b"m\1s\1aF"),
])
def test_the_bytes_are_the_same_everywhere(value, data):
    """By hand from docs/snapshot-files.md: files are read by other versions."""
    assert encode(value) == data
    assert alike(decode(data), value)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_value_or_refused(data):
    try:
        value = decode(data)
    except EncodingError:
        return
    assert encode(value) == data            # a value has one encoding


@given(PLAIN.map(encode), st.data())
def test_what_is_cut_off_is_refused(data, choice):
    with pytest.raises(EncodingError):
        decode(data[:choice.draw(st.integers(0, len(data) - 1))])


@pytest.mark.parametrize("data, message", [
    (b"", "1 bytes are to follow"), (b"?", "no kind of value begins with 0x3f"), (b"NN", "1 bytes follow the value"),
    (b"b\xff\xff\xff\xff\x0f", "bytes are to follow, and 0 do"), (b"l\xff\xff\xff\xff\x0f", "values do not fit"),
    (b"m\xff\xff\xff\xff\x0f", "values do not fit"), (b"b" + b"\xff" * 20, "not a length"),
    (b"b\x80\0", "not a length"), (b"i\2\1\0", "more bytes than it needs"), (b"s\1\xff", "not UTF-8"),
    (b"m\1l\0N", "a key that is no key"), (b"m\2NNNN", "a key for the second time"),
    (b"l\1" * 100_000 + b"N", f"more than {DEEPEST} levels"),
])
def test_what_is_no_value(data, message):
    with pytest.raises(EncodingError, match=message):
        decode(data)


class Number(int):
    pass


@pytest.mark.parametrize("value", [object(), {1, 2}, bytearray(b"x"), Number(3), [print], {"a": 1j}])
def test_what_is_not_plain_is_not_written(value):
    with pytest.raises(EncodingError, match="is not plain data"):
        encode(value)


def test_depth_is_bounded():
    value = None
    for _ in range(DEEPEST):
        value = [value]
    assert decode(encode(value)) == value
    with pytest.raises(EncodingError, match="levels"):
        encode([value])
