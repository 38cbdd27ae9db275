"""The page at the end of a run: the verdict first, then what was judged and how, then what fails no run."""

from __future__ import annotations

import re
import shlex
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any

from conformance.clauses import AMBER, CLAUSES, RED, REMARK
from conformance.harness.cells import CELL_NAMES, MODULES, SINGLE_STEPS
from conformance.harness.execution import kernels, machine
from conformance.harness.execution.routes import EAGER_ROUTES, ROUTES
from conformance.harness.execution.subject import TORCH_NN
from conformance.harness.findings.known import Known
from conformance.harness.findings.recorder import LEFT_OUT, SEPARATOR, Finding, most_frequent
from conformance.harness.findings.rendering import counted, terminal_width, wrapped
from conformance.harness.foreign_text import MOST, one_line, piece, printable_lines
from conformance.harness.pytest_plugin.items import NOT_ASKED
from conformance.harness.pytest_plugin.options import require_stated
from conformance.harness.pytest_plugin.output import clause_table, models_summary
from conformance.harness.pytest_plugin.output.causes import likeness
from conformance.harness.pytest_plugin.output.report import MOST_NAMES, Report
from conformance.harness.pytest_plugin.output.report_folders import SCRIPT
from reference import histories
from reference.histories import OPERATIONS
from reference.problem import GRU, LSTM
from reference.roundings import HALF_FUNCTION, lacks_wider_type
from strategies.axes import DTYPES
from strategies.real import REAL

FEW_PAIRS = 6
"""So many pairs of operations that were not done are named."""

RELIABLE_SHARE = 0.95
"""The share of tests that counts as nearly all."""

WIDEST = 80
"""The columns of the summary, however wide the terminal is."""

LABEL = 8
"""The columns that a label of the summary takes."""

MARGIN = " " * LABEL

LINK = r"(https?://[^\s)\],;]+)"

ACCELERATORS = ("cuda", "mps", "xpu")


def short_tracker(tracker: str) -> str:
    """`pytorch#98499` where the tracker begins with a link to GitHub, "not reported" where none was found."""
    if tracker.startswith("none"):
        return "not reported"
    found = re.match(r"https://github\.com/[\w.-]+/([\w.-]+)/(?:issues|pull)/(\d+)", tracker)
    return f"{found[1]}#{found[2]}" if found else one_line(tracker)


def classes(cells: Iterable[str]) -> str:
    """Cells in words: `RNN, LSTM, GRU and the Cells`."""
    asked = set(cells)
    rnn = [name for name in MODULES if name not in (LSTM, GRU)]
    names = ["RNN"] if asked.issuperset(rnn) else [CELL_NAMES[name] for name in rnn if name in asked]
    names += [CELL_NAMES[name] for name in (LSTM, GRU) if name in asked]
    steps = [name for name in SINGLE_STEPS if name in asked]
    names += ["the Cells"] if len(steps) == len(SINGLE_STEPS) else [CELL_NAMES[name] for name in steps]
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


class Summary:
    """The lines of a report, none wider than `width` but case lines, commands, paths and links."""

    def __init__(self, report: Report, width: int) -> None:
        self.report = report
        self.session = report.session
        self.options = report.options
        self.width = width
        self.causes = report.causes()

    def lines(self, seed: str | None) -> list[str]:
        """The summary: groups of red findings, the verdict, what was judged and how, findings that do not fail."""
        before = [*self._grouped_lines(), *self.report.unfinished]
        facts = [
            *models_summary.lines(self.report),
            ("UNDONE", self._undone()),
            *(("UNSAVED", one_line(f"{what}: {why}")) for what, why in self.session.recorder.unwritten.items()),
            ("REPORTS", self.report.folders.said() if self.report.folders is not None else ""),
            ("ENTRIES", self.report.entries_written),
            ("JUDGED", self._judged()),
            ("REAL", self._real()),
            ("LIVES", self._lives()),
            ("LIMIT", self._limit()),
            ("VACUOUS", self._vacuous()),
            ("16-BIT", self._accuracy()),
            *self._lacks(),
            ("EMPTY", self._empty()),
            ("MISSED", self._missed()),
            ("NOT RUN", self._not_run()),
        ]
        block: list[str] = []
        for label, text in self.verdict():
            block += labelled(label, text, self.width) if text else []
        block += self._known_lines()
        block += clause_table.lines(self.report)
        for label, text in facts:
            block += labelled(label, text, self.width) if text else []
        again = f"{'AGAIN':<{LABEL}}{self._again(seed)}"
        after = [*self._not_written(), *self._quiet_lines()]
        return [*before, *([""] if before else []), *block, again, *after]

    def _grouped_lines(self) -> list[str]:
        """Of each probable cause: how many tests found it, in which clauses, and the command of its simplest case."""
        lines = []
        for rank, cause in enumerate(self.causes, 1):
            found, simplest = cause.findings, cause.simplest
            broken = [clause for clause in CLAUSES if any(finding.clause == clause for finding in found)]
            what = one_line(simplest.lines[0]) if simplest.failed else likeness(simplest)
            tests = counted(len(self.report.red_tests(found)), "test")
            needs = f", with {' and '.join(cause.needs)}" if cause.needs else ""
            who = classes(finding.cell for finding in found if finding.cell) or CELL_NAMES[simplest.cell]
            text = f"{who}{needs}, {what}, in {' '.join(broken)}"
            lines += wrapped(text, self.width, f"cause {rank} of {len(self.causes)}, {tests}: ", MARGIN)
            lines += [MARGIN + simplest.again, *self._script(found)]
        return lines

    def _script(self, cause: Sequence[Finding]) -> list[str]:
        """The script of a cause and what it did, or its folder where it has none. A path is never cut."""
        folder = self.report.folders.of(cause) if self.report.folders is not None else None
        if folder is None:
            return []
        if folder.outcome.startswith("no script"):
            label, path, outcome = "report", folder.path, folder.outcome
        else:
            label, path = "script", f"{folder.path}/{SCRIPT}"
            others = "--subject" in cause[0].options.split()
            needed = f"torch and {one_line(cause[0].subject)}" if others else "torch alone"
            outcome = f"needs {needed}; {folder.outcome.removeprefix(SCRIPT).strip()}"
        line = f"{label:<{LABEL}}{path}"
        room = len(line) + 2 + len(outcome) <= self.width
        return [f"{line}  {outcome}"] if room else [line, *wrapped(outcome, self.width, MARGIN, MARGIN)]

    def _not_written(self) -> list[str]:
        """The reports that a red run lacks, each with the command that writes it."""
        missing = self.report.folders.missing if self.report.folders is not None else []
        lines = []
        for reason, command in missing:
            lines += ["", *wrapped(f"report not written: {reason}", self.width, "", MARGIN), MARGIN + command]
        return lines

    def verdict(self) -> list[tuple[str, str]]:
        """The verdict, what was counted, and what else failed."""
        recorder = self.session.recorder
        release = f"torch {piece(machine.torch_version())}"
        judged = piece(self.session.subject.name)
        who = release if self.session.subject.name == TORCH_NN else f"{judged} on {release}"
        at = ", at the accuracy it states" if self.session.subject.accuracies else ""
        computes = f"{who} computes {classes(self._tested_cells())} as documented{at}{self._asked()}"
        compared_something = len(recorder.tallies) > len(self.report.silent_tests())
        failed = [name for name in self.report.other_failures if name]
        if self.report.findings:
            causes, tests = len(self.causes), len(self.report.red_tests(self.report.findings))
            text = f"{who} deviates from the documentation: {counted(causes, 'cause')}, {counted(tests, 'test')}"
            first = ("FAIL", text + self._asked())
        elif self.report.suite_errors or failed:
            first = ("ERROR", f"the suite itself failed. No deviation of {who} was found")
        elif self.report.incomplete():
            first = ("INCOMPLETE", f"{self.report.incomplete()}. No deviation of {who} was found so far")
        elif not compared_something:
            remedy = "; give it more --time, or a narrower -k" if self.report.reached_nothing() else ""
            remedy = "; nothing of it could be asked, see LACKS" if self.report.asked_nothing() else remedy
            first = ("NOTHING", f"was tested. This run says nothing about {judged}{remedy}")
        elif self.options.no_stale and (self.report.gone or self.report.tested_nothing()):
            first = (
                "FAIL",
                f"{computes}, but --no-stale fails on what is marked FIXED or EMPTY below",
            )
        else:
            first = ("PASS", computes)
        more = [("", self._counts())]
        if self.report.incomplete() and first[0] != "INCOMPLETE":
            more += [("INCOMPLETE", self.report.incomplete())]
        if self.report.suite_errors:
            errors = counted(len(self.report.suite_errors), "error")
            more += [("ERROR", f"{errors} of the suite, not of {judged}: see above, and please report them")]
        if failed:
            more += [("ERROR", f"{counted(len(failed), 'other test')} failed: {', '.join(failed[:MOST_NAMES])}")]
        return [first, *more]

    def _tested_cells(self) -> list[str]:
        """The cells that some property compared something of; those asked for where no property names its cell."""
        nodes = self.session.recorder.tallies.keys() - set(self.report.vacuous_tests())
        named = {node.partition("[")[2].rstrip("]").partition("-")[0].partition("[")[0] for node in nodes}
        return [cell for cell in self.options.cells if cell in named] or list(self.options.cells)

    def _asked(self) -> str:
        """The options that narrowed the run."""
        options = self.options
        axes = (
            ("--cell", options.cells, options.subject.classes),
            ("--dtype", options.dtypes, require_stated(options.subject, "dtypes", DTYPES)),
            ("--route", options.routes, ROUTES),
            ("--device", options.devices, require_stated(options.subject, "devices", machine.devices())),
        )
        text = [f"{name} {' '.join(some)}" for name, some, every in axes if len(some) < len(tuple(every))]
        text += ["one case"] if options.case is not None else []
        text += [f"--like {' '.join(map(one_line, options.fleet.sources))}"] if options.fleet.sources else []
        text += ["what --time let it reach"] if self.report.not_reached else []
        text += self.report.narrowed
        return f", as far as asked: {' '.join(text)}" if text else ""

    def _counts(self) -> str:
        recorder = self.session.recorder
        quiet = list(recorder.quiet.values())
        total = self.report.total()
        left_out, unasked = self.report.lacking.total(), self.report.unasked.total()
        nothing, properties = len(self.report.vacuous_tests()) + left_out - unasked, len(recorder.tallies) + left_out
        absent = sum(count for why, count in self.report.lacking.items() if not why.startswith(NOT_ASKED))
        unsteady = len(self.report.red_tests(one for one in self.report.findings if not one.repeatable))
        noted = ((AMBER, "amber"), (REMARK, "new remark"))
        parts = [
            counted(total.cases, "case"),
            counted(properties, "property"),
            f"{time.monotonic() - self.report.started:.0f} s",
            f"{unasked:,} of {counted(properties - absent, 'property')} not asked" if unasked else "",
            f"{nothing:,} of the properties tested nothing" if nothing else "",
            f"{counted(unsteady, 'test')} not repeatable" if unsteady else "",
            *(counted(n, name) for severity, name in noted if (n := len(most_frequent(quiet, severity, False)))),
        ]
        return ", ".join(filter(None, parts))

    def _known_lines(self) -> list[str]:
        """Known deviations that were seen: red ones by name, the others counted; and entries to remove."""
        entries = {entry.id: entry for entry in self.options.known}
        seen = Counter(dict.fromkeys(self.report.still_there, 0))
        for finding, count in self.session.recorder.quiet.values():
            if finding.known:
                seen[finding.known] += count
        found = [entries[name] for name in seen if name in entries]
        of = {severity: [one for one in found if one.severity == severity] for severity in (RED, AMBER, REMARK)}
        lines = []
        for entry in of[RED]:
            first = f"{counted(len(of[RED]), 'defect'):<10} " if entry is of[RED][0] else " " * 11
            lines += _known_line(entry, first, self.width)
        others = [counted(len(of[name]), name) for name in (AMBER, REMARK) if of[name]]
        hint = "" if self.options.show_known else "  (--show-known lists them)"
        lines += [MARGIN + ", ".join(others) + hint] if others else []
        lines[:1] = ["KNOWN".ljust(LABEL) + line[LABEL:] for line in lines[:1]]
        for name in self.report.gone:
            clause = f"{entries[name].clause} " if name in entries else ""
            lines += labelled("FIXED", f"{clause}{piece(name)}: fixed upstream, remove this entry", self.width)
        if self.options.show_known:
            concerned, expired = {entry.id for entry in self.options.concerned()}, self.options.expired()
            for entry in self.options.known:
                times = f"seen {counted(seen[entry.id], 'time')}" if entry.id in seen else "not seen in this run"
                state = times if entry.id in concerned else "not of this release and machine"
                state = "expired" if entry in expired else state
                lines += _entry_lines(entry, state, self.width)
        return lines

    def _judged(self) -> str:
        axes = self.session.axes
        devices = [f"cpu {machine.capability()}" if name == "cpu" else name for name in axes.devices]
        dtypes = axes.dtypes if self.options.case is None else (self.options.case.dtype,)
        where = " | ".join(" ".join(names) for names in (devices, dtypes, self.session.routes))
        largest = self.session.recorder.largest
        return f"{where}; {self._sizes(largest)}" if largest else where

    @staticmethod
    def _sizes(largest: dict[str, int]) -> str:
        named = (("batch_size", "row"), ("steps", "step"), ("hidden_size", "unit"), ("num_layers", "layer"))
        most = ", ".join(counted(largest[name], what) for name, what in named)
        return f"up to {most}, rows x steps {largest['rows_by_steps']:,}"

    def _real(self) -> str:
        """Which real configurations were tried in full, which reduced and which not at all; "" if none was."""
        tried = self.session.recorder.real
        kinds = {
            "in full": [name for name in REAL if tried.get(name) is True],
            "with fewer rows or steps": [name for name in REAL if tried.get(name) is False],
            "too large for this effort or not drawn": [name for name in REAL if name not in tried],
        }
        told = [f"{kind}: {', '.join(names)}" for kind, names in kinds.items() if names]
        return "; ".join(told) if tried else ""

    def _lives(self) -> str:
        """How many of the operations of life cycles were done, and of their ordered pairs; "" if none was."""
        counts = self.session.recorder.lives
        operations = [name for name in OPERATIONS if name in counts]
        missed = [name for name in OPERATIONS if name not in counts]
        pairs = histories.pairs()
        left = sorted(f"{first}, {second}" for first, second in pairs if SEPARATOR.join((first, second)) not in counts)
        asked = f"{len(operations)} of {counted(len(OPERATIONS), 'operation')}, {len(pairs) - len(left):,} of "
        asked += f"{len(pairs):,} ordered pairs"
        asked += f" (not: {'; '.join(left)})" if left and len(left) <= FEW_PAIRS else ""
        left_out = sum(count for key, count in counts.items() if key.startswith(LEFT_OUT))
        rest = [f"{counted(left_out, 'operation')} did not apply" if left_out else ""]
        rest += [f"not done: {', '.join(missed)}" if len(missed) < len(operations) and missed else ""]
        return "; ".join(filter(None, (asked, *rest))) if operations else ""

    def _limit(self) -> str:
        """For each dtype the relative error that nearly every test with error bounds would have shown in this run."""
        of: dict[str, list[float]] = {}
        for tally in self.session.recorder.tallies.values():
            for dtype, error in tally.detectable_error.items():
                of.setdefault(dtype, []).append(error)
        smallest = {dtype: sorted(errors)[int(RELIABLE_SHARE * (len(errors) - 1))] for dtype, errors in of.items()}
        order = [dtype for dtype in DTYPES if smallest.get(dtype, 1) < 1]
        worst = self.report.total().worst
        parts = ", ".join(f"{_short(smallest[dtype])} {dtype}" for dtype in order)
        caught = f"catches a relative error of {parts} in {RELIABLE_SHARE:.0%} of bounded tests".replace("%", " %")
        met = f"largest error met {worst:.2f} of a bound" if worst else ""
        return "; ".join(filter(None, (caught if parts else "", met, self._doubled())))

    def _doubled(self) -> str:
        """What to say where the reference has nothing wider than float64 to compute float64's bounds in."""
        concerned = lacks_wider_type() and "float64" in self.session.axes.dtypes
        return "bounds of float64 are doubled, for NumPy has no wider type here" if concerned else ""

    def _vacuous(self) -> str:
        total = self.report.total()
        cases, bounds = 100 * total.vacuous_cases / max(total.cases, 1), 100 * total.vacuous / max(total.elements, 1)
        return (
            f"{cases:.1f} % of the cases and {bounds:.1f} % of the bounds could not have failed" if total.cases else ""
        )

    def _accuracy(self) -> str:
        """The worst error of tanh and sigmoid over every 16-bit value, beside the constant of the model."""
        worst = sorted(self.session.recorder.accuracy.items())
        text = ", ".join(f"{function} {error:.3f} u" for function, error in worst)
        return f"largest error {text}; the bounds allow {HALF_FUNCTION} u" if text else ""

    def _lacks(self) -> list[tuple[str, str]]:
        """What the subject does not have, or rejects however small the call is."""
        eager = self._eager_routes()
        lacks = [("LACKS", f"{counted(n, 'property')} left out: {reason}") for reason, n in self.report.lacking.items()]
        for row in self.session.recorder.left_out():
            narrowed = [row.dtypes - {row.what}] if not row.dtypes.issuperset(self.session.axes.dtypes) else []
            narrowed += [row.routes] if not row.routes.issuperset(eager) else []
            where = "; ".join(", ".join(sorted(names)) for names in (row.cells, *narrowed) if names)
            on = f" on {row.device}" if row.device != "cpu" else ""
            text = (
                f"{row.what}{on} ({where}): rejected even in the smallest call, {counted(row.calls, 'call')} left out"
            )
            lacks.append(("LACKS", f"{text}: {one_line(row.message, 90)}"))
        return lacks

    def _undone(self) -> str:
        """Settings from outside that came back."""
        found = self.session.recorder.put_right.items()
        return "; ".join(f"{name}, set before {counted(tests, 'test')}" for name, tests in found)

    def _eager_routes(self) -> list[str]:
        """The routes that a property takes unless it names others, as far as asked."""
        return [route for route in EAGER_ROUTES if route in self.session.routes]

    def _empty(self) -> str:
        silent = self.report.vacuous_tests()
        return f"{counted(len(silent), 'property')} tested nothing: {', '.join(silent)}" if silent else ""

    def _missed(self) -> str:
        """Kernels of this machine that no recorded call of a whole run reached."""
        if self._asked():
            return ""
        cells = [cell for cell in MODULES if cell in self.options.cells]
        judged = cells if self.session.subject.name == TORCH_NN else []
        combinations = product(judged, self.session.axes.dtypes, self._eager_routes())
        expected = {label for combination in combinations for label in kernels.expected(*combination)}
        missed = sorted(expected - self.session.recorder.kernels.keys())
        return f"kernels of this machine that no call reached: {', '.join(missed)}" if missed else ""

    def _not_run(self) -> str:
        absent = " ".join(name for name in ACCELERATORS if name not in self.options.devices)
        return " | ".join(filter(None, (absent, "other routes than eager", "docs/clauses.md lists all")))

    def _again(self, seed: str | None) -> str:
        """The command line as it was given, with the seed."""
        given = without_option(self.report.arguments, "--hypothesis-seed")
        return shlex.join(["pytest", *given, *([f"--hypothesis-seed={seed}"] if seed else [])])

    def _quiet_lines(self) -> list[str]:
        """Ambers and new remarks, which do not fail the run."""
        quiet = list(self.session.recorder.quiet.values())
        lines = []
        for finding, count in most_frequent(quiet, AMBER, known=False) + most_frequent(quiet, REMARK, known=False):
            lines += ["", finding.text(), f"  seen     {counted(count, 'time')}"]
        return lines


def write(report: Report, terminal: Any, seed: str | None) -> None:
    """The summary. Nothing where no test of the contract was asked for."""
    if not report.is_empty():
        terminal.section("conformance", sep="=")
        for line in Summary(report, min(WIDEST, terminal_width())).lines(seed):
            terminal.write_line(printable_lines(line))


def without_option(words: Sequence[str], option: str) -> list[str]:
    """The words of a command without an option and its value, which may be a word of its own."""
    kept, skips = list[str](), False
    for word in words:
        if not skips and word.partition("=")[0] != option:
            kept.append(word)
        skips = word == option
    return kept


def _short(error: float) -> str:
    """`7e-16`, `2e-3`."""
    return re.sub(r"e([+-])0*", r"e\1", f"{error:.0e}")


def _name(entry: Known) -> str:
    return one_line(f"{entry.clause} {entry.id.replace('-', ' ')}")


def _known_line(entry: Known, first: str, width: int) -> list[str]:
    """A known defect and its tracker on one line; a tracker that does not fit on the next."""
    head, tracker = MARGIN + first, short_tracker(entry.tracker)
    line, indent = f"{head}{_name(entry)}  {tracker}", " " * len(head)
    waiver = wrapped(entry.waiver, width, indent, indent) if entry.waiver else []
    if len(line) <= width:
        return [line, *waiver]
    return [*wrapped(_name(entry), width, head, indent), *wrapped(tracker, width, indent, indent), *waiver]


def _entry_lines(entry: Known, seen: str, width: int) -> list[str]:
    """An entry of a file of known deviations; each link stands on a line of its own."""
    inner = MARGIN + "  "
    lines = wrapped(f"{_name(entry)}, {seen}", width, f"{MARGIN}{entry.severity:<7}", inner)
    for part in filter(str.strip, re.split(LINK, one_line(entry.tracker, MOST))):
        lines += wrapped(part, width, inner, inner)
    return lines + (wrapped(entry.waiver, width, inner, inner) if entry.waiver else [])


def labelled(label: str, text: str, width: int) -> list[str]:
    """A fact of the summary behind its label; the lines after the first are indented."""
    return wrapped(text, width, f"{label:<{LABEL}}" if len(label) < LABEL else f"{label} ", MARGIN)
