"""Many models: every configuration once, with the modules that have it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

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

    def option(self, module: str) -> str:
        """The option that names the model of a module on a command line."""
        models = [one.modules[0][0] for one in self.configurations if one.name == module]
        return shlex.join(["--like", models[0]]) if models else ""

    @property
    def weights(self) -> Mapping[str, Weights]:
        """Real parameters by the name that a case line gives them."""
        return {one.weights.name: one.weights for one in self.configurations if one.weights is not None}

    def armed(self, case: Case) -> Case:
        """The case with the arrays of the weights that it names. Raises LikeError if they are not there."""
        if case.weights is None or case.weights.arrays:
            return case
        known = self.weights.get(case.weights.name)
        if known is None:
            there = f"; these have {', '.join(self.weights)}" if self.weights else ""
            name = case.weights.name
            raise LikeError(f"weights={name}: give the model that has it, as --like package.module:build{there}")
        return replace(case, weights=known)


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
    model = loading.model(source)
    arguments: tuple[Any, ...] | None = loading.example(source)
    found, left = modules_of(model, source, {} if arguments is None else recorded(model, arguments, source))
    if not found:
        others = f" ({left[0].name}: {left[0].reason})" if left else ""
        raise LikeError(f"{source}: the model has no nn.RNN, LSTM, GRU or Cell that can be tried{others}")
    return found, left


def merged(found: Sequence[Configuration]) -> list[Configuration]:
    """Each configuration once, in the order of the first; it keeps the first weights."""
    kept: dict[object, Configuration] = {}
    names = set[str]()
    for one in found:
        before = kept.get(one.key)
        if before is not None:
            kept[one.key] = replace(before, modules=(*before.modules, *one.modules))
            continue
        is_new = one.weights is not None and one.weights.name not in names
        names |= {one.weights.name} if one.weights is not None else set()
        kept[one.key] = one if is_new else replace(one, weights=None)
    return list(kept.values())
