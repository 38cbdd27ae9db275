"""Scripts of what is set around a call and should not matter."""

from __future__ import annotations

from conformance.harness.checks.case_record import Found
from conformance.harness.execution.observation import Differentiated
from conformance.harness.execution.requests.surroundings import SURROUNDINGS
from conformance.harness.reports.call_text import PARTS, Call, inside
from conformance.harness.reports.classes import Classes
from conformance.harness.reports.memory_text import functions
from conformance.harness.reports.settings import setting
from conformance.harness.reports.templating import code
from conformance.harness.reports.whole import rendered, title, where

HOOK = """\
done, leaf = [], torch.ones(1, requires_grad=True)
leaf.register_hook(lambda gradient: done.append(torch.enable_grad()(call)({given})))
leaf.sum().backward()
got = done[0]"""

THREAD = """\
with concurrent.futures.ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as pool:
    got = pool.submit(call, {given}).result()"""

FORK = """\
ours, theirs = multiprocessing.Pipe()
fork = multiprocessing.get_context("fork").Process(target=lambda: theirs.send(call({given})), daemon=True)
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
    """The script of a call that gives something else in other surroundings."""
    finding, seen = found.finding, found.seen
    name = finding.test.partition("[")[2].rstrip("]")
    if finding.clause != "E5" or name not in SURROUNDINGS or not isinstance(seen, Differentiated):
        return None
    call = Call(seen.problem, finding.route, classes=Classes.of(finding))
    module, arguments = call.module_lines(), call.tensor_lines()
    lines, words, imports = _around(name, seen.problem.dtype, module, f"module, {call.given()}")
    return rendered(
        finding,
        "surrounded.py.j2",
        title=title(finding, seen, f"it differs {words}"),
        seen=[f"{where(finding)}."],
        imports=imports,
        words=words,
        differentiable=SURROUNDINGS[name].differentiable,
        **code(
            literals=call.literals(),
            arguments=arguments,
            passed=call.given(),
            module=module,
            parts="\n\n".join(filter(None, (functions([*arguments, *module, *lines]), PARTS))).rstrip(),
            lines=lines,
            differ=_differ(found, SURROUNDINGS[name].exact),
        ),
    )


def _differ(found: Found, exact: bool) -> str:
    """When the two calls differ: by a bit, or by more than their two bounds together."""
    element = found.finding.element
    if exact or element is None:
        return "repr(got) != repr(expected)"
    allowed = f"{2 * element.allowed:.2g}"
    return f"isinstance(got, str) or not all(abs(a - b) <= {allowed} for a, b in zip(expected, got))"


def _around(name: str, dtype: str, module: list[str], given: str) -> tuple[list[str], str, list[str]]:
    """The lines that make a call in a surrounding, what they do in words, and what they import."""
    if name in BUILDING:
        return [*inside(BUILDING[name], module), f"got = call({given})"], f"built under {BUILDING[name]}", []
    if name in WAYS:
        lines, words, imports = WAYS[name]
        return lines.format(given=given).splitlines(), words, imports
    return setting(name, dtype).around([f"got = call({given})"]), f"with {name.replace('_', ' ')}", []
