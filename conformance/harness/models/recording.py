"""The sizes of the calls that a model makes of its recurrent modules in one forward pass."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from conformance.harness.findings.rendering import one_line
from conformance.harness.models.loading import EXAMPLE, LikeError
from strategies import Case

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


def recorded(model: torch.nn.Module, arguments: tuple[Any, ...], source: str) -> dict[str, Recorded]:
    """The largest call of each recurrent module in model(*arguments), by the module's name. Raises LikeError."""
    seen: dict[str, Recorded] = {}
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
        said = one_line(f"{type(error).__name__}: {error}", 160)
        place = f"{source.partition(':')[0]}:{EXAMPLE}"
        raise LikeError(f"{place}: the model raised {said}; return the arguments of its forward") from None
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return seen


def _note(seen: dict[str, Recorded], name: str, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    given = args[0] if args else kwargs["input"]
    states = (args[1] if len(args) > 1 else kwargs.get("hx")) is not None
    call = _call(module, given, states)
    before = seen.get(name)
    if call.rows and call.steps and (before is None or call.rows * call.steps > before.rows * before.steps):
        seen[name] = call


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
