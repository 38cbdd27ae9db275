"""Scripts of gradients of a call with dropout: the mask is read off a call that shows it."""

from __future__ import annotations

from conformance.harness.execution.module_call import MASK_SEED
from conformance.harness.execution.observation import Differentiated
from conformance.harness.findings.recorder import Finding
from conformance.harness.reports.calls.call_text import Call
from conformance.harness.reports.calls.classes import Classes
from conformance.harness.reports.calls.loss_text import loss_of
from reference.problem import GATES

SEED = f"torch.manual_seed({MASK_SEED})"
"""The line before each call."""

MASKED = "weight_ih_l1"
"""The equations of the script have no dropout: the mask is in these weights."""


def shown_mask(call: Call) -> list[str]:
    """Lines that make `MASK`: by what dropout multiplies what layer 0 hands to layer 1, from the seed of the call."""
    a, module = call.problem.architecture, call.name("module")
    dtype = "" if call.problem.dtype == "float32" else f", dtype=torch.{call.problem.dtype}"
    eye = f"torch.eye({a.hidden_size}{dtype}).repeat({len(GATES[a.cell])}, 1)"
    shown = f"torch.func.functional_call({module}, shows, (torch.ones(1, 1, {a.input_size}{dtype}),))[0]"
    return [
        f"shows = {{name: 0 * values for name, values in {module}.state_dict().items()}}",
        f'shows |= {{"weight_ih_l0": shows["weight_ih_l0"] + 1, "{MASKED}": {eye}}}',
        SEED,
        f"MASK = [2.0 * (v != 0) for v in {shown}.flatten().tolist()]",
    ]


def call_of(finding: Finding, seen: Differentiated) -> Call:
    """The call as it was made, with every gradient asked for."""
    names = tuple(dict.fromkeys((*loss_of(seen).wanted, *seen.problem.parameters)))
    return Call(seen.problem, seen.route, seen.manner, names, Classes.of(finding))


def masked() -> list[str]:
    """The lines that put the mask into the weights of the equations."""
    weights = f'WEIGHTS["{MASKED}"]'
    return [f"{weights} = [[w * m for w, m in zip(row, MASK)] for row in {weights}]"]
