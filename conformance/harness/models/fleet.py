"""Many models: every configuration once, with the modules that have it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from conformance.harness.foreign_text import one_line, piece
from conformance.harness.models import inventory, loading
from conformance.harness.models.loading import LikeError
from conformance.harness.models.modules import LeftOut, modules_of
from conformance.harness.models.recording import recorded
from strategies import Case
from strategies.configurations import Configuration
from strategies.weights import Weights


@dataclass(frozen=True)
class Fleet:
    """The models of a run.

    sources         as the command line names them
    configurations  each once; the modules that have it name their models
    left_out        modules that are not tried, and notes on some that are
    """

    sources: tuple[str, ...] = ()
    configurations: tuple[Configuration, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    def option(self, module: str, weights: Weights | None = None) -> str:
        """The option that names the model of a module, or that whose weights these are, on a command line."""
        models = [one.modules[0][0] for one in self.configurations if one.name == module]
        models = [weights.model] if weights is not None and weights.model else models
        return shlex.join(["--like", models[0]]) if models else ""

    @property
    def weights(self) -> Mapping[str, Weights]:
        """Real parameters by the name that a case line gives them, and with their model before it."""
        every = [weights for one in self.configurations for weights in one.every_weights]
        return {_with_model(one).name: one for one in every} | {one.name: one for one in every}

    def armed(self, case: Case) -> Case:
        """The case with the arrays of the weights that it names. Raises LikeError if they are not there."""
        if case.weights is None or case.weights.arrays:
            return case
        known = self.weights.get(case.weights.name)
        if known is None:
            there = f"; these have {', '.join(self.weights)}" if self.weights else ""
            name = case.weights.name
            raise LikeError(f"weights={name}: give the model that has it, as --like package.module:build{there}")
        return replace(case, weights=replace(known, name=case.weights.name))


def fleet(sources: Sequence[str]) -> Fleet:
    """The configurations of all models and inventories. Raises LikeError."""
    found, left = list[Configuration](), list[LeftOut]()
    for source in sources:
        more, notes = of_source(source)
        found, left = found + more, left + notes
    several = len(set(sources)) > 1
    return Fleet(tuple(sources), tuple(replace(one, several=several) for one in merged(found)), tuple(left))


def of_source(source: str) -> tuple[list[Configuration], list[LeftOut]]:
    """The configurations of one model or inventory, and what is said of modules. Raises LikeError."""
    if source.endswith(inventory.SUFFIX):
        return inventory.read(Path(source)), []
    with loading.limited(source):
        model = loading.model(source)
        arguments: tuple[Any, ...] | None = loading.example(source)
        calls = {} if arguments is None else recorded(model, arguments, source)
    found, left = modules_of(model, source, calls)
    if not found:
        others = f" ({piece(left[0].name)}: {one_line(left[0].reason)})" if left else ""
        raise LikeError(f"{piece(source)}: the model has no nn.RNN, LSTM, GRU or Cell that can be tried{others}")
    return found, left


def merged(found: Sequence[Configuration]) -> list[Configuration]:
    """Each configuration once, in the order of the first, with the weights of all that have it, equal ones once."""
    kept: dict[object, Configuration] = {}
    names = set[str]()
    for one in found:
        if one.weights is not None:
            one = replace(one, weights=_with_model(one.weights) if one.weights.name in names else one.weights)
            names.add(one.weights.name)  # type: ignore[union-attr]
        before = kept.get(one.key)
        kept[one.key] = one if before is None else _joined(before, one)
    return list(kept.values())


def _joined(before: Configuration, one: Configuration) -> Configuration:
    """A configuration that more modules have."""
    joined = replace(before, modules=(*before.modules, *one.modules))
    if one.weights is None or any(_are_equal(one.weights, other) for other in before.every_weights):
        return joined
    if before.weights is None:
        return replace(joined, weights=one.weights)
    return replace(joined, others=(*before.others, one.weights))


def _are_equal(one: Weights, other: Weights) -> bool:
    names = one.arrays.keys()
    return names == other.arrays.keys() and all(np.array_equal(one.arrays[name], other.arrays[name]) for name in names)


def _with_model(weights: Weights) -> Weights:
    """The weights under a name that no module of another model has."""
    return replace(weights, name=f"{weights.model}:{weights.name}") if weights.model else weights
