"""Chapter C, second part: what gradients have to do with the loss, with each other, and with those of parts; G."""

from dataclasses import replace

import numpy as np

from conformance import relations
from conformance.harness.api import (
    GRU,
    LSTM,
    REVERSE,
    RNN_RELU,
    RNN_TANH,
    assert_balanced,
    assert_gradients_agree,
    assert_gradients_within,
    assert_nothing,
    assert_scaled,
    assert_zero,
    cases,
    clause,
    differentiate,
    from_cotangents,
    from_inputs,
    losses,
    observe,
    summed,
)
from reference.network import given
from reference.problem import Loss
from strategies.large import NOT_LAYERS, RARELY, WIDTHS, far_out
from strategies.values import INITIAL

SHORT = {"steps": range(1, 6), "dtype": losses.WIDE, "dropout": False}
"""In training, for cuDNN differentiates nothing else; and where bounds still say something."""

MODERATE = SHORT | {
    "dtype": (*losses.WIDE, "bfloat16"),
    "fill": ("dyadic", "integers", "ramp", "uniform", "normal", "onehot"),
}
"""Where hardly anything underflows: what vanishes may decide how a sum that lies between two numbers is rounded."""

LARGE = {"steps": (1, 2), "dtype": losses.WIDE, "dropout": False, "fill": INITIAL, **RARELY}
IN_PARTS = {"bidirectional": False, "hx": True, "dropout": False, "dtype": losses.WIDE}
ROWS, STEPS = {"rows": "batch_size"}, {"steps": "steps"}


def may_overflow(seen, name):
    """Where a gradient may be inf or NaN."""
    return ~np.isfinite(from_cotangents(seen).of(name).radius)


@clause("C4", given=cases(packed=True, dropout=False))
def test_padding_gets_no_gradient(case, cell):
    problem = case.on(cell)
    for seen in differentiate(problem, replace(losses.loss(case, problem), wanted=("input",))):
        of_input = seen.gradient("input")
        for row, length in enumerate(problem.lengths):
            padding = of_input[row, length:]
            assert_zero(seen, padding, np.zeros(padding.values.shape, bool))


@clause(
    "C4",
    given={"": cases(bidirectional=False, dropout=False, projection=None, steps=range(2, 9))}
    | far_out(STEPS, bidirectional=False, dropout=False),
)
def test_steps_after_the_loss_get_no_gradient(case, cell):
    problem = case.on(cell)
    since = 1 + case.pick % max(1, problem.steps - 1)
    loss = losses.at(losses.loss(replace(case, pick=0), problem), before=since)
    for seen in differentiate(problem, loss):
        got = seen.gradient("input")[:, since:]
        assert_zero(seen, got, may_overflow(seen, "input")[:, since:])


@clause("C4", given=cases(bidirectional=True, num_layers=1, dropout=False, projection=None, steps=range(2, 9)))
def test_steps_before_the_loss_of_the_reverse_direction_get_no_gradient(case, cell):
    problem = case.on(cell)
    since = 1 + case.pick % (problem.steps - 1)
    whole = losses.loss(replace(case, pick=0), problem).cotangents["output"]
    late = np.zeros_like(whole)
    late[:, since:, REVERSE] = whole[:, since:, REVERSE]
    for seen in differentiate(problem, Loss({"output": late}, ("input",))):
        got = seen.gradient("input")[:, :since]
        assert_zero(seen, got, may_overflow(seen, "input")[:, :since])


@clause(
    "C4",
    given={"": cases(projection=None, dropout=False, batch_size=range(2, 6), steps=range(1, 6))}
    | far_out(ROWS, dropout=False),
)
def test_other_rows_get_no_gradient(case, cell):
    problem = case.on(cell)
    for seen in differentiate(problem, losses.at(losses.loss(case, problem), row=case.row)):
        for other in (n for n in range(problem.batch_size) if n != case.row):
            got = seen.gradient("input")[other]
            assert_zero(seen, got, may_overflow(seen, "input")[other])


@clause("C4", given={"": cases(packed=None, projection=None, **MODERATE)} | far_out(NOT_LAYERS, **LARGE))
def test_gradients_grow_with_the_loss_by_powers_of_two(case, cell):
    problem = case.on(cell)
    loss, factor = losses.loss(case, problem), 2.0 ** (1 + case.pick % 8)
    scaled = {seen.route: seen for seen in differentiate(problem, losses.times(loss, factor))}
    for seen in differentiate(problem, loss, tuple(scaled)):
        assert_scaled(seen, scaled[seen.route], factor)


@clause(
    "C5",
    given={"": cases(packed=None, projection=None, **SHORT)}
    | far_out(ROWS, **LARGE)
    | far_out(WIDTHS, **LARGE | {"dtype": "float64"}),
)
def test_input_pulls_as_much_as_the_weights_that_read_it(case, cell):
    problem = case.on(cell)
    names = [name for name in problem.parameters if name.startswith("weight_ih_l0")]
    for seen in differentiate(problem, losses.loss(case, problem)):
        enclosure = from_cotangents(seen)

        def pulled(name, values, seen=seen, enclosure=enclosure):
            return summed(values, seen.gradient(name).values, enclosure.of(name).radius)

        of_input, allowed = pulled("input", given(problem))
        of_weights = [pulled(name, problem.parameters[name]) for name in names]
        assert_balanced(
            seen,
            "<input, its gradient>",
            of_input,
            np.sum([total for total, _ in of_weights]),
            allowed + np.sum([radius for _, radius in of_weights]),
            "<weight_ih_l0, its gradient>",
        )


@clause("C5", on=(RNN_RELU,), given=cases(packed=None, bias=False, **SHORT))
def test_without_bias_relu_pulls_as_much_at_its_inputs_as_at_its_results(case, cell):
    problem = case.on(cell)
    loss = losses.loss(case, problem)
    for seen in differentiate(problem, loss):
        gradients, results = from_cotangents(seen), from_inputs(seen)
        inputs = {"input": given(problem)} | ({"h_0": problem.h_0} if problem.h_0 is not None else {})
        pulled = [
            summed(values, seen.gradient(name).values, gradients.of(name).radius) for name, values in inputs.items()
        ]
        returned = [
            summed(values, seen.results[name].values, getattr(results, name).radius)
            for name, values in loss.cotangents.items()
        ]
        assert_balanced(
            seen,
            "<inputs, their gradients>",
            np.sum([total for total, _ in pulled]),
            np.sum([total for total, _ in returned]),
            np.sum([radius for _, radius in (*pulled, *returned)]),
            "<results, their cotangents>",
        )


SHARED_ROWS = {RNN_TANH: 1, RNN_RELU: 1, LSTM: 4, GRU: 2}
"""How many of the first gates add both biases to the same sum."""


@clause("C5", given=cases(packed=None, projection=None, bias=True, **SHORT))
def test_both_biases_of_a_sum_get_the_same_gradient(case, cell):
    problem = case.on(cell)
    rows = slice(SHARED_ROWS[cell] * case.hidden_size)
    for seen in differentiate(problem, losses.loss(case, problem)):
        enclosure = from_cotangents(seen)
        for name, got in seen.gradients.items():
            if name.startswith("bias_ih") and (other := name.replace("_ih", "_hh")) in seen.gradients:
                radius = (enclosure.of(name).radius + enclosure.of(other).radius)[rows]
                beside = seen.gradients[other]
                assert_balanced(seen, got.field, got.values[rows], beside.values[rows], radius, beside.field)


@clause("C5", given=cases(packed=None, projection=None, dropout=False, steps=range(1, 6)))
def test_gradients_of_parameters_share_no_memory(case, cell):
    problem = case.on(cell)
    for seen in differentiate(problem, losses.loss(case, problem)):
        assert_nothing(seen, "gradients", "share memory", seen.shared)


@clause(
    "C5",
    given={"": cases(projection=None, steps=range(2, 13), **IN_PARTS)} | far_out(STEPS, fill=INITIAL, **IN_PARTS),
)
def test_gradients_of_a_sequence_are_those_of_its_parts(case, cell):
    problem = case.on(cell)
    if problem.steps == 1:
        return
    since = 1 + case.pick % (problem.steps - 1)
    loss = losses.loss(case, problem)
    for seen in differentiate(problem, loss):
        parts = of_parts(problem, loss, since, seen.route)
        if parts is not None:
            relation = f"through the steps from {since} on, then through those before"
            assert_gradients_agree(seen, parts[0], relation, parts[0], other=parts[1])


def of_parts(problem, loss, since, route):
    """Gradients through the later steps, and with what these say of the states between through the first ones.

    Beside them the call of the first steps; None where a call failed.
    """
    first = relations.first_steps(problem, since)
    for between in observe(first, (route,)):
        c = between.c_n.values if problem.architecture.cell == LSTM else None
        later = relations.later_steps(problem, since, (between.h_n.values, c))
        for after in differentiate(later, losses.of_later_steps(loss, since), (route,)):
            states = {name: after.gradient(name).values for name in ("h_0", "c_0") if name in loss.wanted}
            for before in differentiate(first, losses.of_first_steps(loss, since, states), (route,)):
                return joined(before, after), before
    return None


def joined(before, after):
    """The gradients of two parts as those of the whole: parameters add up, steps follow each other."""
    found = {name: before.gradient(name).values for name in before.loss.wanted}
    found["input"] = np.concatenate([found["input"], after.gradient("input").values], 1)
    return found | {name: found[name] + after.gradient(name).values for name in after.problem.parameters}


@clause("C5", given=cases(packed=None, projection=None, batch_size=range(2, 6), **SHORT))
def test_gradients_of_a_batch_are_the_sums_of_those_of_its_rows(case, cell):
    problem = case.on(cell)
    loss = losses.loss(case, problem)
    for seen in differentiate(problem, loss):
        alone = of_rows(problem, loss, seen.route)
        if len(alone) == problem.batch_size:
            sums = {name: np.sum([one.gradient(name).values for one in alone], 0) for name in problem.parameters}
            assert_gradients_agree(seen, sums, "sum over the rows alone", sums, other=alone[0])


def of_rows(problem, loss, route):
    """The gradients of each row as a batch of its own; fewer where a call failed."""
    seen = []
    for row in range(problem.batch_size):
        alone = relations.row_alone(problem, row)
        seen += differentiate(alone, loss.rows([row], alone.steps), (route,))
    return seen


@clause(
    "G",
    given=cases(device="cpu", num_layers=2, batch_size=1, steps=1, bidirectional=False, dropout=False, unbatched=False),
)
def test_dropout_is_differentiated_with_the_mask_of_its_forward_pass(case, cell):
    problem = relations.with_active_dropout(case.on(cell))
    loss = losses.loss(case, problem)
    wanted = tuple(name for name in loss.wanted if name != "weight_ih_l1")
    for seen in differentiate(problem, replace(loss, wanted=wanted)):
        for shown in observe(relations.showing_the_mask(problem), (seen.route,)):
            kept = shown.output.values.reshape(-1) != 0
            masked = relations.with_masked_weights(problem, kept)
            assert_gradients_within(replace(seen, problem=masked), first=seen)
