"""Scripts of derivatives other than one backward pass: APIs that are refused, and second derivatives."""

from __future__ import annotations

from conformance.harness.checks.case_record import Found
from conformance.harness.execution.observation import DifferentiatedByApi, GradgradChecked
from conformance.harness.execution.requests import autograd_apis
from conformance.harness.reports.calls.bare_call import BareCall
from conformance.harness.reports.calls.call_text import PARTS
from conformance.harness.reports.calls.memory_text import with_functions
from conformance.harness.reports.calls.no_script import NoScript
from conformance.harness.reports.scripts.whole import DIFFER, rendered, sentence, title
from conformance.harness.reports.templating import RAISED, code

FORWARD_AD = "torch.autograd.forward_ad"

APIS = {
    autograd_apis.DOUBLE_BACKWARD: (
        "(first,) = torch.autograd.grad(results(leaf)[0].sum(), leaf, create_graph=True)",
        "first.sum().backward()",
    ),
    autograd_apis.FORWARD_MODE: (
        f"with {FORWARD_AD}.dual_level():",
        f"    results({FORWARD_AD}.make_dual(leaf.detach(), torch.ones_like(leaf)))",
    ),
    autograd_apis.FUNC_IN_REVERSE: ("torch.func.grad(lambda leaf: results(leaf)[0].sum())(leaf.detach())",),
    autograd_apis.JACFWD: ("torch.func.jacfwd(lambda leaf: results(leaf)[0])(leaf.detach())",),
    autograd_apis.HOOK: (
        "handed = []",
        "module.register_full_backward_hook(lambda module, given, returned: handed.append(given))",
        "results(leaf)[0].sum().backward()",
        'assert handed, "the hook was not called"',
    ),
    autograd_apis.CHECKPOINT: (
        "from torch.utils.checkpoint import checkpoint",
        "checkpoint(results, leaf, use_reentrant=False)[0].sum().backward()",
    ),
    autograd_apis.BATCHED: (
        "result = results(leaf)[0]",
        "torch.autograd.grad(result, leaf, torch.ones_like(torch.stack([result, result])), is_grads_batched=True)",
    ),
    autograd_apis.OUTPUT_IN_PLACE: ("result = results(leaf)[0]", "result.mul_(2)", "result.sum().backward()"),
    autograd_apis.STATES_IN_PLACE: ("result = results(leaf)[-1]", "result.mul_(2)", "result.sum().backward()"),
}
"""Lines that differentiate `results` by `leaf`, for each API that a few lines do."""

RESULTS = ("def results(leaf):", "    return parts(module(*given(leaf)))")

CHECK = (
    "def function(leaf, *parameters):",
    "    named = dict(zip(dict(module.named_parameters()), parameters))",
    "    return tuple(parts(torch.func.functional_call(module, named, given(leaf))))",
    "torch.autograd.gradgradcheck(function, [leaf, *(p.detach().requires_grad_() for p in module.parameters())])",
)
"""Lines that check second derivatives by an input and every parameter, beside difference quotients."""


def derivative(found: Found) -> str | None:
    """The script of an API that is refused, or of second derivatives that are wrong or missing."""
    finding, seen = found.finding, found.seen
    checked = isinstance(seen, GradgradChecked) and seen.failure is None
    if not checked and not (isinstance(seen, DifferentiatedByApi) and finding.kind.startswith("refused")):
        return None
    if not checked and finding.field not in APIS:
        raise NoScript(f"{finding.field} take more than a few lines")
    call = BareCall.of_finding(finding, seen, finding.route)
    is_packed = seen.problem.lengths is not None
    lines = [
        *with_functions([*call.module(), *call.arguments()]),
        f"leaf = {'packed.data' if is_packed else 'x'}.clone().requires_grad_()",
    ]
    given = call.given("packed._replace(data=leaf)" if is_packed else "leaf")
    function = ["def given(leaf):", f"    return ({given},)", "", "", *PARTS.rstrip().splitlines(), "", "", *RESULTS]
    attempt = call.within(_attempt(CHECK if checked else APIS[finding.field]))
    return rendered(
        finding,
        "compared.py.j2",
        title=title(finding, seen, f"{finding.field}, {finding.kind}"),
        seen=[sentence(finding.lines[-1])],
        **code(lines=[*lines, "", "", *function, "", "", *attempt], differ=DIFFER),
    )


def _attempt(lines: tuple[str, ...]) -> list[str]:
    """Lines that should work, and what comes of it."""
    return [
        'expected = got = "it works"',
        "try:",
        *(f"    {line}" for line in lines),
        "except Exception as error:",
        f"    got = {RAISED}",
    ]
