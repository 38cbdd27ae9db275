"""The routes on which a call can be executed: one table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

EAGER, GRADIENT_MODES, UNREAL = "eager", "gradient modes", "unreal"
"""Groups of routes: those of the main job; other settings of what requires a gradient; tensors without values."""


@dataclass(frozen=True)
class Route:
    """One way to execute a call.

    name            as in `--route` and in findings
    group           EAGER, GRADIENT_MODES or UNREAL
    settings        makes the context in which modules are built and called
    words           what a finding says of it, in a few words
    differentiable  whether gradients can be asked for
    uses_onednn     whether oneDNN may be reached
    frozen          parameters require no gradient
    input_gradient  inputs and states require a gradient
    device          where modules and tensors are made, if not on the problem's device
    """

    name: str
    group: str
    settings: Callable[[], AbstractContextManager[Any]] = nullcontext
    words: str = ""
    differentiable: bool = False
    uses_onednn: bool = True
    frozen: bool = False
    input_gradient: bool = False
    device: str = ""

    @property
    def has_values(self) -> bool:
        return self.group != UNREAL

    @property
    def requires_gradient(self) -> bool:
        """Whether something requires a gradient in a call whose results are read."""
        return self.has_values and (self.differentiable or self.input_gradient)


@contextmanager
def _mkldnn_off() -> Iterator[None]:
    """The flag alone: torch.backends.mkldnn.flags also sets a TF32 flag, which warns on 2.13."""
    before = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(before)


def _fake_mode() -> Any:
    from torch._subclasses.fake_tensor import FakeTensorMode

    return FakeTensorMode()


ROUTES = {
    route.name: route
    for route in (
        Route("grad", EAGER, words="grad on", differentiable=True),
        Route("no_grad", EAGER, torch.no_grad, words="under no_grad"),
        Route("no_mkldnn", EAGER, _mkldnn_off, words="oneDNN off", differentiable=True, uses_onednn=False),
        Route("inference_mode", GRADIENT_MODES, torch.inference_mode, words="under inference_mode"),
        Route("frozen", GRADIENT_MODES, words="parameters frozen", frozen=True),
        Route("input_grad", GRADIENT_MODES, words="inputs require grad", input_gradient=True),
        Route("meta", UNREAL, words="meta tensors", device="meta"),
        Route("fake", UNREAL, _fake_mode, words="fake tensors"),
    )
}
"""Every route by its name."""

CONSTRUCTOR = "constructor"
"""The route of modules that are built and never called."""

PACKING = "packing"
"""The route of calls of the packing utilities."""


def named(group: str) -> tuple[str, ...]:
    """The names of the routes of a group, in the table's order."""
    return tuple(route.name for route in ROUTES.values() if route.group == group)


EAGER_ROUTES, GRAD_ROUTES, UNREAL_ROUTES = named(EAGER), named(GRADIENT_MODES), named(UNREAL)
BACKWARD_ROUTES = tuple(name for name in EAGER_ROUTES if ROUTES[name].differentiable)
