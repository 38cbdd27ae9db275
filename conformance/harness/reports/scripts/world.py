"""Scripts of what is set around a call and should not matter."""

from __future__ import annotations

from dataclasses import dataclass, replace

from conformance.harness.checks.case_record import Found
from conformance.harness.execution.observation import Differentiated, Manner
from conformance.harness.execution.requests.surroundings import SURROUNDINGS
from conformance.harness.findings.recorder import Element, Finding
from conformance.harness.reports.calls.call_text import CONTEXTS, PARTS, Call, inside
from conformance.harness.reports.calls.loss_text import OF, Pass, leaf, loss_of, name_of
from conformance.harness.reports.calls.loss_text import got as gradient_of
from conformance.harness.reports.calls.memory_text import functions, laid_out
from conformance.harness.reports.calls.settings import setting
from conformance.harness.reports.scripts.whole import rendered, title, where
from conformance.harness.reports.templating import code

HOOK = """\
done, leaf = [], torch.ones(1, requires_grad=True)
leaf.register_hook(lambda gradient: done.append(torch.enable_grad()(call)(module)))
leaf.sum().backward()
got = done[0]"""

THREAD = """\
with concurrent.futures.ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as pool:
    got = pool.submit(call, module).result()"""

FORK = """\
ours, theirs = multiprocessing.Pipe()
fork = multiprocessing.get_context("fork").Process(target=lambda: theirs.send(call(module)), daemon=True)
fork.start()
theirs.close()
got = ours.recv() if ours.poll(20) else "nothing within 20 s\""""

WAYS = {
    "another_thread": (THREAD, "in another thread", ["concurrent.futures"]),
    "backward_hook": (HOOK, "inside a backward pass", []),
    "fork": (FORK, "in a forked process", ["multiprocessing"]),
}
"""Lines that make a call in another way, what they do in words, and what they import."""

BUILDING = {"construction_under_no_grad": "torch.no_grad()", "construction_in_inference_mode": "torch.inference_mode()"}
"""The context in which the module is built."""


def surrounded(found: Found) -> str | None:
    """The script of a call that gives something else in other surroundings: of the value that the finding names."""
    finding, seen = found.finding, found.seen
    name = finding.surrounding
    if finding.clause != "E5" or name not in SURROUNDINGS or not isinstance(seen, Differentiated):
        return None
    call = Call.of(finding, replace(seen, manner=Manner()), loss_of(seen).wanted)
    module, arguments = call.module_lines(), call.tensor_lines()
    lines, words, imports = _around(name, seen.problem.dtype, module)
    cotangents, value = _cotangents(call, seen), _value(call, finding)
    made = inside(CONTEXTS[call.route], [f"{call.returned()} = {call.called()}", *cotangents.after, f"value = {value}"])
    defined = functions([*arguments, *module, *cotangents.before, *lines])
    element = finding.element
    return rendered(
        finding,
        "surrounded.py.j2",
        title=title(finding, replace(seen, manner=Manner()), f"{element.name if element else 'it'} differs {words}"),
        seen=[f"{where(finding)}."],
        imports=imports,
        what=where(finding),
        words=words,
        **code(
            literals="\n".join(filter(None, (call.literals(), cotangents.literals))),
            parts="\n\n".join(filter(None, (defined, "" if element else PARTS))).rstrip(),
            made=made,
            arguments=[*arguments, *module, *cotangents.before],
            again=call.packed_again(),
            lines=lines,
            **_differ(element, finding.kind == "outside its bound"),
        ),
    )


@dataclass(frozen=True)
class _Cotangents:
    """Those of a loss: the literals, the lines that make tensors of them, and those that differentiate a call."""

    literals: str = ""
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


def _cotangents(call: Call, seen: Differentiated) -> _Cotangents:
    """The loss of the call; nothing where nothing requires a gradient. Its tensors are not made in the surrounding."""
    one = Pass(call, loss_of(seen))
    if not one.loss.wanted:
        return _Cotangents()
    made = laid_out(f"torch.tensor(values, dtype=torch.{seen.problem.dtype})", one.loss.memory, None)
    names, results = ", ".join(one.names().values()), ", ".join(one.results().values())
    cleared = [name for name in one.loss.wanted if name not in seen.problem.parameters]
    before = f"cotangents = [{made} for values in ({names},)]"
    tensors = ", ".join([*(leaf(call, name) for name in cleared), "*module.parameters()"])
    emptied = (f"for tensor in ({tensors},):", "    tensor.grad = None")
    return _Cotangents(one.literals(), (before,), (*emptied, f"torch.autograd.backward([{results}], cotangents)"))


def _value(call: Call, finding: Finding) -> str:
    """The expression that gives what is compared."""
    element = finding.element
    if element is not None and element.name.startswith(OF):
        return gradient_of(call, name_of(element.name), element.where, may_be_none=True)
    if element is not None:
        return f"{call.got(element.name, element.where)}.item()"
    if finding.field == "gradient":
        return f"{leaf(call, finding.kind.rpartition(': ')[2])}.grad is None"
    return f"[(t.dtype, t.shape) for t in parts([{call.returned()}])]"


def _differ(element: Element | None, bounded: bool) -> dict[str, str]:
    """When the two calls differ: in a bit, by more than is allowed, or only one of them from what is documented."""
    if element is None:
        return {"differ": "got != expected"}
    if bounded:
        within = "allowed[0] <= {0} <= allowed[1]"
        differ = f"{within.format('expected')} and (isinstance(got, str) or not {within.format('got')})"
        return {
            "differ": differ,
            "allowed": f"{element.wanted - element.allowed!r}, {element.wanted + element.allowed!r}",
        }
    if element.allowed:
        return {"differ": f"isinstance(got, str) or not abs(got - expected) <= {element.allowed:.2g}"}
    return {"differ": "not (got == expected or (got != got and expected != expected))"}


def _around(name: str, dtype: str, module: list[str]) -> tuple[list[str], str, list[str]]:
    """The lines that make a call in a surrounding, what they do in words, and what they import."""
    if name in BUILDING:
        return [*inside(BUILDING[name], module), "got = call(module)"], f"built under {BUILDING[name]}", []
    if name in WAYS:
        lines, words, imports = WAYS[name]
        return lines.splitlines(), words, imports
    return setting(name, dtype).around(["got = call(module)"]), f"with {name.replace('_', ' ')}", []
