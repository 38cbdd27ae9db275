"""Scripts of what is set around a call and should not matter."""

from __future__ import annotations

from conformance.harness.checks.case_record import Found
from conformance.harness.execution.observation import Differentiated
from conformance.harness.execution.requests.surroundings import SURROUNDINGS
from conformance.harness.findings.rendering import constructor, one_line
from conformance.harness.reports.call_text import ENVIRONMENT, PARTS, Call
from conformance.harness.reports.settings import SETTINGS

HOOK = [
    "done = []",
    "leaf = torch.ones(1, requires_grad=True)",
    "leaf.register_hook(lambda gradient: done.append(torch.enable_grad()(call)(module, *given)))",
    "leaf.sum().backward()",
    "return done[0]",
]

THREAD = [
    "with concurrent.futures.ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as pool:",
    "    return pool.submit(call, module, *given).result()",
]

FORK = [
    "reading, writing = os.pipe()",
    "if not (pid := os.fork()):",
    "    try:",
    "        signal.alarm(20)",
    "        os.write(writing, repr(call(module, *given)).encode())",
    "    finally:",
    "        os._exit(0)",
    "os.close(writing)",
    "os.waitpid(pid, 0)",
    'return eval(os.fdopen(reading).read() or "None", {"nan": float("nan"), "inf": float("inf")})',
]

WAYS = {
    "another_thread": (THREAD, "in another thread", ["concurrent.futures"]),
    "backward_hook": (HOOK, "inside a backward pass", []),
    "fork": (FORK, "in a forked process", ["os", "signal"]),
}
"""Lines that make the call in another way, what they do in words, and what they import."""

BUILDING = {"construction_under_no_grad": "torch.no_grad()", "construction_in_inference_mode": "torch.inference_mode()"}
"""The context in which the module is built."""


def surrounded(found: Found) -> str | None:
    """The script of a call that gives something else in other surroundings."""
    finding, seen = found.finding, found.seen
    name = finding.test.partition("[")[2].rstrip("]")
    if finding.clause != "E5" or name not in SURROUNDINGS or not isinstance(seen, Differentiated):
        return None
    lines, words, imports = _around(name)
    element = finding.element
    return ENVIRONMENT.get_template("surrounded.py.j2").render(
        **Call(seen.problem, finding.route).fields(),
        title=f"{constructor(seen.problem.architecture)}, {seen.problem.dtype}: it differs {words}",
        seen=f"{one_line(finding.lines[0])}.",
        imports=imports,
        parts=PARTS.rstrip(),
        lines=lines,
        words=words,
        differentiable=SURROUNDINGS[name].differentiable,
        allowed="0" if element is None or SURROUNDINGS[name].exact else f"{2 * element.allowed:.2g}",
    )


def _around(name: str) -> tuple[list[str], str, list[str]]:
    """The lines that make the call in a surrounding, what they do in words, and what they import."""
    if name in BUILDING:
        lines = [f"with {BUILDING[name]}:", "    module = make()"]
        if not SURROUNDINGS[name].differentiable:
            lines = [*lines, "with torch.no_grad():", "    return call(module, *given)"]
            return lines, f"built under {BUILDING[name]}", []
        lines += ["for parameter in module.parameters():", "    parameter.requires_grad_()"]
        return [*lines, "return call(module, *given)"], f"built under {BUILDING[name]}", []
    if name in WAYS:
        lines, words, imports = WAYS[name]
        return ["module = make()", *lines], words, imports
    made = SETTINGS[name].around(["result = call(module, *given)"])
    return ["module = make()", *made, "return result"], f"with {name.replace('_', ' ')}", []
