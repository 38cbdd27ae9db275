"""Scripts of facts: shapes, dtypes, devices, types, names, strides, reprs, warnings, and what a call changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from conformance.clauses import CLAUSES
from conformance.harness.checks.case_record import Found
from conformance.harness.execution.failure import MALFORMED, MISMATCHED
from conformance.harness.execution.observation import Observation, PackingObservation
from conformance.harness.execution.routes import CONSTRUCTOR, ROUTES
from conformance.harness.findings.recorder import Finding
from conformance.harness.reports.calls.bare_call import BareCall
from conformance.harness.reports.calls.memory_text import with_functions
from conformance.harness.reports.scripts.whole import DIFFER, rendered, sentence, title
from conformance.harness.reports.templating import code
from reference.problem import CELL_SUFFIX, LSTM, Architecture

FACTS = {
    "shape": "tuple({}.shape)",
    "type": "type({}).__name__",
    "dtype": 'str({}.dtype).replace("torch.", "")',
    "device": "{}.device.type",
}
"""Kinds of findings about one tensor, and the expression that gives the fact."""

PARAMETERS = "[(name, tuple(p.shape)) for name, p in module.named_parameters()]"
STRIDES = "[stride for size, stride in zip({0}.shape, {0}.stride()) if size > 1]"
KIND = "def kind(v): return tuple(map(kind, v)) if type(v) is tuple else type(v).__name__"


def fact(found: Found) -> str | None:
    """The script of a fact about a module, a call or what it returned that is not as documented."""
    finding, seen = found.finding, found.seen
    if isinstance(seen, PackingObservation):
        return None
    writers = (_of_tensor, _strides, _parameters, _structure, _repacked, _left_out_of_repr, _warned, _changed)
    lines = next((lines for write in writers if (lines := write(finding, seen)) is not None), None)
    if lines is None:
        return None
    return rendered(
        finding,
        "compared.py.j2",
        title=title(finding, seen, f"{finding.field}, {finding.kind}"),
        seen=[f"Documented: {sentence(CLAUSES[finding.clause].claim)}"],
        imports=["warnings"] if finding.field == "warnings" else [],
        **code(
            lines=with_functions(lines),
            differ="not all(text in got for text in expected)" if finding.field == "repr" else DIFFER,
        ),
    )


Writer = Callable[[Finding, Observation], list[str] | None]
"""Gives the lines of one kind of finding, and None for others."""


def _of_tensor(finding: Finding, seen: Observation) -> list[str] | None:
    call = BareCall.of_finding(finding, seen)
    if finding.kind not in FACTS or not finding.documented:
        return None
    if seen.route == CONSTRUCTOR:
        tensor = f"module.{finding.field}"
    elif finding.field in call.results():
        tensor = call.results()[finding.field]
    else:
        return None
    return [*call.lines(), f"expected = {finding.documented}", f"got = {FACTS[finding.kind].format(tensor)}"]


def _strides(finding: Finding, seen: Observation) -> list[str] | None:
    """Those of a tensor without numbers, beside those of the same call with numbers."""
    call = BareCall.of_finding(finding, seen)
    if finding.kind != "strides" or finding.field not in call.results():
        return None
    strides = STRIDES.format(call.results()[finding.field])
    real = replace(call, route="grad").lines()
    words = ROUTES[seen.route].words
    return [*real, f"expected = {strides}", f"# The same call with {words}", *call.lines(), f"got = {strides}"]


def _parameters(finding: Finding, seen: Observation) -> list[str] | None:
    if finding.kind not in ("names and shapes", MISMATCHED):
        return None
    documented = sorted(seen.problem.architecture.parameter_shapes().items())
    made = BareCall.of_finding(finding, seen, CONSTRUCTOR).lines()
    return [*made, f"expected = {documented}", f"got = sorted({PARAMETERS})"]


def _structure(finding: Finding, seen: Observation) -> list[str] | None:
    if finding.kind != MALFORMED:
        return None
    a, call = seen.problem.architecture, BareCall.of_finding(finding, seen)
    states = ("Tensor", "Tensor") if a.cell == LSTM else "Tensor"
    output = "Tensor" if seen.problem.lengths is None else "PackedSequence"
    expected = states if a.single_step else (output, states)
    return [KIND, *call.lines(call.call_line("result")), f"expected = {expected}", "got = kind(result)"]


def _repacked(finding: Finding, seen: Observation) -> list[str] | None:
    name = finding.kind.removeprefix("packed with another: ")
    if name == finding.kind:
        return None
    return [*BareCall.of_finding(finding, seen).lines(), f"expected = str(packed.{name})", f"got = str(out.{name})"]


def _left_out_of_repr(finding: Finding, seen: Observation) -> list[str] | None:
    name = finding.kind.removeprefix("leaves out: ")
    if finding.field != "repr" or name == finding.kind:
        return None
    shown = [_shown(seen.problem.architecture, name)]
    return [*BareCall.of_finding(finding, seen, CONSTRUCTOR).lines(), f"expected = {shown}", "got = repr(module)"]


def _shown(a: Architecture, name: str) -> str:
    """How a repr shows an argument."""
    if name == "nonlinearity":
        return "nonlinearity=relu" if a.name.endswith(CELL_SUFFIX) else name
    sizes = {"input_size": f"({a.input_size}, ", "hidden_size": f", {a.hidden_size}"}
    return sizes.get(name) or f"{name}={getattr(a, name)}"


def _warned(finding: Finding, seen: Observation) -> list[str] | None:
    if finding.field != "warnings":
        return None
    call = BareCall.of_finding(finding, seen)
    recorded = [
        "torch.set_warn_always(True)",
        "with warnings.catch_warnings(record=True) as caught:",
        '    warnings.simplefilter("always")',
        f"    {call.call_line()}",
    ]
    return [*call.lines(*recorded), "expected = []", "got = [str(warning.message) for warning in caught]"]


def _changed(finding: Finding, seen: Observation) -> list[str] | None:
    """A call that changes a tensor that it was given, a parameter, or the state of the random numbers."""
    name = finding.kind.removeprefix("changes: ")
    if finding.field != "call" or name == finding.kind:
        return None
    call = BareCall.of_finding(finding, seen)
    given = {"input": "x.data" if seen.problem.lengths is not None else "x", "h_0": "h_0", "c_0": "c_0"}
    held = "torch.get_rng_state()" if name == "random state" else given.get(name, f"module.{name}") + ".detach()"
    return [*call.lines(f"expected = {held}.tolist()", call.call_line()), f"got = {held}.tolist()"]
