"""Checks of life cycles: after each operation a module is its weights."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from conformance.clauses import AMBER, RED, TORCH_NN
from conformance.harness.checks import case_record
from conformance.harness.checks.bounds import allowed, from_cotangents
from conformance.harness.checks.values import (
    are_equal,
    assert_every,
    assert_fact,
    assert_returned,
    is_measured,
    number,
    parts_apart,
)
from conformance.harness.execution.lived import AfterOperation, Lived
from conformance.harness.execution.observation import INDEX, Differentiated, LabelledArray
from reference.formats import FORMATS
from reference.histories import blamed, lives
from reference.life import DIRECTION, MULTIPLE, ORTHOGONAL, Facts, Life, facts, wanted_gradients

ALL = np.s_[:]
FRESH = "a fresh module with these weights"

RESULTS, GRADIENTS, WEIGHTS, DOES = "other results", "other gradients", "other weights", "does otherwise"
MISSING = "parameters without a gradient"
"""The kinds of what is not as in a fresh module, beside exceptions and facts."""

FACTS = {
    "names": "names of its state_dict",
    "together": "parameters that are one tensor",
    "wanting": "parameters that want gradients",
    "in_training": "training mode",
}
"""Each fact in words."""


@dataclass(frozen=True)
class _Step:
    """What was seen after an operation, the life by then, and the operation that deviations are told of."""

    after: AfterOperation
    life: Life
    field: str

    @property
    def fresh(self) -> Differentiated:
        return self.after.fresh[0]

    def compare(
        self, kind: str, got: LabelledArray, wanted: LabelledArray, right: np.ndarray, severity: str = RED
    ) -> None:
        """Counts a comparison; its first wrong element is the finding."""
        assert_every(
            self.after,
            got,
            wanted.values,
            right,
            kind,
            lambda at: f"{FRESH}: {number(wanted.values[at])}",
            severity=severity,
            compared=(None, self.fresh),
            field=self.field,
        )


def _labelled(name: str, values: np.ndarray) -> LabelledArray:
    return LabelledArray.of(name, values, *INDEX[: values.ndim])


def assert_lived(seen: Lived) -> None:
    """After each operation results, gradients and facts are those of a fresh module with the weights of then."""
    found = lives(seen.problem, seen.history)
    for after in seen.after:
        life, until = found[after.place], zip(seen.history[: after.place + 1], found, strict=False)
        fails = after.failure is not None and after.failure.message.startswith(f"in {after.operation}:")
        field = f"after {blamed([name for name, done in until if done is not None], fails)}"
        assert life is not None, "an operation that does not apply is not done"
        case_record.current().checked(after, 1, 0.0, 0.0)  # that the operation is done and the call returns
        if not assert_returned(after, field):
            return
        step = _Step(after, life, field)
        if step.fresh.failure is not None or step.fresh.misshapen or after.misshapen:
            return  # of the call itself, which other clauses judge
        record, before = case_record.current(), len(case_record.current().findings)
        for check in (_assert_facts, _assert_weights, _assert_results, _assert_gradients):
            check(step)
            if len(record.findings) > before:
                return  # what comes after it follows from it


def _assert_facts(step: _Step) -> None:
    got, wanted = (_unordered(one, step.after.subject) for one in (step.after.facts_of, facts(step.life)))
    for one in fields(Facts):
        if one.name not in step.after.of_linear:
            assert_fact(step.after, step.field, FACTS[one.name], getattr(got, one.name), getattr(wanted, one.name))
    if step.after.told_by_linear and not _hooks_of_packed(step.after):
        assert_fact(step.after, step.field, DOES, step.after.told, step.after.told_by_linear)


def _unordered(told: Facts, subject: str) -> Facts:
    """The facts without the order of names, which binds torch.nn alone."""
    return told if subject == TORCH_NN else replace(told, names=tuple(sorted(told.names)))


def _hooks_of_packed(after: AfterOperation) -> bool:
    """Whether all that differs is that no backward hook is called for a packed sequence, whose tensors none sees."""
    if after.problem.lengths is None:
        return False
    wanted = [word for word in after.told_by_linear.split(", ") if not word.startswith("backward")]
    return after.told == ", ".join(wanted)


def _assert_weights(step: _Step) -> None:
    """Every weight is the one that it should be, or as the law says where an operation makes it in its own way."""
    for name, values in step.after.weights.items():
        got, wanted = _labelled(name, values), _labelled(name, step.life.weights[name])
        right = are_equal(got, wanted)
        if law := step.life.loose.get(name):
            right = right | LAWS[law](got.values, wanted.values, step.life.dtype)
        step.compare(WEIGHTS, got, wanted, right)


def _nearly(values: np.ndarray, wanted: np.ndarray, dtype: str) -> np.ndarray:
    """Whether each value is the wanted one up to the roundings of a norm; where that may overflow, anything is."""
    with np.errstate(all="ignore"):
        norm = np.sqrt((wanted**2).sum(tuple(range(1, wanted.ndim)), keepdims=True))
        roundings = 8 + int(np.prod(wanted.shape[1:]))
        near: np.ndarray = np.abs(values - wanted) <= roundings * FORMATS[dtype].unit_roundoff * np.abs(wanted)
    return near | ~((norm > 2.0**-6) & (norm < 2.0**6))


def _is_multiple(values: np.ndarray, wanted: np.ndarray, dtype: str) -> np.ndarray:
    """Whether each value is a multiple of the wanted one, the factor the same for all; where it is out of range,
    anything is."""
    largest = np.unravel_index(np.argmax(np.abs(wanted)), wanted.shape)
    with np.errstate(all="ignore"):
        factor = values[largest] / wanted[largest]
        near: np.ndarray = np.abs(values - factor * wanted) <= 8 * FORMATS[dtype].unit_roundoff * np.abs(values)
    in_range = 2.0**-6 < np.abs(wanted[largest]) < 2.0**6 and 2.0**-6 < abs(factor) < 2.0**6
    return near | ~np.asarray(in_range) | (np.abs(wanted) < 2.0**-6)


def _is_orthogonal(values: np.ndarray, wanted: np.ndarray, dtype: str) -> np.ndarray:
    """Whether the columns of a weight are orthogonal and of length 1, or its rows where it has fewer.

    Columns that are nearly dependent have no directions of their own, and are made into anything.
    """
    columns = values if values.shape[0] >= values.shape[1] else values.T
    lengths = np.linalg.svd(wanted, compute_uv=False)
    if not 2.0**-6 < lengths[-1] <= lengths[0] < 2.0**6:
        return np.full(values.shape, True)
    with np.errstate(all="ignore"):
        apart = np.abs(columns.T @ columns - np.eye(columns.shape[1]))
    near: np.ndarray = np.full(values.shape, (apart <= 64 * max(values.shape) * FORMATS[dtype].unit_roundoff).all())
    return near


LAWS = {DIRECTION: _nearly, MULTIPLE: _is_multiple, ORTHOGONAL: _is_orthogonal}
"""Of a weight that an operation makes in its own way: whether each value is as the law says."""


def _may_round_otherwise(life: Life) -> bool:
    """Whether a fresh module may make the same sums in another order.

    A weight known by its law may lie otherwise in memory. PyTorch makes a product with a weight that wants a gradient
    in one piece, and with another row by row (`should_fold` in ATen/native/LinearAlgebra.cpp); the fresh module has
    all of them frozen, or none.
    """
    return life.is_known_by_law or life.is_frozen_in_part


def _assert_results(step: _Step) -> None:
    for name, wanted in step.fresh.results.items():
        got, severity = step.after.results[name], RED
        right = are_equal(got, wanted)
        if not right.all() and (_may_round_otherwise(step.life) or not is_measured(step.fresh)):
            part = (name, ALL, ALL)
            apart = parts_apart(step.fresh, step.after, [part], allowed(step.fresh), count=False)
            severity = RED if apart else AMBER
            right = right | bool(_may_round_otherwise(step.life) and not apart)
        step.compare(RESULTS, got, wanted, right, severity)


def _assert_gradients(step: _Step) -> None:
    """Gradients reach the parameters that the user holds, summed up where one is behind several weights.

    Such sums may be made in any order: they keep within twice the bounds of their summands. Where a linear layer loses
    a parameter in the same history, nothing is asked of them.
    """
    if {"names", "wanting"} & set(step.after.of_linear):
        return
    life, seen = step.life, step.after.raw_gradients
    gradients = wanted_gradients(life, step.fresh.raw_gradients)
    missing = sorted(gradients.keys() - seen.keys())
    assert_fact(step.after, step.field, MISSING, missing, [])
    if missing:
        return
    for name, values in gradients.items():
        got, wanted = (_labelled(f"gradient of {name}", one) for one in (seen[name], values))
        right = are_equal(got, wanted)
        if not right.all() and (_may_round_otherwise(life) or not (life.is_plain and is_measured(step.fresh))):
            right = right | ~(np.abs(got.values - values) > _radius(step, name, values))  # NaN: the bound says nothing
        step.compare(GRADIENTS, got, wanted, right)


def _radius(step: _Step, name: str, wanted: np.ndarray) -> np.ndarray:
    """By how much two sums of the gradients of the weights that a parameter is behind may differ."""
    bounds = from_cotangents(step.fresh)
    behind = [(weight, held.factor) for weight, held in step.life.held.items() if held.name == name]
    radii = [np.asarray(bounds.of(one).radius, np.float64) * (0.0 if by is None else by) for one, by in behind]
    rounding = FORMATS[step.life.dtype].unit_roundoff * np.abs(wanted)
    radius: np.ndarray = 2 * sum(radii, np.zeros(wanted.shape)) + 2 * rounding
    return radius
