"""Chapter E, clause 4: rows that are padded and packed, against the same done by hand, without any module."""

from dataclasses import replace
from typing import Any

import numpy as np

from conformance.harness.api import (
    FORMATS,
    INTEGERS,
    LENGTHS,
    RNN_TANH,
    UTILITIES,
    assert_array,
    assert_fact,
    assert_nothing,
    attempt_packing,
    batches,
    cases,
    clause,
    observe_packed,
    observe_packing,
    padded_by_hand,
    padding_sides,
    scattered,
)
from conformance.relations import rotated, sorted_by_length

ONE = (RNN_TANH,)
"""Packing knows no cell: one stands for all."""

BARE = {"num_layers": 1, "hidden_size": 1, "bidirectional": False, "bias": True, "hx": True, "dropout": False}
"""What only a module has stays at its default."""

ROWS = cases(packed=True, unbatched=False, **BARE)
SEVERAL_ROWS = cases(packed=True, unbatched=False, batch_size=range(2, 6), **BARE)

PADDING = {
    "int64": (-(2**63), 2**53 - 1, -1, 7.0),
    "int32": (-(2**31), 2**31 - 1, -1, 7.0),
    "uint8": (255, 128, 1, 7.0),
    "bool": (True, False, 1, 0.0),
}
"""Numbers that a dtype has."""

FLOATING_PADDING = (2.5, float("nan"), float("-inf"), 0.0)
"""Numbers that every floating-point dtype has."""


def batch_sizes_by_hand(rows):
    """For each step how many rows (length, *) have it."""
    return np.array([sum(step < len(row) for row in rows) for step in range(max(map(len, rows)))])


def packed_by_hand(rows, order):
    """Step after step of those rows (length, *) that have it, in this order: (sum of lengths, *)."""
    steps = range(max(map(len, rows)))
    return np.stack([rows[n][step] for step in steps for n in order if step < len(rows[n])])


def order_taken(seen, batch):
    """The order in which rows were packed, if it puts none before a longer one; else one that does not.

    Which of two equally long rows comes first is nowhere promised.
    """
    by_length = sorted(range(len(batch.lengths)), key=lambda n: -batch.lengths[n])
    order = seen.raw.get("sorted_indices", np.arange(len(by_length))).tolist()
    sorts = sorted(order) == sorted(by_length) and all(
        batch.lengths[n] == batch.lengths[m] for n, m in zip(order, by_length, strict=True)
    )
    return order if sorts else by_length


def assert_packed(seen, batch):
    """Data and batch_sizes are those of the batch's rows."""
    assert_array(seen, "data", seen.raw.get("data"), packed_by_hand(batch.rows, order_taken(seen, batch)))
    assert_array(seen, "batch_sizes", seen.raw.get("batch_sizes"), batch_sizes_by_hand(batch.rows))


def padding_value(batch, pick):
    """A number that the batch's dtype has."""
    values = PADDING.get(batch.dtype, FLOATING_PADDING)
    return values[pick % len(values)]


def assert_padded(seen, batch, steps, *padding):
    """The padded batch has so many steps, and these rows, value and side."""
    assert_array(seen, "padded", seen.raw.get("padded"), batch.as_called(padded_by_hand(batch.rows, steps, *padding)))


def assert_rows(seen, batch):
    """The result is a list of the batch's rows."""
    assert_fact(seen, seen.utility, "number of rows", len(seen.raw), len(batch.rows))
    for n, row in enumerate(batch.rows):
        assert_array(seen, f"row {n}", seen.raw.get(f"row {n}"), row)


NOT_OF_ROWS = {"batch_sizes", "sorted_indices", "unsorted_indices", "lengths"}
"""Results that hold no numbers of rows."""


def device_type(device):
    """`cuda` for cuda:0."""
    return device.partition(":")[0]


# Packing


@clause("E4", on=ONE, given=ROWS)
def test_packing_cuts_after_the_longest_row_and_keeps_trailing_dimensions(case, cell):
    for batch in batches(case.on(cell), surplus=case.pick % 3):
        for seen in observe_packing(batch, "pack_padded_sequence", enforce_sorted=False):
            assert_packed(seen, batch)


@clause("E4", on=ONE, given=ROWS)
def test_rows_sorted_by_length_are_packed_as_they_come(case, cell):
    for batch in batches(sorted_by_length(case.on(cell))[0]):
        for seen in observe_packing(batch, "pack_padded_sequence", enforce_sorted=True):
            assert_packed(seen, batch)


@clause("E4", on=ONE, given=ROWS)
def test_lengths_may_be_a_list_or_a_tensor_of_int64_or_int32(case, cell):
    for batch in batches(case.on(cell)):
        for lengths in LENGTHS:
            for seen in observe_packing(batch, "pack_padded_sequence", lengths, enforce_sorted=False):
                assert_packed(seen, batch)


@clause("E4", on=ONE, given=ROWS)
def test_batch_sizes_never_grow_and_sum_to_the_lengths(case, cell):
    for batch in batches(case.on(cell)):
        for seen in observe_packing(batch, "pack_padded_sequence", enforce_sorted=False):
            sizes = seen.raw["batch_sizes"]
            assert_array(seen, "batch_sizes", sizes, np.sort(sizes)[::-1])
            assert_array(seen, "sum of batch_sizes", sizes.sum(), np.sum(batch.lengths))


@clause("E4", on=ONE, given=SEVERAL_ROWS)
def test_sorted_indices_sort_the_rows_by_length_and_unsorted_indices_undo_it(case, cell):
    every = np.arange(case.batch_size)
    for batch in batches(case.on(cell)) + batches(longest_row_last(case.on(cell))):
        for seen in observe_packing(batch, "pack_padded_sequence", enforce_sorted=False):
            order, undone = (seen.raw.get(name, every) for name in ("sorted_indices", "unsorted_indices"))
            lengths = taken(batch.lengths, order)
            assert_array(seen, "sorted_indices, sorted", np.sort(order), every)
            assert_array(seen, "lengths in the order of sorted_indices", lengths, -np.sort(-lengths))
            assert_array(seen, "sorted_indices in the order of unsorted_indices", taken(order, undone), every)


def longest_row_last(problem):
    """Rows whose order is not its own inverse, once there are three: the longest last, the others sorted."""
    return rotated(sorted_by_length(problem)[0], 1)


def taken(values, order):
    """The values in an order of indices, which may point outside: to the nearest one, then."""
    return np.take(values, order, mode="clip")


@clause("E4", on=ONE, given=ROWS)
def test_packed_sequence_has_the_documented_dtypes_and_devices(case, cell):
    for batch in batches(case.on(cell)):
        for seen in observe_packing(batch, "pack_padded_sequence", enforce_sorted=False):
            for name, fact in seen.facts.items():
                device = "cpu" if name == "batch_sizes" else device_type(case.device)
                assert_fact(seen, name, "dtype", fact.dtype, batch.dtype if name == "data" else "int64")
                assert_fact(seen, name, "device", device_type(fact.device), device)


@clause("E4", on=ONE, given=ROWS)
def test_pack_sequence_packs_rows_as_if_they_had_been_padded(case, cell):
    for problem, enforce_sorted in ((case.on(cell), False), (sorted_by_length(case.on(cell))[0], True)):
        for batch in batches(problem):
            for seen in observe_packing(batch, "pack_sequence", enforce_sorted=enforce_sorted):
                assert_packed(seen, batch)


# Unpacking


@clause("E4", on=ONE, given=ROWS)
def test_pad_packed_sequence_gives_rows_and_lengths_back_in_their_order(case, cell):
    for batch in batches(case.on(cell)):
        for seen in observe_packing(batch, "pad_packed_sequence"):
            assert_padded(seen, batch, case.steps)
            assert_array(seen, "lengths", seen.raw.get("lengths"), np.array(batch.lengths))


@clause("E4", on=ONE, given=ROWS)
def test_pad_packed_sequence_pads_with_padding_value_to_total_length(case, cell):
    steps = case.steps + case.pick // len(FLOATING_PADDING) % 3
    for batch in batches(case.on(cell)):
        value = padding_value(batch, case.pick)
        for seen in observe_packing(batch, "pad_packed_sequence", padding_value=value, total_length=steps):
            assert_padded(seen, batch, steps, value)
            assert_array(seen, "lengths", seen.raw.get("lengths"), np.array(batch.lengths))


@clause("E4", on=ONE, given=ROWS)
def test_total_length_below_the_longest_row_raises_value_error(case, cell):
    for batch in batches(case.on(cell)):
        seen = attempt_packing(batch, "pad_packed_sequence", total_length=case.steps - 1)
        raised = "nothing" if seen.failure is None else seen.failure.exception
        assert_fact(seen, "pad_packed_sequence", "exception for a short total_length", raised, "ValueError")


# Padding


@clause("E4", on=ONE, given=ROWS)
def test_pad_sequence_pads_with_padding_value_on_padding_side(case, cell):
    for batch in batches(case.on(cell)):
        value = padding_value(batch, case.pick)
        for side in padding_sides():
            for seen in observe_packing(batch, "pad_sequence", padding_value=value, **side):
                assert_padded(seen, batch, case.steps, value, *side.values())


@clause("E4", on=ONE, given=ROWS)
def test_unpad_sequence_gives_the_rows_back(case, cell):
    for batch in batches(case.on(cell), surplus=case.pick % 3):
        for lengths in LENGTHS[1:]:
            for seen in observe_packing(batch, "unpad_sequence", lengths):
                assert_rows(seen, batch)


@clause("E4", on=ONE, given=ROWS)
def test_unpack_sequence_gives_the_rows_back_in_their_order(case, cell):
    for batch in batches(case.on(cell)):
        for seen in observe_packing(batch, "unpack_sequence"):
            assert_rows(seen, batch)


@clause("E4", on=ONE, given=ROWS)
def test_rows_keep_their_dtype_and_device_in_every_utility(case, cell):
    for batch in batches(case.on(cell)):
        for utility in UTILITIES:
            options: dict[str, Any] = {"enforce_sorted": batch.is_sorted} if utility.startswith("pack") else {}
            for seen in observe_packing(batch, utility, LENGTHS[1], **options):
                for name in seen.facts.keys() - NOT_OF_ROWS:
                    assert_fact(seen, name, "dtype", seen.facts[name].dtype, batch.dtype)
                    assert_fact(seen, name, "device", device_type(seen.facts[name].device), device_type(case.device))


@clause("E4", on=ONE, given=ROWS)
def test_padding_and_packing_leave_their_arguments_alone(case, cell):
    for batch in batches(case.on(cell)):
        for utility in UTILITIES:
            options: Any = {"enforce_sorted": batch.is_sorted} if utility.startswith("pack") else {}
            for seen in observe_packing(batch, utility, LENGTHS[1], **options):
                assert_nothing(seen, utility, "changes", seen.changed)


LACKED = (
    ("int64", 0.5, "a fraction"),
    ("int32", 0.5, "a fraction"),
    ("uint8", 0.5, "a fraction"),
    ("uint8", -1, "a negative number"),
    ("uint8", 300, "a number beyond the range"),
    ("int32", 2**31, "a number beyond the range"),
    ("bool", 2, "a number other than 0 and 1"),
)
"""Dtypes, numbers that they lack, and what these are for the dtype."""


@clause("E4-value", on=ONE, given=ROWS)
def test_padding_value_that_the_dtype_lacks_is_refused(case, cell):
    rows = {batch.dtype: batch for batch in batches(case.on(cell))}
    for dtype, value, what in LACKED:
        for utility in ("pad_sequence", "pad_packed_sequence"):
            seen = attempt_packing(rows[dtype], utility, padding_value=value)
            taken = [] if seen.failure else [f"{what} for rows of integers or booleans"]
            assert_nothing(seen, utility, "takes", taken)


@clause("E4-value", on=ONE, given=SEVERAL_ROWS)
def test_padding_value_of_int64_comes_out_exactly_where_no_float_has_it(case, cell):
    batch = next(batch for batch in batches(case.on(cell)) if batch.dtype == "int64")
    for utility in ("pad_sequence", "pad_packed_sequence"):
        for seen in observe_packing(batch, utility, padding_value=2**53 + 1):
            assert_padded(seen, batch, case.steps, 2**53 + 1)


# The packed sequence itself

CONVERSIONS = {
    "double": "float64",
    "float": "float32",
    "half": "float16",
    "long": "int64",
    "int": "int32",
    "short": "int16",
    "char": "int8",
    "byte": "uint8",
}
"""Methods without arguments, and the dtypes that they convert to."""


def conversions(case):
    """(method, options, dtype) for every conversion that the device has."""
    named = [(method, dict[str, str](), dtype) for method, dtype in CONVERSIONS.items()]
    named += [("to", {"dtype": dtype}, dtype) for dtype in (*CONVERSIONS.values(), "bfloat16", "bool")]
    return [one for one in named if (one[2], device_type(case.device)) != ("float64", "mps")]


def of_small_numbers(batch):
    """The batch with other numbers: halves from 0 to 63.5, which every floating-point dtype has, or integers to 127."""
    small = scattered(batch.sequence, "int64") % 128
    if batch.dtype in INTEGERS:
        return replace(batch, sequence=small.astype(batch.dtype))
    return replace(batch, sequence=small / 2)


@clause("E4", on=ONE, given=ROWS)
def test_small_numbers_are_converted_exactly_or_truncated(case, cell):
    for batch in map(of_small_numbers, batches(case.on(cell))):
        for method, options, dtype in conversions(case):
            for seen in observe_packed(batch, method, **options):
                packed = packed_by_hand(batch.rows, order_taken(seen, batch))
                converted = packed if dtype == "bfloat16" else packed.astype(dtype)
                assert_array(seen, "data", seen.raw.get("data"), converted)
                assert_fact(seen, "data", "dtype", seen.facts["data"].dtype, dtype)


@clause("E4", on=ONE, given=ROWS)
def test_floating_numbers_are_converted_to_the_nearest_ones(case, cell):
    rounded = {"float64": ("float32",)}.get(case.dtype, ("float64", "float32", "float16", "bfloat16"))
    for batch in batches(case.on(cell)):
        for dtype in rounded if batch.dtype == case.dtype else ():
            for seen in observe_packed(batch, "to", dtype=dtype):
                packed = packed_by_hand(batch.rows, order_taken(seen, batch))
                assert_array(seen, "data", seen.raw.get("data"), FORMATS[dtype].round(packed))


@clause("E4", on=ONE, given=ROWS)
def test_conversion_leaves_batch_sizes_and_indices_and_its_argument_alone(case, cell):
    for batch in map(of_small_numbers, batches(case.on(cell))):
        for method, options, _ in conversions(case):
            for seen in observe_packed(batch, method, **options):
                assert_nothing(seen, seen.utility, "packed with another", seen.repacked)
                assert_nothing(seen, seen.utility, "changes", seen.changed)


@clause("E4", on=ONE, given=ROWS)
def test_conversion_to_its_own_dtype_and_device_returns_the_packed_sequence_itself(case, cell):
    for batch in batches(case.on(cell)):
        names = [method for method, dtype in CONVERSIONS.items() if dtype == batch.dtype]
        own = [(method, dict[str, str]()) for method in (*names, *(["cpu"] if case.device == "cpu" else []))]
        for method, options in (*own, ("to", {"dtype": batch.dtype}), ("to", {"device": case.device})):
            for seen in observe_packed(batch, method, **options):
                assert_fact(seen, seen.utility, "returns its argument", seen.is_argument, True)


@clause("E4", on=ONE, given=ROWS)
def test_conversion_to_another_dtype_or_a_copy_returns_another_packed_sequence(case, cell):
    for batch in map(of_small_numbers, batches(case.on(cell))):
        for options in ({"dtype": "int16"}, {"copy": True}):
            for seen in observe_packed(batch, "to", **options):
                assert_fact(seen, seen.utility, "returns its argument", seen.is_argument, False)
                assert_nothing(seen, seen.utility, "packed with another", seen.repacked)


@clause("E4", on=ONE, given=ROWS)
def test_packed_sequence_says_whether_it_is_on_cuda_and_in_pinned_memory(case, cell):
    for batch in batches(case.on(cell)):
        for name, truth in (("is_cuda", device_type(case.device) == "cuda"), ("is_pinned", False)):
            for seen in observe_packed(batch, name):
                assert_array(seen, "answer", seen.raw.get("answer"), np.array(truth))


@clause("E4", on=ONE, given=SEVERAL_ROWS)
def test_invert_permutation_gives_the_permutation_that_undoes_it(case, cell):
    for batch in batches(case.on(cell)):
        order = batch.order_of_numbers
        for seen in observe_packing(batch, "invert_permutation"):
            assert_array(seen, "inverse", seen.raw.get("inverse"), np.argsort(order))
            assert_fact(seen, "inverse", "dtype", seen.facts["inverse"].dtype, "int64")
