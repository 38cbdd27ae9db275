"""Fuzzed options, files, case lines and results of subjects, given to the functions that the command line calls.

    python -m conformance.selftest.trials.fuzzed --count 1000 --seed 7

An input is accepted, refused by one line of printable text that names a remedy, or found. Everything else is
unexplained: it is printed, and the exit status is 1. The same seed draws the same inputs.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st

from conformance.harness import session
from conformance.harness.execution import subject
from conformance.harness.execution.subject import Subject, SubjectError
from conformance.harness.findings import known
from conformance.harness.foreign_text import MOST, say
from conformance.harness.models import inventory
from conformance.harness.models.loading import LikeError
from conformance.harness.property import derived_seed, properties
from conformance.harness.pytest_plugin import options
from conformance.harness.pytest_plugin.command_line import OPTIONS
from conformance.harness.pytest_plugin.output.report import findings_of
from conformance.harness.session import Session
from conformance.judging.entries import read as read_entries
from conformance.judging.errors import JudgeError
from conformance.judging.recorded_call import of_entries
from conformance.results.files import ResultsError
from conformance.results.files import load as load_results
from conformance.selftest.arguments import Parser, end_with
from conformance.selftest.public_questions import entries, save
from strategies import Case, CaseError, parse, stated
from strategies.drawn_cases import look_at_each

ROOT = Path(__file__).parents[3]

LIMIT_SECONDS = 10.0
"""The longest that one input may take in process."""

PROGRAM_SECONDS = 120.0
"""The longest that a whole program may take: it imports torch first."""

REMEDY = re.compile(
    r"; |: give |one of|such as|as in |leave|see |begins with|it has|there is|between|must be|present:|or left out|"
    r"no other|nothing else|is written|has to|names? a|use "
)
"""What a refusal says that names a remedy."""

ACCEPTED, REFUSED, FOUND, UNEXPLAINED = "accepted", "refused", "found", "unexplained"

REFUSALS = (options.OptionError, known.KnownError, LikeError, ResultsError, CaseError, JudgeError, SubjectError)


@dataclass(frozen=True)
class Outcome:
    """What an input came to, and of one that is unexplained why."""

    name: str
    why: str = ""


def wrong_with(line: str) -> str:
    """Why a line is no refusal that a user can follow; "" where it is one."""
    if not line.isprintable():
        return "more than one line, or characters that do not print"
    if len(line) > MOST:
        return f"{len(line)} characters"
    return "" if REMEDY.search(line) else "no remedy"


def tried(look: Callable[[], str], most_seconds: float = LIMIT_SECONDS) -> Outcome:
    """What a look at one input comes to; `look` returns the outcome's name."""
    began = time.perf_counter()
    try:
        name, why = look(), ""
    except REFUSALS as error:
        why = wrong_with(str(error))
        name, why = (UNEXPLAINED, f"{why}: {error!r}") if why else (REFUSED, "")
    except Exception as error:
        name, why = UNEXPLAINED, f"{type(error).__name__}: {error}"
    took = time.perf_counter() - began
    return Outcome(UNEXPLAINED, why or f"it took {took:.1f} s") if took > most_seconds else Outcome(name, why)


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
"""What an argument of a program may be."""


@st.composite
def mutated(draw: Any, valid: Sequence[str]) -> str:
    """A valid text with some of it left out, repeated or replaced."""
    text = draw(st.sampled_from(valid))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(text)))
        to = min(len(text), at + draw(st.integers(0, 12)))
        text = text[:at] + draw(st.one_of(st.just(""), st.just(2 * text[at:to]), TEXTS)) + text[to:]
    return str(text)


SHIPPED = known.SHIPPED.read_text(encoding="utf-8").split("\n[[deviation]]\n")[1:]
CASES = tuple(re.findall(r'^case = "(v1 .*)"$', "\n".join(SHIPPED), re.MULTILINE))
NESTED = tuple(f"a = {'[' * depth}{']' * depth}" for depth in (10, 5_000))


def of_bytes(texts: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    """What a file may hold: such texts, or anything."""
    return st.one_of(texts.map(lambda text: text.encode("utf-8", "replace")), st.binary(max_size=200))


def look_at_case(line: str) -> str:
    parse(line)
    return ACCEPTED


CHOICES = {
    "effort": ["smoke", "default"],
    "cells": ["gru", "lstm"],
    "devices": ["cpu", "cuda:0"],
    "dtypes": ["float32", "bfloat16"],
    "routes": ["grad", "meta"],
    "fail_on": ["B3-stream", "A1,A2"],
    "case": CASES,
    "subjects": ["torch.nn", "lstm=torch.nn:LSTM"],
    "like": ["model.toml", "package.module:build"],
}
"""Valid values of the options that `options.read` takes, from which others are mutated."""

GIVEN = st.sampled_from(sorted(CHOICES)).flatmap(lambda name: st.tuples(st.just(name), mutated(CHOICES[name]) | TEXTS))


def look_at_option(given: tuple[str, str]) -> str:
    """Reads the options with one value that is fuzzed."""
    name, value = given
    lists = dict.fromkeys(("subjects", "cells", "devices", "dtypes", "routes", "known", "fail_on", "like"), ())
    values: dict[str, Any] = {"effort": "smoke", "case": None, "no_stale": False, **lists}
    options.read(**values | {name: value if name in ("effort", "case") else [value]})
    return ACCEPTED


def look_at_file(load: Callable[[Path], Any], suffix: str) -> Callable[[bytes], str]:
    """Reads a file of these bytes."""

    def look(data: bytes) -> str:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"fuzzed{suffix}")
            path.write_bytes(data)
            load(path)
        return ACCEPTED

    return look


class Raising(torch.Tensor):
    """A tensor of which nothing can be asked."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError("nothing is told")


LEAVES: dict[str, Callable[[torch.Tensor], Any]] = {
    "itself": lambda t: t,
    "sparse": lambda t: t.to_sparse(),
    "compressed": lambda t: t.reshape(-1, 1).to_sparse_csr(),
    "meta": lambda t: t.to("meta"),
    "nested": lambda t: torch.nested.nested_tensor([t]),
    "expanded": lambda t: t.reshape(-1)[:1].clone().expand(10**13),
    "raising": lambda t: t.as_subclass(Raising),
    "needs a gradient": lambda t: t.clone().requires_grad_(),
    "transposed": lambda t: t.transpose(0, -1),
    "empty": lambda t: t.reshape(-1)[:0],
    "a scalar": lambda t: t.sum(),
    "complex": lambda t: t.to(torch.complex64),
    "integers": lambda t: t.long(),
    "negated": torch._neg_view,
    "NaN": lambda t: t * float("nan"),
    "an array": lambda t: t.numpy(),
    "none": lambda t: None,
    "text": lambda t: "\x1b[31m\n" * 500,
}
"""What stands in the place of a tensor that a subject returns."""

FORMS = ("documented", "list", "swapped", "one", "three", "deep", "none")
RETURNED = st.tuples(st.sampled_from(FORMS), st.sampled_from(sorted(LEAVES)), st.sampled_from(sorted(LEAVES)))


def returned(form: str, output: Any, h: Any) -> Any:
    """A result of this form."""
    forms = {"documented": (output, h), "list": [output, h], "swapped": (h, output), "one": output, "none": None}
    return (forms | {"three": (output, h, h), "deep": (((output,),), {"h": [h]})})[form]


JUDGED = ("test_output_has_the_documented_shape", "test_results_lie_within_their_error_bound")


def look_at_subject(recipe: tuple[str, str, str]) -> str:
    """Looks at one case of two properties of a GRU that returns this, and at what they find."""
    form, first, second = recipe

    class GRU(torch.nn.GRU):
        def forward(self, *given: Any) -> Any:  # type: ignore[override]
            output, h = super().forward(*given)
            if not isinstance(output, torch.Tensor):
                return returned(form, output, h)
            return returned(form, LEAVES[first](output.detach()), LEAVES[second](h.detach()))

    found = []
    with session.nested(Session(Subject("fuzzed", {"gru": GRU}))) as here:
        for tested in (one for one in properties() if one.name in JUDGED):
            try:
                tested.check("gru", Case(2, 3))
            except Exception as error:
                told = findings_of(error, here.latest.get(tested.name))
                if not told:
                    raise
                found += told
    for finding in found:
        if not all(line.isprintable() for line in finding.text().split("\n")):
            raise ValueError(f"a finding that does not print: {finding.text()!r}")
    return FOUND if found else ACCEPTED


VALUES = st.sampled_from(sorted(set(OPTIONS) - {"subject", "like", "reports", "write-known", "results"}))
ARGUMENTS = VALUES.flatmap(lambda name: st.tuples(st.just(name), mutated(CASES if name == "case" else ["1", "gru"])))
PROGRAM = ("-m", "pytest", "conformance/test_shapes.py", "-k", "test_output_has_the_documented_shape and gru")
SETTINGS = ("--effort", "smoke", "--no-reports", "-n", "0", "-p", "no:cacheprovider")


def look_at_program(given: tuple[str, str | bytes]) -> str:
    """Runs pytest with one option whose value, or the file that it names, is fuzzed."""
    name, value = given
    with tempfile.TemporaryDirectory() as folder:
        if isinstance(value, bytes):
            path = Path(folder, "given.toml")
            path.write_bytes(value)
            value = str(path)
        is_flag = OPTIONS[name].get("action") == "store_true"
        return _look_at_run([f"--{name}" if is_flag else f"--{name}={value}"])


def _look_at_run(words: Sequence[str]) -> str:
    command = [sys.executable, *PROGRAM, *SETTINGS, *words]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=PROGRAM_SECONDS, check=False
    )
    shown = done.stdout + done.stderr
    if done.returncode not in (0, 1, 4, 5) or "Traceback (most" in shown or "INTERNALERROR" in shown:
        raise ValueError(f"exit status {done.returncode}: {shown[-500:]}")
    return REFUSED if done.returncode == 4 else ACCEPTED


def npz() -> bytes:
    """A file that can be judged."""
    torch.manual_seed(0)
    module, x = torch.nn.GRU(2, 2), torch.randn(2, 1, 2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "call.npz")
        with torch.no_grad():
            save(path, entries(module, x, {"output": module(x)[0]}))
        return path.read_bytes()


@st.composite
def spliced(draw: Any, valid: bytes) -> bytes:
    """Bytes of which some are left out or replaced."""
    data = valid
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.binary(max_size=8)) + data[at + draw(st.integers(0, 12)) :]
    return data


def call_of(path: Path) -> None:
    """Reads a call to be judged. Raises JudgeError."""
    of_entries(read_entries(path))


VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(stated.LIMITS) | TEXTS, inner),
    max_leaves=5,
)
STATEMENTS = st.dictionaries(st.sampled_from(stated.KEYS) | TEXTS | st.integers(), VALUE, max_size=3) | VALUE


def look_at_statement(statement: object) -> str:
    """Reads what a GRU states of itself."""
    given = type("GRU", (torch.nn.GRU,), {subject.STATEMENT: statement})
    subject.of(given, ["gru"])
    return ACCEPTED


INVENTORIES = mutated([f'[modules]\n"a.b" = "{line}"\n' for line in CASES[:5]] + list(NESTED))
KINDS: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], str], int]] = {
    "option values": (GIVEN, look_at_option, 15),
    "case lines": (mutated(CASES) | TEXTS, look_at_case, 15),
    "known files": (
        of_bytes(mutated([f"[[deviation]]\n{one}" for one in SHIPPED] + list(NESTED))),
        look_at_file(known.load, ".toml"),
        20,
    ),
    "inventories": (of_bytes(INVENTORIES), look_at_file(inventory.read, ".toml"), 10),
    "results files": (
        of_bytes(mutated(['{"schema": 1, "complete": true}', "[" * 5_000])),
        look_at_file(load_results, ".json"),
        5,
    ),
    "calls to be judged": (
        st.deferred(lambda: spliced(npz()) | st.binary(max_size=200)),
        look_at_file(call_of, ".npz"),
        5,
    ),
    "statements": (STATEMENTS, look_at_statement, 5),
    "results of subjects": (RETURNED, look_at_subject, 15),
}
"""Kinds of inputs in process: what draws them, what looks at one, and their share in percent."""

FILES = st.one_of(
    st.tuples(st.just("known"), KINDS["known files"][0]),
    st.tuples(st.just("like"), KINDS["inventories"][0]),
    st.tuples(st.just("leave-out"), of_bytes(mutated(["test_*  # too slow\n", "*gru*  # not ours\n"]))),
)
"""Options of programs and the files that they name."""

PROGRAMS_PERCENT = 10


def drawn(strategy: st.SearchStrategy[Any], count: int, seed: int) -> list[Any]:
    """So many inputs, the same ones for the same seed."""
    found = list[Any]()
    look_at_each(strategy, count, seed, found.append)
    return found


def trials(count: int, seed: int) -> Iterator[tuple[str, Any, Outcome]]:
    """Each input with its kind and what it came to, but for whole programs."""
    for kind, (strategy, look, percent) in KINDS.items():
        for given in drawn(strategy, max(1, count * percent // 100), derived_seed(seed, kind)):
            yield kind, given, tried(partial(look, given))


def programs(count: int, seed: int, jobs: int) -> Iterator[tuple[str, Any, Outcome]]:
    """Each program with what it came to, so many of them at once."""
    given = drawn(st.one_of(ARGUMENTS, FILES), max(1, count * PROGRAMS_PERCENT // 100), derived_seed(seed, "programs"))
    with ThreadPoolExecutor(jobs) as pool:
        outcomes = pool.map(lambda one: tried(partial(look_at_program, one), PROGRAM_SECONDS), given)
        for one, outcome in zip(given, outcomes, strict=True):
            yield "programs", one, outcome


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser("fuzzed", description="Fuzzed inputs: none may end in anything but what is documented.")
    parser.add_argument("--count", type=int, default=1000, help="inputs, a tenth of them whole programs (1000)")
    parser.add_argument("--seed", type=int, default=0, help="which inputs (0)")
    parser.add_argument("--in-process", action="store_true", help="no whole programs")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="programs at once (one for each core)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: 0 where every input is explained, else 1."""
    given = _options(arguments)
    counts = Counter[tuple[str, str]]()
    began = time.perf_counter()
    several = () if given.in_process else programs(given.count, given.seed, max(1, given.jobs))
    for kind, value, outcome in chain(trials(given.count, given.seed), several):
        counts[kind, outcome.name] += 1
        if outcome.name == UNEXPLAINED:
            say(f"UNEXPLAINED {kind}, --seed {given.seed}: {value!r:.600}: {outcome.why[:400]}")
    say(f"--count {given.count} --seed {given.seed}: {time.perf_counter() - began:.0f} s")
    for (kind, name), number in sorted(counts.items()):
        say(f"{kind:<20} {name:<12} {number}")
    return int(any(name == UNEXPLAINED for _, name in counts))


if __name__ == "__main__":
    end_with(main)
