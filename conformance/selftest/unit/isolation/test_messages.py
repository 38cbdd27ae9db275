"""Every field of everything that travels arrives as it was sent, whatever its value."""

import io
import math
from dataclasses import fields

import numpy as np
import pytest

from conformance.harness.isolation import messages
from conformance.harness.isolation.messages import Reader, Writer

ARRAY = np.array([[1.5, -0.0, np.nan, np.inf]])


def arrived(value):
    """What comes out of a message with this value."""
    stream, writer = io.BytesIO(), Writer()
    data = writer.encoded(value)
    writer.write(stream, {"value": data})
    stream.seek(0)
    reader = Reader(stream)
    return reader.decoded(reader.header["value"])


@pytest.mark.parametrize("kind", messages._CLASSES.values(), ids=messages._CLASSES)
def test_every_field_of_a_message_arrives(kind):
    sent = object.__new__(kind)
    for number, field in enumerate(fields(kind)):
        object.__setattr__(sent, field.name, f"{field.name}, the {number}th")
    got = arrived(sent)
    assert type(got) is kind
    assert {f.name: getattr(got, f.name) for f in fields(kind)} == vars(sent)


@pytest.mark.parametrize("kind", messages._CLASSES.values(), ids=messages._CLASSES)
@pytest.mark.parametrize("change", ["one too few", "one too many"])
def test_message_with_other_fields_is_refused(kind, change):
    stream, writer = io.BytesIO(), Writer()
    given = {field.name: None for field in fields(kind)}
    given = given | {"more": None} if change == "one too many" else dict(list(given.items())[:-1])
    writer.write(stream, {})
    stream.seek(0)
    with pytest.raises(ValueError, match=f"other fields than {kind.__name__}"):
        Reader(stream).decoded({kind.__name__: given})


@pytest.mark.parametrize(
    "value", [None, True, 3, -1.5, math.inf, "a\nb", (), (1, (2.5, "x")), [1, []], {"a": (None,)}, slice(1, None, 2)]
)
def test_plain_value_arrives_with_its_type(value):
    got = arrived(value)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "uint8", "bool"])
def test_array_arrives_bit_for_bit_in_its_dtype_and_shape(dtype):
    with np.errstate(invalid="ignore"):
        values = ARRAY.astype(dtype)
    whole, transposed, part, empty = arrived((values, values.T, values[:, :1], values[:0]))
    for got, wanted in ((whole, values), (transposed, values.T), (part, values[:, :1]), (empty, values[:0])):
        assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
        assert got.tobytes() == wanted.tobytes()


def test_object_that_the_reader_has_too_arrives_as_the_same():
    kept, stream = object(), io.BytesIO()
    writer = Writer((kept,))
    writer.write(stream, {"value": writer.encoded((kept, 1))})
    stream.seek(0)
    reader = Reader(stream)
    assert reader.decoded(reader.header["value"], (kept,)) == (kept, 1)


@pytest.mark.parametrize("value", [object(), {1, 2}, 1j, np.array(["text"])])
def test_anything_else_does_not_travel(value):
    with pytest.raises((TypeError, ValueError), match="travel"):
        arrived(value)
