"""The sizes of the calls that a model makes of its recurrent modules in one forward pass."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from conformance.harness.foreign_text import piece, said_by
from conformance.harness.models.loading import EXAMPLE, LikeError
from strategies import Case

MOST_CALLS = 5
"""The most calls of other rows, steps or lengths that are kept of a module."""

NN_CLASSES = (torch.nn.RNNBase, torch.nn.RNNCellBase)


@dataclass(frozen=True)
class Recorded:
    """A call: rows, steps, the lengths of packed rows in the order of the batch, and whether it passes states."""

    rows: int
    steps: int
    lengths: tuple[int, ...] = ()
    states: bool = True
    unbatched: bool = False

    def on(self, case: Case) -> Case:
        """A module's case at the sizes of this call."""
        layout = [*([] if self.states else ["nohx"]), *(["unb"] if self.unbatched else [])]
        return replace(case, batch_size=self.rows, steps=self.steps, lengths=self.lengths, layout=tuple(layout))


def recorded(model: torch.nn.Module, arguments: tuple[Any, ...], source: str) -> dict[str, list[Recorded]]:
    """The distinct calls of each recurrent module in model(*arguments), by its name: a handful, the largest first.

    Raises LikeError.
    """
    seen: dict[str, list[Recorded]] = {}
    hooks = [
        module.register_forward_pre_hook(partial(_note, seen, name), with_kwargs=True)
        for name, module in model.named_modules()
        if isinstance(module, NN_CLASSES)
    ]
    was_training = model.training
    try:
        with torch.no_grad():
            model.eval()(*arguments)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        place = f"{piece(source.partition(':')[0])}:{EXAMPLE}"
        raise LikeError(
            f"{place}: the model raised {said_by(error, 160)}; return the arguments of its forward"
        ) from None
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return {name: _handful(calls) for name, calls in seen.items()}


def _handful(calls: list[Recorded]) -> list[Recorded]:
    """The distinct calls, or where there are many some from the largest to the smallest."""
    distinct = sorted(dict.fromkeys(calls), key=lambda call: (-call.rows * call.steps, call.lengths))
    if len(distinct) <= MOST_CALLS:
        return distinct
    last = len(distinct) - 1
    return [distinct[place * last // (MOST_CALLS - 1)] for place in range(MOST_CALLS)]


def _note(
    seen: dict[str, list[Recorded]], name: str, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    given = args[0] if args else kwargs["input"]
    states = (args[1] if len(args) > 1 else kwargs.get("hx")) is not None
    call = _call(module, given, states)
    if call.rows and call.steps:
        seen.setdefault(name, []).append(call)


def _call(module: Any, given: Any, states: bool) -> Recorded:
    """The sizes of one call."""
    if isinstance(given, torch.nn.utils.rnn.PackedSequence):
        lengths = torch.nn.utils.rnn.pad_packed_sequence(given)[1].tolist()
        return Recorded(len(lengths), max(lengths), tuple(lengths), states)
    sizes = tuple(given.shape)
    if isinstance(module, torch.nn.RNNCellBase):
        return Recorded(sizes[0] if len(sizes) == 2 else 1, 1, (), states, len(sizes) == 1)
    if len(sizes) == 2:
        return Recorded(1, sizes[0], (), states, True)
    rows, steps = sizes[:2] if module.batch_first else (sizes[1], sizes[0])
    return Recorded(rows, steps, (), states)
