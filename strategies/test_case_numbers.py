"""The problem of a case has the documented names, shapes and numbers; a smaller case crops them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.formats import FORMATS
from reference.problem import GRU, LSTM, RNN_RELU, RNN_TANH
from strategies import Case, cases, parse
from strategies.axes import MEMORY
from strategies.case import CELLS
from strategies.families import SINGLE_STEP
from strategies.values import FILLS

GATE_COUNTS = {RNN_TANH: 1, RNN_RELU: 1, LSTM: 4, GRU: 3}

examples = settings(deadline=None)

any_case = cases(packed=None).strategy()
MODULES, SINGLE_STEPS = CELLS[:4], CELLS[4:]
any_cell = st.sampled_from(MODULES)


def equal(left, right):
    """Whether two problems have equal parameters, input and states; architectures may differ."""
    return (
        left.parameters.keys() == right.parameters.keys()
        and all(np.array_equal(left.parameters[name], right.parameters[name]) for name in left.parameters)
        and all(np.array_equal(getattr(left, name), getattr(right, name)) for name in ("input", "h_0", "c_0"))
    )


def test_parameters_have_the_documented_names_shapes_and_order():
    problem = parse("v1 i3 h4 l2 n2 t5 bi")[0].on(LSTM)
    documented = {
        "weight_ih_l0": (16, 3),
        "weight_hh_l0": (16, 4),
        "bias_ih_l0": (16,),
        "bias_hh_l0": (16,),
        "weight_ih_l0_reverse": (16, 3),
        "weight_hh_l0_reverse": (16, 4),
        "bias_ih_l0_reverse": (16,),
        "bias_hh_l0_reverse": (16,),
        "weight_ih_l1": (16, 8),
        "weight_hh_l1": (16, 4),
        "bias_ih_l1": (16,),
        "bias_hh_l1": (16,),
        "weight_ih_l1_reverse": (16, 8),
        "weight_hh_l1_reverse": (16, 4),
        "bias_ih_l1_reverse": (16,),
        "bias_hh_l1_reverse": (16,),
    }
    assert [(name, values.shape) for name, values in problem.parameters.items()] == list(documented.items())
    assert problem.input.shape == (2, 5, 3)
    assert problem.state("h_0").shape == problem.state("c_0").shape == (2, 2, 2, 4)


@examples
@given(any_case, any_cell)
def test_numbers_have_the_documented_shapes_and_are_exact_in_the_dtype(case, cell):
    problem = case.on(cell)
    directions = 1 + case.bidirectional
    rows = GATE_COUNTS[cell] * case.hidden_size
    for name, values in problem.parameters.items():
        below = case.input_size if "_l0" in name else directions * case.hidden_size
        features = {"weight_ih": (below,), "weight_hh": (case.hidden_size,)}.get(name[:9], ())
        assert values.shape == (rows, *features)
    assert len(problem.parameters) == case.num_layers * directions * (2 if "nobias" in case.layout else 4)
    assert problem.input.shape == (case.batch_size, case.steps, case.input_size)
    state = (case.num_layers, directions, case.batch_size, case.hidden_size)
    given_states = [values for values in (problem.h_0, problem.c_0) if values is not None]
    assert [values.shape for values in given_states] == [state] * len(given_states)
    everything = [problem.input, *problem.parameters.values(), *given_states]
    assert all(FORMATS[case.dtype].holds(values) for values in everything)


@examples
@given(any_case, any_cell)
def test_problem_carries_the_choices_of_its_case(case, cell):
    problem = case.on(cell)
    a = problem.architecture
    assert a.cell == cell
    for field in ("input_size", "hidden_size", "num_layers", "bidirectional"):
        assert getattr(a, field) == getattr(case, field)
    for field in ("dtype", "device", "batch_size", "steps"):
        assert getattr(problem, field) == getattr(case, field)
    assert a.batch_first == ("bf" in case.layout)
    assert a.bias == ("nobias" not in case.layout)
    assert a.dropout == (0.5 if "drop" in case.layout else 0)
    assert problem.training == ("drop" not in case.layout)
    assert problem.unbatched == ("unb" in case.layout)
    assert problem.memory == case.memory
    assert problem.lengths == (case.lengths or None)
    assert parse(problem.case) == (case, cell)
    assert problem.relation == ""


@pytest.mark.parametrize("cell", MODULES)
def test_problem_is_drawn_again_from_its_line(cell):
    problem = Case(3, 4, 2, 2, 3, True, (), "bfloat16", fill="normal", seed=11).on(cell)
    again, named = parse(problem.case)
    assert equal(again.on(named), problem)


@pytest.mark.parametrize("cell", MODULES)
def test_cell_state_is_for_the_lstm_alone(cell):
    problem = Case().on(cell)
    assert problem.h_0 is not None
    assert (problem.c_0 is not None) == (cell == LSTM)


@pytest.mark.parametrize("cell", MODULES)
def test_nohx_gives_no_states_and_zeros_in_their_place(cell):
    problem = parse("v1 h4 l2 n3 bi nohx")[0].on(cell)
    assert problem.h_0 is None
    assert problem.c_0 is None
    assert np.array_equal(problem.state("h_0"), np.zeros((2, 2, 3, 4)))
    assert np.array_equal(problem.state("c_0"), np.zeros((2, 2, 3, 4)))


def test_states_that_are_given_are_the_problems_states():
    problem = parse("v1 h4 l2 n3 bi")[0].on(LSTM)
    assert problem.state("h_0") is problem.h_0
    assert problem.state("c_0") is problem.c_0
    assert not np.array_equal(problem.h_0, problem.c_0)


@pytest.mark.parametrize("cell", MODULES)
def test_nobias_has_no_biases_and_leaves_the_other_numbers_alone(cell):
    case = Case(3, 4, 2, 2, 3, True)
    with_biases, without = case.on(cell), replace(case, layout=("nobias",)).on(cell)
    kept = {name: values for name, values in with_biases.parameters.items() if not name.startswith("bias")}
    assert equal(without, replace(with_biases, parameters=kept))


OTHERS = [{"layout": ("bf", "drop")}, {"pick": 5}, {"device": "cuda"}, {"lengths": (3, 1)}, {"lengths": (2, 3)}]
OTHERS += [{"memory": memory} for memory in MEMORY if memory != "expanded"]


@pytest.mark.parametrize("change", OTHERS, ids=str)
def test_layout_pick_device_lengths_and_memory_do_not_change_the_numbers(change):
    case = Case(3, 4, 2, 2, 3, True)
    assert equal(replace(case, **change).on(LSTM), case.on(LSTM))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("fill", FILLS)
def test_expanded_memory_repeats_the_numbers_of_the_first_row_in_every_row(fill, cell):
    case = Case(3, 4, batch_size=5, fill=fill)
    expanded, usual = replace(case, memory="expanded").on(cell), case.on(cell)
    assert np.array_equal(expanded.input, usual.input[[0] * 5])
    for name in ("h_0", "c_0") if usual.c_0 is not None else ("h_0",):
        assert np.array_equal(expanded.state(name), usual.state(name)[:, :, [0] * 5])
    assert (expanded.c_0 is None) == (usual.c_0 is None)
    assert all(np.array_equal(values, usual.parameters[name]) for name, values in expanded.parameters.items())


def test_expanded_memory_of_layers_directions_and_steps_repeats_rows_alone():
    problem = Case(3, 4, 2, 5, 6, True, memory="expanded").on(LSTM)
    for values, batch_axis in ((problem.input, 0), (problem.state("h_0"), 2), (problem.state("c_0"), 2)):
        for axis, size in enumerate(values.shape):
            different = {part.tobytes() for part in np.moveaxis(values, axis, 0)}
            assert len(different) == (1 if axis == batch_axis else size)


def test_expanded_memory_without_states_gives_none():
    problem = Case(3, 4, batch_size=2, layout=("nohx",), memory="expanded").on(LSTM)
    assert problem.h_0 is None
    assert problem.c_0 is None


def test_unbatched_call_has_the_numbers_of_the_first_row_of_a_batch():
    alone, batch = Case(3, 4, 2, 1, 3, layout=("unb",)).on(GRU), Case(3, 4, 2, 5, 3).on(GRU)
    assert np.array_equal(alone.input, batch.input[:1])
    assert np.array_equal(alone.state("h_0"), batch.state("h_0")[:, :, :1])
    assert equal(alone, Case(3, 4, 2, 1, 3).on(GRU))


@pytest.mark.parametrize("fill", [kind for kind in FILLS if kind != "zeros"])
def test_no_two_gates_directions_layers_or_kinds_of_parameter_look_alike(fill):
    problem = Case(8, 8, 3, 2, 2, True, fill=fill).on(LSTM)
    for kind in ("weight", "bias"):
        blocks = [
            block[:, :8].tobytes() if kind == "weight" else block.tobytes()
            for name, values in problem.parameters.items()
            if name.startswith(kind)
            for block in np.split(values, 4)
        ]
        assert len(set(blocks)) == len(blocks) == 3 * 2 * 2 * 4


@examples
@given(any_case, any_cell, st.data())
def test_layer_is_a_module_of_one_layer_with_its_own_parameters_and_states(case, cell, data):
    problem = case.on(cell)
    k = data.draw(st.integers(0, case.num_layers - 1))
    below = np.zeros((case.batch_size, case.steps, case.input_size if k == 0 else 8))
    layer = problem.layer(k, below)
    own = {name: values for name, values in problem.parameters.items() if f"_l{k}" in name}
    assert [name.replace("_l0", f"_l{k}") for name in layer.parameters] == list(own)
    assert all(layer.parameters[name.replace(f"_l{k}", "_l0")] is own[name] for name in own)
    assert layer.parameters.keys() == layer.architecture.parameter_shapes().keys()
    for name in ("h_0", "c_0"):
        whole, part = getattr(problem, name), getattr(layer, name)
        assert part is None if whole is None else np.array_equal(part, whole[[k]])
    assert layer.input is below
    assert layer.case == problem.case
    assert layer.relation == f"layer {k} alone"


def test_layer_reads_both_directions_of_the_layer_below():
    problem = parse("v1 i3 h4 l3 bi")[0].on(GRU)
    architectures = [problem.layer(k, problem.input).architecture for k in range(3)]
    assert [a.input_size for a in architectures] == [3, 8, 8]
    assert {(a.cell, a.hidden_size, a.num_layers, a.bidirectional) for a in architectures} == {(GRU, 4, 1, True)}


@examples
@given(SINGLE_STEP.strategy(), st.sampled_from(SINGLE_STEPS))
def test_single_step_is_a_module_of_one_layer_and_step_whose_parameters_have_no_ending(case, cell):
    assert parse(case.line(cell)) == (case, cell)
    problem, module = case.on(cell), case.on(cell.removesuffix("_cell"))
    assert (problem.architecture.name, problem.architecture.cell) == (cell, module.architecture.cell)
    assert problem.architecture.dropout == 0
    assert {f"{name}_l0": values.shape for name, values in problem.parameters.items()} == {
        name: values.shape for name, values in module.parameters.items()
    }


# A smaller case crops the numbers of a larger one

SMALL = Case(2, 3, 2, 2, 2)
LARGE = Case(4, 5, 3, 3, 4)


def crop(values, like):
    return values[tuple(map(slice, like.shape))]


def by_gate(values):
    return values.reshape(GATE_COUNTS[LSTM], -1, *values.shape[1:])


def assert_cropped(small, large):
    """Asserts that each number of `small` is the one at the same index of `large`, gates as a separate axis."""
    for name, values in small.parameters.items():
        assert np.array_equal(by_gate(values), crop(by_gate(large.parameters[name]), by_gate(values))), name
    for name in ("input", "h_0", "c_0"):
        values = getattr(small, name)
        assert np.array_equal(values, crop(getattr(large, name), values)), name


@pytest.mark.parametrize("memory", ["contiguous", "expanded"])
@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("fill", [kind for kind in FILLS if kind != "onehot"])
def test_smaller_case_crops_the_numbers_of_a_larger_one(fill, dtype, memory):
    small, large = (replace(case, fill=fill, dtype=dtype, memory=memory).on(LSTM) for case in (SMALL, LARGE))
    assert_cropped(small, large)


@pytest.mark.parametrize("memory", ["contiguous", "expanded"])
def test_case_of_as_many_features_crops_the_onehot_numbers_of_a_larger_one(memory):
    small, large = (replace(case, hidden_size=3, input_size=2, fill="onehot", memory=memory) for case in (SMALL, LARGE))
    assert_cropped(small.on(LSTM), large.on(LSTM))


def test_packed_case_crops_the_numbers_of_a_larger_one():
    small, large = replace(SMALL, lengths=(1, 2)), replace(LARGE, lengths=(4, 2, 4))
    assert_cropped(small.on(LSTM), large.on(LSTM))


def test_second_direction_leaves_the_numbers_of_the_first_alone():
    one, both = (replace(SMALL, bidirectional=bidirectional).on(LSTM) for bidirectional in (False, True))
    for name, values in one.parameters.items():
        assert np.array_equal(values, crop(both.parameters[name], values)), name
    for name in ("h_0", "c_0"):
        assert np.array_equal(one.state(name), both.state(name)[:, :1]), name


def test_smaller_case_crops_what_an_upper_layer_reads_of_each_direction():
    small, large = (replace(case, bidirectional=True).on(LSTM).parameters["weight_ih_l1"] for case in (SMALL, LARGE))
    apart = small.reshape(4, 3, 2, 3)
    assert np.array_equal(apart, crop(large.reshape(4, 5, 2, 5), apart))
