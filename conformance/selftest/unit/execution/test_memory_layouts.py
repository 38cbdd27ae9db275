"""Tensors of a call lie in memory as their problem says, at the same addresses modulo 64 bytes at every call."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import PackedSequence

from conformance.harness.execution import tensors
from conformance.harness.execution.inputs import Inputs, inputs
from conformance.harness.execution.memory_layouts import laid_out
from reference.problem import LSTM, Problem
from strategies import parse
from strategies.axes import MEMORY

MEMORIES = pytest.mark.parametrize("memory", MEMORY)
DTYPES = pytest.mark.parametrize("dtype", tensors.DTYPES)
SHAPES = pytest.mark.parametrize(
    ("shape", "batch_axis"), [((4, 3, 5), 0), ((4, 3, 5), 1), ((3, 5), 0), ((2, 1, 7), 1), ((1, 1, 1), 1)], ids=str
)
POISONED = ("sliced", "guarded", "offset")


def numbers(shape: tuple[int, ...], dtype: str = "float32", equal_along: int | None = None) -> torch.Tensor:
    """1, 2, 3 and so on, different at every index; along `equal_along` the first ones repeated."""
    counted = torch.arange(1, 1 + int(np.prod(shape)), dtype=torch.float64).reshape(shape).to(tensors.DTYPES[dtype])
    return counted if equal_along is None else counted.narrow(equal_along, 0, 1).expand(shape).clone()


def laid(memory: str, shape: tuple[int, ...], batch_axis: int | None = None, dtype: str = "float32") -> torch.Tensor:
    values = numbers(shape, dtype, batch_axis if memory == "expanded" else None)
    return laid_out(values, memory, batch_axis)


def contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides of a tensor whose elements lie one after the other, the last axis the fastest."""
    return tuple(accumulate((1, *reversed(shape[1:])), lambda stride, size: stride * size))[::-1]


def whole_storage(t: torch.Tensor) -> torch.Tensor:
    """Everything that the storage of `t` holds, in its order."""
    return t.as_strided((t.untyped_storage().nbytes() // t.element_size(),), (1,), 0)


def address(t: torch.Tensor) -> int:
    """Bytes past a multiple of 64."""
    return t.data_ptr() % 64


@SHAPES
@DTYPES
@MEMORIES
def test_values_shape_and_dtype_are_those_given(
    memory: str, dtype: str, shape: tuple[int, ...], batch_axis: int
) -> None:
    values = numbers(shape, dtype, batch_axis if memory == "expanded" else None)
    result = laid_out(values, memory, batch_axis)
    assert result.dtype == values.dtype
    assert result.shape == values.shape
    assert torch.equal(result, values)


@pytest.mark.parametrize("shape", [(4, 3, 5), (3, 5), (5,)], ids=str)
@DTYPES
@MEMORIES
def test_values_without_an_axis_of_the_batch_are_those_given_and_expanded_ones_are_contiguous(
    memory: str, dtype: str, shape: tuple[int, ...]
) -> None:
    result = laid_out(numbers(shape, dtype), memory)
    assert torch.equal(result, numbers(shape, dtype))
    if memory == "expanded":
        assert result.is_contiguous()
        assert address(result) == 0


@MEMORIES
def test_result_shares_no_memory_with_the_values(memory: str) -> None:
    values = numbers((4, 3, 5), equal_along=1)
    before = values.clone()
    whole_storage(laid_out(values, memory, 1)).fill_(-1)
    assert torch.equal(values, before)


@SHAPES
def test_contiguous_tensors_fill_their_storage(shape: tuple[int, ...], batch_axis: int) -> None:
    result = laid("contiguous", shape, batch_axis)
    assert result.stride() == contiguous_strides(shape)
    assert whole_storage(result).tolist() == numbers(shape).flatten().tolist()


@SHAPES
def test_transposed_tensors_fill_their_storage_the_first_axis_the_fastest(
    shape: tuple[int, ...], batch_axis: int
) -> None:
    result = laid("transposed", shape, batch_axis)
    assert result.stride() == contiguous_strides(shape[::-1])[::-1]
    assert sorted(result.stride()) == list(result.stride())
    backwards = numbers(shape).permute(*reversed(range(len(shape))))
    assert whole_storage(result).tolist() == backwards.flatten().tolist()


@SHAPES
def test_sliced_tensors_are_every_second_element_of_a_buffer_twice_as_long_along_every_axis(
    shape: tuple[int, ...], batch_axis: int
) -> None:
    result = laid("sliced", shape, batch_axis)
    buffer = tuple(2 * size + 1 for size in shape)
    assert result.stride() == tuple(2 * stride for stride in contiguous_strides(buffer))
    assert whole_storage(result).numel() == np.prod(buffer)


@SHAPES
def test_guarded_tensors_have_an_element_of_their_buffer_on_every_side(shape: tuple[int, ...], batch_axis: int) -> None:
    result = laid("guarded", shape, batch_axis)
    buffer = tuple(size + 2 for size in shape)
    assert result.stride() == contiguous_strides(buffer)
    assert result.storage_offset() == sum(contiguous_strides(buffer))
    assert whole_storage(result).numel() == np.prod(buffer)


@SHAPES
def test_offset_tensors_are_contiguous_between_two_elements_of_their_buffer(
    shape: tuple[int, ...], batch_axis: int
) -> None:
    result = laid("offset", shape, batch_axis)
    assert result.stride() == contiguous_strides(shape)
    assert result.storage_offset() == 1
    assert whole_storage(result).numel() == np.prod(shape) + 2


@SHAPES
def test_expanded_tensors_hold_one_row_of_the_batch_at_stride_0(shape: tuple[int, ...], batch_axis: int) -> None:
    result = laid("expanded", shape, batch_axis)
    one_row = tuple(1 if axis == batch_axis else size for axis, size in enumerate(shape))
    assert whole_storage(result).numel() == np.prod(one_row)
    for axis, stride in enumerate(contiguous_strides(one_row)):
        if axis != batch_axis:
            assert result.stride(axis) == stride
        elif shape[axis] > 1:
            assert result.stride(axis) == 0


@SHAPES
@DTYPES
@pytest.mark.parametrize("memory", POISONED)
def test_storage_around_a_view_is_nan_and_the_view_is_not(
    memory: str, dtype: str, shape: tuple[int, ...], batch_axis: int
) -> None:
    result = laid(memory, shape, batch_axis, dtype)
    around = whole_storage(result).clone()
    around.as_strided(result.shape, result.stride(), result.storage_offset()).fill_(0)
    assert int(around.isnan().sum()) == around.numel() - result.numel() > 0
    assert not result.isnan().any()
    assert around[0].isnan()
    assert around[-1].isnan()


@pytest.mark.parametrize("shape", [(4, 3, 5), (1, 1, 1), (33, 5, 17)], ids=str)
@DTYPES
@MEMORIES
def test_address_is_the_same_at_every_call(memory: str, dtype: str, shape: tuple[int, ...]) -> None:
    kept = []
    for call in range(20):
        kept.append(laid(memory, shape, 1, dtype))
        kept.append(torch.empty(1 + 7 * call, dtype=torch.uint8))  # so that the next one does not lie where it did
    found = {address(t) for t in kept[::2]}
    assert len({t.data_ptr() for t in kept[::2]}) == 20
    itemsize = kept[0].element_size()
    expected = {"contiguous": 0, "transposed": 0, "expanded": 0, "offset": itemsize}
    assert found == {expected.get(memory, kept[0].storage_offset() * itemsize % 64)}


@SHAPES
@MEMORIES
def test_tensor_without_values_lies_likewise(memory: str, shape: tuple[int, ...], batch_axis: int) -> None:
    real = laid(memory, shape, batch_axis)
    unreal = laid_out(torch.empty(shape, device="meta"), memory, batch_axis)
    assert unreal.is_meta
    assert (unreal.shape, unreal.dtype) == (real.shape, real.dtype)
    assert (unreal.stride(), unreal.storage_offset()) == (real.stride(), real.storage_offset())


# The tensors of a call


def problem_of(words: str, cell: str) -> Problem:
    """The problem of a case with 3 inputs and 4 units."""
    return parse(f"v1 {cell} i3 h4 {words} float64 fill=uniform")[0].on(cell)


def assert_lies(t: torch.Tensor, values: np.ndarray, memory: str, batch_axis: int | None) -> None:
    """`t` has these values, strides and addresses."""
    assert np.array_equal(tensors.array(t), values)
    wanted = laid_out(tensors.tensor(values, "float64"), memory, batch_axis)
    assert (t.stride(), t.storage_offset(), address(t)) == (wanted.stride(), wanted.storage_offset(), address(wanted))


def stacked(state: np.ndarray) -> np.ndarray:
    """A problem's state (L, D, N, features) as a module takes it (L*D, N, features)."""
    return state.reshape(-1, *state.shape[2:])


def states_of(problem: Problem) -> list[np.ndarray]:
    return [state for state in (problem.h_0, problem.c_0) if state is not None]


def all_tensors(given: Inputs) -> list[torch.Tensor]:
    """The tensors of a call, of a packed sequence its data."""
    return [given.input.data if isinstance(given.input, PackedSequence) else given.input, *given.states]


CALLS = pytest.mark.parametrize("cell", ["gru", "lstm"])


@pytest.mark.parametrize("layout", ["", "bf"])
@CALLS
@MEMORIES
def test_padded_call_has_its_batch_where_the_layout_wants_it(memory: str, cell: str, layout: str) -> None:
    problem = problem_of(f"l2 n5 t6 bi {layout} mem={memory}", cell)
    x, *states = all_tensors(inputs(problem))
    if layout == "bf":
        assert_lies(x, problem.input, memory, 0)
    else:
        assert_lies(x, problem.input.swapaxes(0, 1), memory, 1)
    for state, values in zip(states, states_of(problem), strict=True):
        assert_lies(state, stacked(values), memory, 1)


@pytest.mark.parametrize("layout", ["", "bf"])
@CALLS
@MEMORIES
def test_unbatched_call_has_no_axis_of_the_batch_whatever_batch_first(memory: str, cell: str, layout: str) -> None:
    problem = problem_of(f"l2 t6 bi unb {layout} mem={memory}", cell)
    x, *states = all_tensors(inputs(problem))
    assert x.shape == (6, 3)
    assert_lies(x, problem.input[0], memory, None)
    for state, values in zip(states, states_of(problem), strict=True):
        assert state.shape == (4, 4)
        assert_lies(state, stacked(values)[:, 0], memory, None)


@pytest.mark.parametrize("cell", ["gru_cell", "lstm_cell"])
@MEMORIES
def test_single_step_has_rows_and_features_alone(memory: str, cell: str) -> None:
    problem = problem_of(f"n5 mem={memory}", cell)
    x, *states = all_tensors(inputs(problem))
    assert_lies(x, problem.input[:, 0], memory, 0)
    for state, values in zip(states, states_of(problem), strict=True):
        assert state.shape == (5, 4)
        assert_lies(state, values[0, 0], memory, 0)


@pytest.mark.parametrize("cell", ["gru_cell", "lstm_cell"])
@MEMORIES
def test_unbatched_single_step_has_features_alone(memory: str, cell: str) -> None:
    problem = problem_of(f"unb mem={memory}", cell)
    x, *states = all_tensors(inputs(problem))
    assert_lies(x, problem.input[0, 0], memory, None)
    for state, values in zip(states, states_of(problem), strict=True):
        assert_lies(state, values[0, 0, 0], memory, None)


@pytest.mark.parametrize("lengths", ["2,6,1,4", "6,4,2,1", "3,3,3", "6,", "1,1"])
@pytest.mark.parametrize("layout", ["", "bf"])
@CALLS
@MEMORIES
def test_packed_call_has_every_step_of_every_row_and_no_padding(
    memory: str, cell: str, layout: str, lengths: str
) -> None:
    problem = problem_of(f"l2 t{lengths} bi {layout} mem={memory}", cell)
    given = inputs(problem)
    packed, kept = given.input, problem.lengths or ()
    assert isinstance(packed, PackedSequence)
    order = range(len(kept)) if packed.sorted_indices is None else packed.sorted_indices.tolist()
    assert [kept[row] for row in order] == sorted(kept, reverse=True)
    steps = [problem.input[row, t] for t in range(problem.steps) for row in order if t < kept[row]]
    assert_lies(packed.data, np.stack(steps), memory, None)
    assert packed.batch_sizes.tolist() == [sum(t < length for length in kept) for t in range(max(kept))]
    for state, values in zip(given.states, states_of(problem), strict=True):
        assert_lies(state, stacked(values), memory, 1)


@pytest.mark.parametrize("words", ["l2 n5 t6 bi", "t6 unb", "t2,6,1,4 bf"])
@CALLS
def test_call_takes_states_as_the_documentation_says_and_none_where_they_are_left_out(cell: str, words: str) -> None:
    given = inputs(problem_of(words, cell))
    x, hx = given.arguments()
    assert x is given.input
    assert isinstance(hx, tuple) == (cell == LSTM)
    assert len(given.states) == (2 if cell == LSTM else 1)
    assert inputs(problem_of(words + " nohx", cell)).states == ()
    assert len(inputs(problem_of(words + " nohx", cell)).arguments()) == 1


@pytest.mark.parametrize("words", ["l2 n5 t6 bi bf", "t6 unb", "t2,6,1,4", "n3"])
@MEMORIES
def test_every_tensor_of_a_call_has_the_same_address_again(memory: str, words: str) -> None:
    problem = problem_of(f"{words} mem={memory}", LSTM)
    calls = [all_tensors(inputs(problem)) for _ in range(10)]
    for same in zip(*calls, strict=True):
        assert len({t.data_ptr() for t in same}) == 10
        assert len({address(t) for t in same}) == 1


@pytest.mark.parametrize("words", ["l2 n5 t6 bi bf", "t6 unb", "n3"])
@MEMORIES
def test_call_without_values_has_the_shapes_and_strides_of_a_real_one(memory: str, words: str) -> None:
    problem = problem_of(f"{words} mem={memory}", LSTM)

    def empty(values: np.ndarray) -> torch.Tensor:
        return torch.empty(values.shape, dtype=torch.float64, device="meta")

    for real, unreal in zip(all_tensors(inputs(problem)), all_tensors(inputs(problem, empty)), strict=True):
        assert unreal.is_meta
        assert (unreal.shape, unreal.stride()) == (real.shape, real.stride())
        assert unreal.storage_offset() == real.storage_offset()


def test_values_are_read_with_a_sign_that_is_still_to_be_changed() -> None:
    negated = torch.tensor([1 + 2j], dtype=torch.complex64).conj().imag
    assert negated.is_neg()
    assert tensors.array(negated).tolist() == [-2.0]
