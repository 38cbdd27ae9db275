"""The request that calls a constructor with one argument spoilt, between two valid calls of another module."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from conformance.harness.execution import tensors
from conformance.harness.execution.failure import Failure
from conformance.harness.execution.module_call import call_module, guarded_call, masks_repeatable
from conformance.harness.execution.observation import Refused
from conformance.harness.execution.requests.invalid.harm import contents, difference, tensors_of, values_of
from conformance.harness.execution.requests.invalid.state import OF_CLASS, RANDOM, changes, restore, state
from conformance.harness.execution.requests.module_request import Begun, ModuleCall, plain
from conformance.harness.execution.routes import CONSTRUCTOR
from conformance.harness.execution.subject import arguments
from reference.invalid_calls import Spoil, read
from reference.problem import Problem

VALUES: Mapping[str, Any] = {
    "0": 0,
    "-1": -1,
    "1.5": 1.5,
    "-0.5": -0.5,
    "true": True,
    "text": "a text",
    "nothing": None,
    "huge": 2**62,
    "nan": float("nan"),
    "sigmoid": "sigmoid",
    "int64": torch.int64,
}
"""What may stand for an argument; hidden_size stands for the problem's own."""

WITHOUT_A_READING = ("-1", "text", "nothing", "huge", "sigmoid")
"""Values from which no size and no function can be read."""

READ_FROM_ANYTHING = ("bias", "batch_first", "bidirectional", "dropout")
"""Arguments of which Python reads a truth value, and one that a module in evaluation does not use."""


def valid_keywords(problem: Problem) -> dict[str, Any]:
    """The arguments of the constructor."""
    return {**arguments(problem.architecture), "device": problem.device, "dtype": tensors.DTYPES[problem.dtype]}


def keywords(problem: Problem, spoil: Spoil) -> dict[str, Any]:
    """The arguments of the constructor, one of them spoilt."""
    value = problem.architecture.hidden_size if spoil.value == "hidden_size" else VALUES[spoil.value]
    return {**valid_keywords(problem), spoil.argument: value}


@dataclass(frozen=True, eq=False)
class ConstructInvalidly(ModuleCall[Refused]):
    """Call a module, construct another with one argument spoilt, and call the first as before."""

    spoil: str = field(kw_only=True)
    result = Refused

    def called(self, begun: Begun[Refused]) -> Refused:
        with masks_repeatable(self.problem), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self._called(begun)

    def _called(self, begun: Begun[Refused]) -> Refused:
        before, _ = begun.call()
        if before.failure is not None:
            return before
        spoil, seen = read(self.spoil), replace(before, raw={}, facts={}, warnings=())
        held, begin = contents(dict(begun.module.named_parameters())), state(begun.module)
        construct = begun.modules.subject.classes[self.problem.architecture.name]
        try:
            made = guarded_call(
                self.problem.case, CONSTRUCTOR, lambda: construct(**keywords(self.problem, spoil)).train(False)
            )
        except Exception as error:  # the subject's own, whatever it is
            seen = replace(seen, refusal=Failure.raised(error))
        else:
            seen = self._of_a_call(begun, made, spoil, seen)
        left = changes(begin, state(begun.module))
        left = tuple(name for name in left if name != RANDOM and not name.startswith(OF_CLASS))  # they draw, and count
        restore(begin, left)
        changed = changes(held, contents(dict(begun.module.named_parameters()))) + left
        after, _ = call_module(begun.module, begun.given, plain(before))
        return replace(seen, changed=changed, works_after=difference(before.raw, after.raw, after.failure))

    def _of_a_call(self, begun: Begun[Refused], made: torch.nn.Module, spoil: Spoil, seen: Refused) -> Refused:
        """What the valid arguments give in a call of the module that was accepted."""
        try:
            returned = guarded_call(self.problem.case, begun.blank.route, lambda: made(*begun.given.arguments()))
        except Exception as error:  # the subject's own, whatever it is
            return replace(seen, later=Failure.raised(error))
        seen = replace(seen, returned=values_of(list(tensors_of(returned))))
        if spoil.value not in WITHOUT_A_READING or spoil.argument in READ_FROM_ANYTHING:
            return seen
        shown = repr(keywords(self.problem, spoil)[spoil.argument])
        return replace(
            seen, nonsense=f"a call of the module returns numbers, whatever {spoil.argument}={shown} may mean"
        )
