"""Scripts of life cycles: what is done to a module, line by line, and a fresh module beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from conformance.harness.checks.case_record import Found
from conformance.harness.checks.lives import DOES, FACTS, GRADIENTS, MISSING, RESULTS, WEIGHTS
from conformance.harness.execution.failure import IN_BACKWARD, MALFORMED
from conformance.harness.execution.lived import AfterOperation
from conformance.harness.execution.requests.life.history import at_the_end
from conformance.harness.execution.requests.life.operations import NO_SUCH_DEVICE
from conformance.harness.findings.life_words import in_words
from conformance.harness.reports.calls.call_text import CONTEXTS, DOUBLED, Call, assigned, first_result, inside
from conformance.harness.reports.calls.classes import Classes
from conformance.harness.reports.calls.no_script import NoScript
from conformance.harness.reports.scripts import life_told
from conformance.harness.reports.scripts.endings import LIMIT_SECONDS, ends_so
from conformance.harness.reports.scripts.whole import rendered, sentence
from conformance.harness.reports.templating import code
from conformance.harness.reports.titles import where_in_life
from reference.histories import CONVERSIONS, STEP, lives
from reference.life import Life, facts
from reference.problem import Problem
from strategies import parse

TWICE = "torch.nn.Parameter(2 * module.{first}.detach())"
STATE_TWICE = "{{name: 2 * values for name, values in module.state_dict().items()}}"
RESTORED = "module.load_state_dict(state)"


def _doubled(way: str, module: str = "module") -> tuple[str, ...]:
    """Lines that double every parameter of a module."""
    return tuple(line.format(module) for line in DOUBLED[way])


def _apart(made: str) -> tuple[str, ...]:
    """Lines that go on with a copy, and change the module that it is from."""
    return (f"other, module = module, {made}", *_doubled("in place", "other"))


def _stepped(optimiser: str, options: str, sign: str = "") -> tuple[str, ...]:
    """Lines of an optimiser step from gradients that are the parameters themselves, or their negatives."""
    return (
        "for parameter in module.parameters():",
        f"    parameter.grad = {sign}parameter.detach().clone()",
        f"torch.optim.{optimiser}(module.parameters(), {options}).step()",
        "module.zero_grad()",
    )


TEXTS: Mapping[str, tuple[str, ...]] = {
    "forward": ("{call}",),
    "backward": ("{result}.sum().backward()",),
    "refused_call": (
        "for bad in ('a text', torch.cat([x, x[..., :1]], -1)):",
        "    try:",
        "        module(bad)",
        "    except Exception:",
        "        pass",
    ),
    "export": ("torch.export.export(module, {arguments})",),
    "state_dict": ("other = {fresh}", "other.load_state_dict(module.state_dict())", "module = other"),
    "deepcopy": _apart("copy.deepcopy(module)"),
    "pickle": _apart("pickle.loads(pickle.dumps(module))"),
    "copy": _apart("copy.copy(module)"),
    "step": _doubled("by an optimiser step"),
    "momentum_step": _stepped("SGD", "lr=1, momentum=0.5, foreach=True", "-"),
    "rprop_step": _stepped("Rprop", f"lr={STEP}"),
    "in_place": _doubled("in place"),
    "data": _doubled("through .data"),
    "load": (f"module.load_state_dict({STATE_TWICE})",),
    "load_assign": (f"module.load_state_dict({STATE_TWICE}, assign=True)",),
    "reset_parameters": (f"state = {STATE_TWICE}", "module.reset_parameters()", RESTORED),
    "to_empty": (f"state = {STATE_TWICE}", "module.to_empty(device='cpu')", RESTORED),
    "setattr": (f"module.{{first}} = {TWICE}",),
    "register_parameter": (
        f"new = {TWICE}",
        "del module.{first}",
        "module.register_parameter('{first}', new)",
    ),
    "register_after_to": (
        f"new = {TWICE}",
        "del module.{first}",
        "module.to(new.dtype)",
        "module.register_parameter('{first}', new)",
    ),
    "parameters_dict": (f"module._parameters['{{first}}'] = {TWICE}",),
    "train": ("module.train()",),
    "eval": ("module.eval()",),
    "freeze": ("module.requires_grad_(False)",),
    "unfreeze": ("module.requires_grad_(True)",),
    "freeze_first": ("module.{first}.requires_grad_(False)",),
    "freeze_second": ("list(module.parameters())[1].requires_grad_(False)",),
    "freeze_last": ("list(module.parameters())[-1].requires_grad_(False)",),
    "failed_to": ("try:", f"    module.to('{NO_SUCH_DEVICE}')", "except Exception:", "    pass"),
    "share_memory": ("module.share_memory()",),
    "flatten_parameters": ("module.flatten_parameters()",),
    "parametrize": (
        "class Twice(torch.nn.Module):",
        "    def forward(self, original):",
        "        return 2 * original",
        "torch.nn.utils.parametrize.register_parametrization(module, '{first}', Twice())",
    ),
    "weight_norm": ("torch.nn.utils.parametrizations.weight_norm(module, '{first}')",),
    "old_weight_norm": ("torch.nn.utils.weight_norm(module, '{first}')",),
    "remove_weight_norm": ("torch.nn.utils.remove_weight_norm(module, '{first}')",),
    "remove_parametrization": (
        "torch.nn.utils.parametrize.remove_parametrizations(module, '{first}', leave_parametrized=True)",
    ),
    "spectral_norm": (
        "torch.nn.utils.parametrizations.spectral_norm(module, '{first}', n_power_iterations=15)",
        "module.eval()",
    ),
    "old_spectral_norm": (
        "torch.nn.utils.spectral_norm(module, '{first}', n_power_iterations=15)",
        "module.eval()",
    ),
    "remove_spectral_norm": ("torch.nn.utils.remove_spectral_norm(module, '{first}')",),
    "prune": (
        "mask = torch.zeros_like(module.{first})",
        "mask.view(-1)[::2] = 1",
        "torch.nn.utils.prune.custom_from_mask(module, '{first}', mask)",
    ),
    "remove_pruning": ("torch.nn.utils.prune.remove(module, '{first}')",),
    "weight_drop": (
        "raw = module.{first}",
        "del module.{first}",
        "module.register_parameter('{first}_raw', torch.nn.Parameter(raw.detach(), raw.requires_grad))",
        "def drop(module, arguments):",
        "    module.{first} = 2 * module.{first}_raw",
        "drop(module, ())",
        "module.register_forward_pre_hook(drop)",
    ),
    "shared_with_another": (
        "other = {fresh}",
        "for name in WEIGHTS:",
        "    setattr(other, name, getattr(module, name))",
        *_doubled("in place", "other"),
    ),
    "functional_call": (
        "given = {{name: 2 * getattr(module, name).detach() for name in WEIGHTS}}",
        "torch.func.functional_call(module, given, {arguments})",
    ),
    "tie": ("module.{tied} = module.{other}",),
    "untie": ("module.{tied} = torch.nn.Parameter(2 * module.{tied}.detach())",),
    "state_dict_file": (
        "file = io.BytesIO()",
        "torch.save(module.state_dict(), file)",
        "file.seek(0)",
        "module = {fresh}",
        "module.load_state_dict(torch.load(file, weights_only=True))",
    ),
    "file": (
        "file = io.BytesIO()",
        "torch.save(module, file)",
        "file.seek(0)",
        "module = torch.load(file, weights_only=False)",
    ),
    "orthogonal": ("torch.nn.utils.parametrizations.orthogonal(module, '{first}')",),
    **{name: (f"module.to(torch.{dtype})",) for name, dtype in CONVERSIONS.items()},
}
"""The lines of each operation. {first}: the weight that it is about; {call}: a call of the module."""

RESULT = {RESULTS: "result", GRADIENTS: "gradient", MISSING: "gradient"}

IMPORTS = {
    "deepcopy": "copy",
    "copy": "copy",
    "pickle": "pickle",
    "export": "torch.export",
    **dict.fromkeys(("state_dict_file", "file"), "io"),
}
UTILITIES = {
    **dict.fromkeys(("parametrize", "remove_parametrization"), "torch.nn.utils.parametrize"),
    **dict.fromkeys(("prune", "remove_pruning"), "torch.nn.utils.prune"),
    **dict.fromkeys(("weight_norm", "spectral_norm", "orthogonal"), "torch.nn.utils.parametrizations"),
}

READ = {
    "names": ("got = list(module.state_dict())",),
    "wanting": (
        "named = module.named_parameters(remove_duplicate=False)",
        "got = sorted(name for name, one in named if one.requires_grad)",
    ),
    "together": (
        "named = list(module.named_parameters(remove_duplicate=False))",
        "groups = {tuple(sorted(name for name, one in named if one is other)) for _, other in named}",
        "got = sorted(list(group) for group in groups if len(group) > 1)",
    ),
    "in_training": ("got = module.training",),
}
"""The lines that read each fact."""


def life(found: Found) -> str | None:
    """The script of a module that is not its weights."""
    finding, seen = found.finding, found.seen
    if not isinstance(seen, AfterOperation):
        return None
    if not finding.case or seen.route not in CONTEXTS:
        raise NoScript("the call is not known")
    case, _ = parse(finding.case)
    problem = seen.begun or case.on(finding.cell)
    classes = Classes.of(finding)
    call = Call(problem, seen.route, seen.manner, classes=classes)
    history = case.history[: seen.place + 1]
    done = [name for name, after in zip(history, lives(problem, history), strict=True) if after is not None]
    *before, valid = call.lines()
    lines = [*call.module_lines(), *before, *_lived(found, call, valid, done, called_between=not at_the_end(case.pick))]
    failure = seen.failure if seen.failure is not None and seen.failure.kind != MALFORMED else None
    shows, sound = (ends_so(failure), ("returned",)) if failure is not None else (("another",), ("the same",))
    return rendered(
        finding,
        "refusal.py.j2",
        expected="what torch.nn.Linear does" if finding.kind == DOES else "what a fresh module with its weights gives",
        title=f"{classes.described(problem.architecture)}, {problem.dtype}: {finding.kind} {where_in_life(finding)}",
        seen=[sentence(finding.lines[0]), f"What is done to the module: {in_words(done, finding.cell)}."],
        imports=["subprocess", *sorted({one for name, one in (IMPORTS | UTILITIES).items() if name in done})],
        limit=LIMIT_SECONDS,
        tries=0,
        counts_made=False,
        **code(
            constants=call.literals().splitlines(),
            lines=inside(CONTEXTS[seen.route], lines),
            shows=repr(shows),
            sound=repr(sound),
        ),
    )


def _lived(found: Found, call: Call, valid: str, done: list[str], called_between: bool) -> Iterator[str]:
    """The lines of the operations, and of the question that the finding asks after the last of them."""
    seen, kind = found.seen, found.finding.kind
    assert isinstance(seen, AfterOperation)
    words = _words(call, valid)
    in_backward = seen.failure is not None and seen.failure.message.startswith(IN_BACKWARD)
    for name in done[:-1]:
        yield from _operation(name, call, words)
        if called_between:
            yield f"{words['result']}.sum().backward()" if in_backward else words["call"]
    last = list(_operation(done[-1], call, words, is_told=kind == DOES))
    if kind == DOES and seen.failure is None:
        yield from life_told.lines(seen, last, words)
        return
    yield from last
    if seen.failure is not None and seen.failure.kind == MALFORMED:
        yield f"result = {words['result']}"
        yield "kind = type(result).__name__"
        yield "return 'the same type' if kind == 'Tensor' else f'another type: {kind}'"
    elif seen.failure is not None:
        yield f"{words['result']}.sum().backward()"
    elif kind in (*FACTS.values(), WEIGHTS):
        yield from _read(kind, lives(call.problem, tuple(done)), valid)
    elif kind in (RESULTS, GRADIENTS, MISSING):
        yield from _compared(call, valid, done, kind)
    else:
        raise NoScript(f"none is written of {kind}")


def _words(call: Call, valid: str) -> dict[str, str]:
    """What the texts of operations need of a call."""
    made = valid.partition(" = ")[2] or valid
    arguments = made.partition("module(")[2].rpartition(")")[0]
    return {
        "first": next(iter(call.problem.parameters)),
        **_tied(call.problem),
        "call": made,
        "result": first_result(valid),
        "tensor": first_result(valid).removeprefix(made),
        "arguments": f"({arguments},)",
        "fresh": call.constructor(),
    }


def _operation(name: str, call: Call, words: dict[str, str], is_told: bool = False) -> Iterator[str]:
    """The lines of an operation; none where it is one of which only what it tells is of interest."""
    if is_told and name in life_told.ALONE:
        return
    if name not in TEXTS:
        raise NoScript(f"no script does {name}")
    yield from (line.format(**words) for line in TEXTS[name])
    if name in CONVERSIONS:
        problem = call.problem
        states = [name for name in ("h_0", "c_0") if getattr(problem, name) is not None]
        given = ["packed" if problem.lengths is not None else "x", *states]
        yield from (f"{one} = {one}.to(torch.{CONVERSIONS[name]})" for one in given)


def _tied(problem: Problem) -> dict[str, str]:
    """The weight that is tied, and the other one that it is tied to."""
    life = lives(problem, ("tie",))[0]
    return {} if life is None else dict(zip(("tied", "other"), next(iter(life.together.items())), strict=True))


def _read(kind: str, found: Sequence[Life | None], valid: str) -> Iterator[str]:
    """The lines that call the module, and compare what it says of itself, or its weights, with what is documented."""
    life = [one for one in found if one is not None][-1]
    yield valid
    if kind == WEIGHTS:
        known = [name for name in life.weights if name not in life.loose]
        yield from assigned("wanted", repr({name: life.weights[name].tolist() for name in known})).splitlines()
        yield "got = {name: getattr(module, name).tolist() for name in wanted}"
    else:
        (name,) = [name for name, words in FACTS.items() if words == kind]
        wanted = getattr(facts(life), name)
        plain = [list(one) if isinstance(one, tuple) else one for one in wanted] if name != "in_training" else wanted
        yield from assigned("wanted", repr(plain)).splitlines()
        yield from READ[name]
    what = "weights" if kind == WEIGHTS else kind
    yield f"return 'the same {what}' if got == wanted else f'another: {{got}}'"


def _compared(call: Call, valid: str, history: list[str], kind: str) -> Iterator[str]:
    """The lines that compare the module with a fresh one that has its weights."""
    dtype = next((CONVERSIONS[name] for name in reversed(history) if name in CONVERSIONS), "")
    yield f"fresh = {call.constructor()}" + (f".to(torch.{dtype})" if dtype else "")
    yield call.loaded("fresh", "{name: getattr(module, name).detach() for name in WEIGHTS}")
    first, second = first_result(valid).replace("module(", "fresh("), first_result(valid)
    if kind == RESULTS:
        yield f"first, second = {first}, {second}"
        yield "wrong = [] if torch.equal(first, second) else [first.tolist(), second.tolist()]"
    else:
        yield f"results = [one for one in ({first}, {second}) if one.requires_grad]"
        yield "torch.autograd.backward([one.sum() for one in results])"
        yield "grads = [(name, getattr(fresh, name).grad, getattr(module, name).grad) for name in WEIGHTS]"
        yield "wrong = [one for one in grads if one[1] is not None and (one[2] is None or not torch.equal(*one[1:]))]"
    what = RESULT[kind]
    yield f"return f'another {what}, of a fresh module and of this one: {{wrong}}' if wrong else 'the same {what}'"
