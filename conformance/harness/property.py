"""A property: a clause of the contract, the cells and cases it is about, and the test that claims it."""

from __future__ import annotations

import functools
import importlib
import pkgutil
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import hypothesis
import pytest

import conformance
from conformance.clauses import CLAUSES, RED, Clause
from conformance.harness import evidence, session
from conformance.harness.cells import MODULES, SINGLE_STEPS
from conformance.harness.checks import case_record
from conformance.harness.checks.case_record import CaseRecord
from conformance.harness.execution.module_call import seed_generators
from conformance.harness.execution.observation import Observation
from conformance.harness.findings.deviation import Deviation
from conformance.harness.findings.recorder import SEPARATOR, Finding, as_repeat, node
from conformance.harness.localiser.localise import explained
from conformance.harness.session import Session
from conformance.harness.share import Share
from strategies import Case, Cases
from strategies.configurations import Configuration, ModelCases, at
from strategies.cost import seconds_of
from strategies.real import RealCases, name_of
from strategies.stated import Stated

MARK = "conformance"
"""The pytest marker whose arguments are the properties of a test."""

LIKE = "like"
"""The argument of a test that is asked of a user's module: its configuration."""

GROWS_NOWHERE = ("A", "B2", "D", "E3")
"""Chapters and clauses whose bounds do not grow with the number of steps."""

FULL_FIRST = ("B2", "C", "D")
"""Chapters and clauses in which a module's call in full is looked at before any drawn case."""


NOT_IN_TIME = "not reached in time"
"""Why a test is skipped that no case of was looked at."""


@dataclass(frozen=True)
class Property:
    """A test of the contract.

    name      of the test, with the value of its parameter if it has one: test_name, or test_name[value]
    families  which cells it is about, and the cases of these; None where it draws none
    body      takes the case and the cell (and the parameter's value), and makes the assertions of `checks`
    module    the path of the user's module that it is asked of; "" for the contract at large
    """

    clause: Clause
    name: str
    families: tuple[tuple[tuple[str, ...], Cases | None], ...]
    body: Callable[..., None]
    module: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        """Every cell it is about."""
        return tuple(cell for cells, _ in self.families for cell in cells)

    @property
    def draws(self) -> bool:
        """Whether it looks at drawn cases."""
        return any(cases is not None for _, cases in self.families)

    def cases(self, cell: str) -> Cases | None:
        """The cases of one cell."""
        return next((cases for cells, cases in self.families if cell in cells), None)

    def fits(self, case: Case, cell: str) -> bool:
        """Whether the property is about `case` on `cell`."""
        cases = self.cases(cell)
        return cases is not None and case in cases

    def at(self, configuration: Configuration) -> Property | str:
        """The property asked of a user's module alone, or the reason why it says nothing of it."""
        family = self.cases(configuration.cell)
        if family is None:
            return "that draw no case" if configuration.cell in self.cells else "about another cell"
        cases = at(family, configuration, _is_of(self.clause, GROWS_NOWHERE), self.clause.id)
        if isinstance(cases, str):
            return cases
        return replace(self, families=(((configuration.cell,), cases),), module=configuration.name)

    def within(self, stated: Stated, cell: str) -> Property | str:
        """The property asked of what a subject states for a cell, or the key of the statement that leaves no case."""
        family = self.cases(cell)
        if family is None or isinstance(family, ModelCases):
            return self
        narrowed = stated.narrowed(family, cell)
        return narrowed if isinstance(narrowed, str) else replace(self, families=(((cell,), narrowed), *self.families))

    def check(self, cell: str, case: Case | None) -> None:
        """Looks at one case in the current session, as often as it asks for; raises the first unknown deviation that
        fails a run.

        Skips the test where the run takes none of the routes that it needs.
        """
        here = session.current()
        for look in range(here.repeat):
            self._look(here, cell, case, look)

    def _look(self, here: Session, cell: str, case: Case | None, look: int) -> None:
        began = time.time()
        record = self.record(here, cell, case, look)
        if case is not None:
            here.took(time.time() - began, seconds_of(case, self.clause.id))
        if record.unasked:
            here.unasked.setdefault(record.node, record.unasked[0])
        if record.untaken and not record.elements and not record.findings:
            pytest.skip(f"--route leaves out {', '.join(record.untaken)}")
        judged = [(here.judged(found.finding, case), found.seen) for found in record.findings]
        self._count(here, record, [finding for finding, _ in judged])
        failing = [(finding, seen) for finding, seen in judged if not self._is_quiet(here, finding, seen)]
        if failing:
            finding, seen = failing[0]
            shown = replace(finding, kernels=here.kernels(seen))
            explain = partial(explained, shown, seen, here.judgement(seen.problem).red)
            raise Deviation.of(shown if here.repeats(record.node, shown) else as_repeat(shown), explain)

    def record(self, here: Session, cell: str, case: Case | None, look: int = 0) -> CaseRecord:
        """What it compares and finds in one case, of which a session counts nothing yet.

        A subject that draws random numbers where none are documented draws the same ones in the same look at a case.
        """
        with case_record.entered(CaseRecord(here, self.clause, self.name, cell, case, module=self.module)) as record:
            here.on_case(record)
            seed_generators(zlib.crc32((case.line(cell) if case is not None else cell).encode()) + look)
            self.body(case, cell) if case is not None else self.body(cell)
        return record

    def explained(self, here: Session, finding: Finding, case: Case | None) -> Finding:
        """A finding of this property in `case` with what more calls tell of it, none of which the session counts."""
        if case is None or finding.failed:
            return finding
        aside, cell, case = here.aside(), finding.cell, here.fleet.armed(case)
        return evidence.explained(
            finding, case, lambda one: self.record(aside, cell, one).findings, lambda one: self.fits(one, cell)
        )

    def _count(self, here: Session, record: CaseRecord, findings: Sequence[Finding]) -> None:
        for (dtype, route), counts in record.judged.items():
            here.recorder.judged_at(self.clause.id, record.cell, dtype, route).add(counts)
        here.recorder.deviated(record.node, findings)
        if here.keeps_cases and record.case is not None:
            red = [one for one in findings if one.outcome == RED]
            here.recorder.compared(self.clause.id, record.node, record.case.line(record.cell), red)
        tally = here.recorder.tally(record.node)
        tally.cases += 1
        tally.elements += record.elements
        tally.vacuous += record.vacuous
        tally.worst = max(tally.worst, record.worst)
        for dtype, error in record.detectable_error.items() if self.clause.severity == RED else ():
            tally.seen(dtype, error)
        if (case := record.case) is not None:
            sizes = {name: getattr(case, name) for name in ("batch_size", "steps", "hidden_size", "num_layers")}
            here.recorder.looked_at(**sizes, rows_by_steps=case.batch_size * case.steps)
            if isinstance(family := self.cases(record.cell), RealCases) and not family.of_gates:
                here.recorder.looked_at_real(*name_of(case))
        tally.vacuous_cases += record.elements == 0 or record.vacuous >= record.elements

    @staticmethod
    def _is_quiet(here: Session, finding: Finding, seen: Observation) -> bool:
        """Whether a finding fails no run; if so it is noted. The kernels of a known one are of no interest."""
        if finding.known:
            here.recorder.note(finding)
            return True
        if finding.severity == RED:
            return False
        here.recorder.note(replace(finding, kernels=here.kernels(seen)))
        return True

    def test(
        self, cell: str, settings: hypothesis.settings | None = None, seed: int | None = None
    ) -> Callable[..., None]:
        """The property as a Hypothesis test of (cell), or a plain one if it draws nothing."""
        cases = self.cases(cell)
        if cases is None:
            return self._plain

        share = Share()

        @functools.wraps(self.body)
        def drawn(case: Case, cell: str) -> None:
            share.look(session.current(), case, self.clause.id, partial(self.check, cell, case))

        test = drawing(cases, drawn)
        if cases.share > 1:
            whole = settings or hypothesis.settings()
            settings = hypothesis.settings(whole, max_examples=max(cases.least, whole.max_examples // cases.share))
        test = settings(test) if settings is not None else test
        test = hypothesis.seed(seed)(test) if seed is not None else test
        if self.is_full_first and isinstance(cases, ModelCases):
            test = self._full_first(cases, test)
        return _of_value(self._reached(test))

    @property
    def is_full_first(self) -> bool:
        """Whether a module's calls in full are looked at before any drawn case."""
        return _is_of(self.clause, FULL_FIRST)

    def _reached(self, test: Callable[..., None]) -> Callable[..., None]:
        """A test that is skipped if no case of it fitted in the time."""

        @functools.wraps(self.body)
        def reached(cell: str) -> None:
            here = session.current()
            tallies, name = here.recorder.tallies, node(self.name, cell, self.module)
            before = tallies[name].cases if name in tallies else 0
            test(cell=cell)
            if here.cut_short and before == (tallies[name].cases if name in tallies else 0):
                pytest.skip(NOT_IN_TIME)

        return reached

    def _full_first(self, cases: ModelCases, test: Callable[..., None]) -> Callable[..., None]:
        """A test that looks at the calls in full first; if one fails, a smaller case that fails is told instead."""

        @functools.wraps(self.body)
        def first(cell: str) -> None:
            here = session.current()
            for case, whole in cases.firsts(here.axes.most_numbers, here.seconds_full):
                if not here.has_time_for(case, self.clause.id):
                    here.cut_short = True
                    continue
                if cases.part == 1:
                    self._note_reduced(here, case, whole)
                try:
                    self.check(cell, case)
                except Deviation:
                    test(cell=cell)
                    raise
            test(cell=cell)

        return first

    def _note_reduced(self, here: Session, case: Case, whole: Case) -> None:
        """Notes a case that has less than the call in full that it stands for."""
        if (case.batch_size, case.steps) != (whole.batch_size, whole.steps):
            place = SEPARATOR.join((self.module, self.clause.id[0]))
            here.recorder.reduced_to(place, case.batch_size, case.steps)

    def _plain(self, cell: str, **parameter: object) -> None:
        """Parameters are bound to the body already; pytest hands them over all the same."""
        self.check(cell, None)


def _of_value(test: Callable[..., None]) -> Callable[..., None]:
    """A test that pytest also hands the name of its value, which is bound to it already."""

    def test_of_value(cell: str, value: str = "") -> None:
        test(cell=cell)

    functools.update_wrapper(test_of_value, test)
    del test_of_value.__wrapped__  # type: ignore[attr-defined]
    return test_of_value


def _is_of(clause: Clause, names: tuple[str, ...]) -> bool:
    """Whether a clause is one of these, or of one of these chapters."""
    return clause.id in names or clause.id[0] in names


def drawing(cases: Cases, look: Callable[..., None]) -> Callable[..., None]:
    """`look` as a Hypothesis test whose argument `case` is drawn inside the axes of the current session."""
    return hypothesis.given(case=cases.strategy(lambda: session.current().axes))(look)


def derived_seed(seed: int, node: str) -> int:
    """A seed of its own for each property and cell, so that they do not all look at the same cases."""
    return zlib.crc32(f"{seed} {node}".encode())


def clause(
    id: str,
    on: tuple[str, ...] = MODULES,
    given: Cases | Mapping[str, Cases] | None = None,
    single_step: Cases | Mapping[str, Cases] | None = None,
    each: Mapping[str, object] | None = None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Makes a function of (case, cell), or of (cell) without `given`, a property of clause `id`.

    given: the cases that it is about; of a mapping, the function is one property for each name in it, and the one
        named "" is called like the function.
    single_step: it is about the classes that take a single step too, and about these cases of theirs.
    each: the function takes one more argument after the cell, and is one property for each of these values.
    """
    names = [*each] if each else [*given] if isinstance(given, Mapping) else [""]
    named = names != [""]

    def decorate(body: Callable[..., None]) -> Callable[..., None]:
        tests = []
        for id_of_value in names:
            name = f"{body.__name__}[{id_of_value}]" if id_of_value else body.__name__
            bound = _with(body, each[id_of_value], given is not None) if each else body
            tested = Property(CLAUSES[id], name, _families(on, given, single_step, id_of_value), bound)
            for cell in tested.cells:
                mark, ids = getattr(pytest.mark, MARK)(tested), [cell, *([id_of_value] if id_of_value else [])]
                values = (cell, id_of_value) if named else (cell,)
                tests.append(pytest.param(*values, marks=mark, id="-".join(ids)))
        return pytest.mark.parametrize(("cell", "value") if named else ("cell",), tests)(_placeholder(body, named))  # type: ignore[no-any-return]

    return decorate


def _families(
    on: tuple[str, ...],
    given: Cases | Mapping[str, Cases] | None,
    single_step: Cases | Mapping[str, Cases] | None,
    name: str,
) -> tuple[tuple[tuple[str, ...], Cases | None], ...]:
    """The cells and cases of the property of this name; single steps without the name have none."""
    families = [(on, given[name] if isinstance(given, Mapping) else given)]
    if isinstance(single_step, Mapping):
        families += [(SINGLE_STEPS, single_step[name])] if name in single_step else []
    elif single_step is not None:
        families += [(SINGLE_STEPS, single_step)]
    return tuple(families)


def _placeholder(body: Callable[..., None], takes_value: bool) -> Callable[..., None]:
    """The function that pytest collects under the name of `body`; the plugin replaces it by the property's test."""

    def test(cell: str) -> None:
        raise AssertionError("a property is run by the suite's plugin, which conftest.py loads")

    def test_of_value(cell: str, value: str) -> None:
        test(cell)

    collected = functools.update_wrapper(test_of_value if takes_value else test, body)
    del collected.__wrapped__
    return collected


def _with(body: Callable[..., None], value: object, draws: bool) -> Callable[..., None]:
    """The body with its last argument bound."""
    if draws:
        return lambda case, cell: body(case, cell, value)
    return lambda cell: body(cell, value)


@functools.cache
def properties() -> tuple[Property, ...]:
    """Every property of the contract, in the order of its chapters."""
    names = sorted(
        module.name for module in pkgutil.iter_modules(conformance.__path__) if module.name.startswith("test_")
    )
    modules = [importlib.import_module(f"conformance.{name}") for name in names]
    tests = [value for module in modules for value in vars(module).values()]
    marks = [mark for test in tests for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
    found = [one.args[0] for mark in marks for test in mark.args[1] for one in test.marks if one.name == MARK]
    return tuple({tested.name: tested for tested in found}.values())
