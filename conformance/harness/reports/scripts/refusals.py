"""Scripts of invalid calls: made in a child process, which says whether they were refused."""

from __future__ import annotations

import re

from torch.nn.utils.rnn import PackedSequence

from conformance.harness.checks.case_record import Found
from conformance.harness.checks.refusals import (
    ACCEPTED,
    CHANGES,
    KEEPS,
    NOT_REFUSED,
    SPOILS,
    STATELESS,
    TAKEN_EMPTY,
    TAKEN_LATER,
)
from conformance.harness.execution.failure import KILLED, Failure
from conformance.harness.execution.inputs import inputs
from conformance.harness.execution.observation import Refused
from conformance.harness.execution.requests.invalid.call import spoilt_batch_sizes
from conformance.harness.execution.requests.invalid.construction import keywords
from conformance.harness.execution.requests.invalid.state import HOOKS, OF_CLASS, OF_TENSORS, RANDOM, SETTINGS
from conformance.harness.execution.requests.invalid.words import shapes
from conformance.harness.execution.requests.packing import Batch
from conformance.harness.findings.recorder import Finding
from conformance.harness.reports.calls.call_text import CONTEXTS, Call, first_result, inside
from conformance.harness.reports.calls.classes import Classes
from conformance.harness.reports.calls.no_script import NoScript
from conformance.harness.reports.calls.packing_call import name_of
from conformance.harness.reports.calls.spoilt_utility import UtilityText, with_batch_sizes
from conformance.harness.reports.scripts.endings import LIMIT_SECONDS, ends_so
from conformance.harness.reports.scripts.whole import rendered, sentence
from conformance.harness.reports.templating import code
from conformance.harness.reports.titles import invalid_and
from reference.invalid_calls import CONSTRUCTOR, Spoil, read
from reference.problem import LSTM
from strategies import parse

STATE = {
    **{name: name for name in SETTINGS},
    "the default device": "torch.empty(0).device",
    "the dtype of a product": "torch.mm(torch.ones(1, 1), torch.ones(1, 1)).dtype",
    "the flush of subnormals": "str(torch.tensor(1e-310, dtype=torch.float64).mul(1).item())",
    "the hooks of saved tensors": "torch.enable_grad()(lambda x: (x * x).grad_fn._saved_self is x)"
    "(torch.ones(1, requires_grad=True))",
    "warnings.filters": "str(warnings.filters)",
    RANDOM: f"{RANDOM}.tolist()",
    "module.training": "[one.training for one in module.modules()]",
    "module.state_dict()": "sorted(module.state_dict())",
}
"""What a refused call may leave changed, and the expression that tells it."""

IMPORTS = {KEEPS: ["gc", "subprocess", "weakref"], f"{CHANGES}warnings.filters": ["subprocess", "warnings"]}
"""What the scripts of a kind import, if not subprocess alone."""

TRIES = 5
"""How often a script makes a call that ended its process."""

NO_TENSOR = {"list": "{0}.tolist()", "array": "{0}.numpy()", "text": "'a text'", "nothing": "None"}
"""What stands in place of a tensor, as Python writes it."""


def refusal(found: Found) -> str | None:
    """The script of an invalid call that is not refused, or harms something."""
    finding, seen = found.finding, found.seen
    if not isinstance(seen, Refused):
        return None
    if not finding.case:
        raise NoScript("the call is not known")
    spoil = read(parse(finding.case)[0].spoil)
    lines = {CONSTRUCTOR: _of_constructor, "": _of_call}.get(spoil.called, _of_utility)
    title, constants, written = lines(found, spoil)
    shows, sound = _outcomes(finding)
    return rendered(
        finding,
        "refusal.py.j2",
        expected="an exception" if finding.kind == NOT_REFUSED else "a refusal that harms nothing",
        title=f"{title}: {invalid_and(found)}",
        seen=[sentence(finding.lines[0])],
        imports=IMPORTS.get(finding.kind, ["subprocess"]),
        limit=LIMIT_SECONDS,
        counts_made=any(SAYS_THAT_IT_CALLS in line for line in written),
        tries=TRIES if finding.failure is not None and finding.failure.ended_process else 0,
        **code(constants=constants, lines=written, shows=repr(shows), sound=repr(sound)),
    )


Written = tuple[str, list[str], list[str]]
"""What the call is of, in words; lines that name numbers; and lines that make the call."""


def _of_call(found: Found, spoil: Spoil) -> Written:
    finding, seen = found.finding, found.seen
    assert isinstance(seen, Refused)
    if seen.route not in CONTEXTS:
        raise NoScript("the call is not known")
    classes = Classes.of(finding)
    call = Call(seen.problem, seen.route, seen.manner, classes=classes)
    *before, valid = call.lines()
    spoilt, invalid = _spoilt(spoil, seen, valid)
    asked = _asked(finding.kind, valid, spoilt, invalid)
    if finding.kind == NOT_REFUSED and call.problem.lengths is not None and spoil.argument in ("h_0", "c_0"):
        asked = [*spoilt, *_padded(invalid), SAYS_THAT_IT_CALLS, invalid]
    lines = [*call.module_lines(), *before, *asked]
    title = f"{classes.described(seen.problem.architecture)}, {seen.problem.dtype}"
    return title, call.literals().splitlines(), inside(CONTEXTS[seen.route], lines)


def _padded(invalid: str) -> list[str]:
    """The lines that say what becomes of the same call with the padded input."""
    called = "module(" + invalid.partition("module(")[2].replace("packed", "x", 1)
    return [
        "try:",
        f"    {called}",
        "    print('with padded input: accepted', file=sys.stderr)",
        "except Exception as error:",
        "    print('with padded input: refused:', error, file=sys.stderr)",
    ]


def _of_constructor(found: Found, spoil: Spoil) -> Written:
    finding, seen = found.finding, found.seen
    architecture, classes = seen.problem.architecture, Classes.of(finding)
    written = {name: repr(value) for name, value in keywords(seen.problem, spoil).items()}
    if spoil.value == "nan":
        written[spoil.argument] = 'float("nan")'
    made = f"other = {classes.constructed(architecture).partition('(')[0]}({_listed(written)})"
    title = classes.described(architecture)
    if finding.kind == ACCEPTED:
        return title, [], [SAYS_THAT_IT_CALLS, made]
    call = Call(seen.problem, seen.route, seen.manner, classes=classes)
    *before, valid = call.lines()
    invalid = valid.replace("module(", "other.eval()(")
    lines = [*call.module_lines(), *before, *_asked(finding.kind, valid, [], made, invalid)]
    return title, call.literals().splitlines(), inside(CONTEXTS[seen.route], lines)


def _listed(written: dict[str, str]) -> str:
    """Arguments of a call by name, without those that are the defaults of every class."""
    usual = {"bias": "True", "num_layers": "1", "batch_first": "False", "bidirectional": "False", "device": "'cpu'"}
    usual |= {"dtype": "torch.float32", "nonlinearity": "'tanh'"}
    return ", ".join(f"{name}={value}" for name, value in written.items() if usual.get(name) != value)


def _of_utility(found: Found, spoil: Spoil) -> Written:
    """The lines of a call of a utility; what it was given is compared by its numbers."""
    problem, kind = found.seen.problem, found.finding.kind
    call = UtilityText(Batch(problem, problem.input), spoil)
    if kind.startswith(CHANGES):
        held = f"str({call.first})"
        lines = [
            *call.valid_lines(),
            *call.spoilt_lines(),
            f"before = {held}",
            *_attempt(call.invalid()),
            *_said(f"before == {held}", "unchanged", "changed"),
        ]
    elif kind == SPOILS:
        lines = [
            *call.valid_lines(),
            f"first = str({call.valid()})",
            *call.spoilt_lines(),
            *_attempt(call.invalid()),
            *call.valid_lines()[1:],
            f"second = str({call.valid()})",
            *_said("first == second", "the same result", "another result"),
        ]
    else:
        lines = [*call.valid_lines(), *call.spoilt_lines(), SAYS_THAT_IT_CALLS, call.invalid()]
    return name_of(spoil.called), [], lines


def _said(condition: str, where_it_holds: str, else_: str) -> list[str]:
    """The lines that say one of two things, and nothing after it."""
    return [f"return '{where_it_holds}' if {condition} else '{else_}'"]


def _attempt(*invalid: str) -> list[str]:
    return ["try:", *(f"    {line}" for line in invalid), "except Exception:", "    pass"]


SAYS_THAT_IT_CALLS = "call.made = True"
"""The line before an invalid call: what is raised before it is no refusal."""

RETURNED, RAISED = "returned", "the call raised"


def _outcomes(finding: Finding) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """How the child's words begin where the defect shows, and where it does not."""
    kind = finding.kind
    if kind == NOT_REFUSED:
        ended = _ends(finding.failure)
        gives_none = ended and finding.field.endswith("input.rows")  # no rows may give no results
        return (ended, (RAISED, RETURNED)) if gives_none else ((RETURNED, *(ended or ("killed by signal",))), (RAISED,))
    if kind in (ACCEPTED, TAKEN_EMPTY):
        return (RETURNED,), (RAISED,)
    if kind.startswith(CHANGES):
        return ("changed",), ("unchanged",)
    if kind in (SPOILS, STATELESS):
        return ("another result", "raised"), ("the same result",)
    if kind == TAKEN_LATER:
        return ("accepted",), ("refused",)
    if kind == KEEPS:
        return ("kept",), ("let go",)
    return (f"the call {kind}",), (RAISED, RETURNED)


def _ends(failure: Failure | None) -> tuple[str, ...]:
    """How the child's words begin where a call ended its process; by which signal hangs on what lies in memory."""
    if failure is None:
        return ()
    return ("killed by signal",) if failure.kind == KILLED else ends_so(failure)


def _asked(kind: str, valid: str, spoilt: list[str], *invalid: str) -> list[str]:
    """The lines that make the invalid call, and say what it left behind."""
    attempt = _attempt(*invalid)
    if kind.startswith(CHANGES):
        return _of_change(kind.removeprefix(CHANGES), "module(packed" in valid, spoilt, attempt)
    if kind == TAKEN_LATER:
        again = [
            "try:",
            *(f"    {line}" for line in invalid),
            "    return 'accepted'",
            "except Exception:",
            "    return 'refused'",
        ]
        return [*spoilt, *attempt, *again]
    if kind == STATELESS:
        alone = first_result(f" = module({'packed' if 'module(packed' in valid else 'x'})")
        asked = [f"first = {alone}", *spoilt, *attempt, f"second = {alone}"]
        return [*asked, *_said("torch.equal(first, second)", "the same result", "another result")]
    if kind == KEEPS:
        return _of_kept(valid, spoilt, attempt)
    if kind == SPOILS:
        kept = spoilt[0].partition(" = ")[0] if spoilt else ""
        return [
            *([f"kept = {kept}"] if kept else []),
            f"first = {first_result(valid)}",
            *spoilt,
            *attempt,
            *([f"{kept} = kept"] if kept else []),
            f"second = {first_result(valid)}",
            *_said("torch.equal(first, second)", "the same result", "another result"),
        ]
    return [*spoilt, SAYS_THAT_IT_CALLS, *invalid]


def _of_change(name: str, packed: bool, spoilt: list[str], attempt: list[str]) -> list[str]:
    """The lines that compare what is left of something with what was there before the call."""
    given = {"input": "packed.data" if packed else "x", "h_0": "h_0", "c_0": "c_0"}
    owner, _, last = name.rpartition(".")
    if name in STATE:
        told = STATE[name]
    elif last.endswith(HOOKS) or last in OF_TENSORS:
        told = f"str({given.get(owner, owner)}.{last})"
    elif name.startswith(("module.", OF_CLASS)):
        told = f"repr({name})"
    else:
        held = given.get(name, f"module.{name}")
        before, same = f"before = {held}.detach().clone()", f"torch.equal(before, {held})"
        return [*spoilt, before, *attempt, *_said(same, "unchanged", "changed")]
    return [*spoilt, f"before = {told}", *attempt, *_said(f"before == {told}", "unchanged", "changed")]


def _of_kept(valid: str, spoilt: list[str], attempt: list[str]) -> list[str]:
    """The lines that say whether the module keeps an argument of its own that it refused."""
    made = valid.partition(" = ")[2]
    names = [name for name in ("x", "packed", "h_0", "c_0") if re.search(rf"\b{name}\b", made)]
    kept = [*names, *(line.partition(" = ")[0] for line in spoilt if line.startswith("module."))]
    tensors = ["packed.data" if name == "packed" else name for name in names]
    copies = [f"{one}.clone()" if one in names else f"packed._replace(data={one}.clone())" for one in tensors]
    return [
        f"valid = [{', '.join(kept)}]",
        f"{', '.join(names)} = {', '.join(copies)}",
        *spoilt,
        f"given = [weakref.ref(one) for one in [{', '.join(tensors)}]]",
        *attempt,
        f"[{', '.join(kept)}] = valid",
        made,
        "gc.collect()",
        *_said("any(one() is not None for one in given)", "kept", "let go"),
    ]


def _spoilt(spoil: Spoil, seen: Refused, valid: str) -> tuple[list[str], str]:
    """The lines that spoil an argument, and the call that then is invalid."""
    if spoil.argument == "hx":
        return [], _with_states(valid, spoil, seen)
    if spoil.argument == "batch_sizes":
        packed = inputs(seen.problem).input
        assert isinstance(packed, PackedSequence)
        return [with_batch_sizes(spoilt_batch_sizes(packed.batch_sizes, spoil))], valid
    if spoil.argument in ("h_0", "c_0"):
        return [f"{spoil.argument} = {_expression(spoil, seen, spoil.argument)}"], valid
    if spoil.argument == "input":
        name = "packed.data" if seen.problem.lengths is not None else "x"
        is_tensor = spoil.aspect != "type"
        made = _expression(spoil, seen, name) if is_tensor else NO_TENSOR[spoil.value].format(name)
        return [f"packed = packed._replace(data={made})" if name != "x" else f"x = {made}"], valid
    made = _expression(spoil, seen, f"module.{seen.parameter}.detach()")
    return [f"module.{seen.parameter} = torch.nn.Parameter({made}, requires_grad=False)"], valid


def _expression(spoil: Spoil, seen: Refused, tensor: str) -> str:
    """A tensor that is wrong in one aspect, as Python writes it."""
    if spoil.aspect == "dtype":
        return f"{tensor}.to(torch.{spoil.dtype_in(seen.problem.dtype)})"
    if spoil.aspect == "device":
        return f"{tensor}.to({spoil.value!r})"
    shape, _ = shapes(seen.problem, inputs(seen.problem), spoil, seen.parameter)
    dtype = "" if seen.problem.dtype == "float32" else f", dtype=torch.{seen.problem.dtype}"
    return f"torch.ones({', '.join(map(str, shape)) or '()'}{dtype})"


def _with_states(valid: str, spoil: Spoil, seen: Refused) -> str:
    """The call with other initial states."""
    of_lstm = seen.problem.architecture.cell == LSTM
    states = "(h_0, c_0)" if of_lstm else "h_0"
    several = ["h_0", "c_0"] if of_lstm else ["h_0"]
    if spoil.aspect == "count":
        given = [*several, "h_0"] if spoil.by > 0 else several[:-1]
        return valid.replace(states, f"({', '.join(given)}{',' if len(given) == 1 else ''})")
    listed = f"[{', '.join(several)}]"
    made = {"tensor": f"torch.stack({listed})", "list": listed, "text": "'a text'"}[spoil.value]
    return valid.replace(f", {states})", f", {made})")
