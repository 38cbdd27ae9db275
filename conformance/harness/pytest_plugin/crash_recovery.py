"""Crash recovery: a test whose process died becomes a finding, the run continues, and unfinished tests are reported.

Three plugins of pytest. `Watch` is where tests run: it writes down which test is at hand, and chooses the executor.
`Controller` is where xdist's workers are started: it reads what a dead one wrote, and has the test done again with
every call in a child process, so that Hypothesis makes the case small. `CompletionLog` counts what ran. A process whose
call does not return is ended by its `CallWatcher`; the system's timer is left to others, such as pytest-timeout.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest

from conformance.clauses import RED
from conformance.harness import session
from conformance.harness.execution import module_call
from conformance.harness.execution.failure import LOST, TIMED_OUT, Failure
from conformance.harness.execution.module_call import CallInterrupted
from conformance.harness.execution.requests.request import Executor, InProcess
from conformance.harness.findings.recorder import Finding, Recorder, as_repeat, command_of, node
from conformance.harness.foreign_text import LONGEST_TRACEBACK, MOST, block, one_line, piece
from conformance.harness.isolation import call_journal, call_watcher, confirmed, folders, limits, worker_process
from conformance.harness.isolation.call_journal import CallJournal, Record
from conformance.harness.isolation.call_watcher import CallWatcher
from conformance.harness.isolation.folders import TemporaryFolder
from conformance.harness.property import LIKE, MARK
from conformance.harness.pytest_plugin.command_line import usage_error
from conformance.harness.pytest_plugin.output.report import FINDINGS, NOT_REACHED, SUITE_ERROR, Report
from conformance.harness.pytest_plugin.refused_runs import RUN_FOLDER, Heeding
from strategies import CaseError, parse

DEATHS = "conformance deaths"
"""What a report says of the children that died in its test."""

MOST_RESTARTS = 1000
"""Workers that may be replaced where the command line names no other number. After the first death calls are made in
child processes, so that it takes a subject that harms this suite itself to come near it."""

REPLACING = ("no", "load", "worksteal")
"""Values of --dist with which xdist gives the tests of a worker that died to another."""

MOST_OUTSIDE = 4
"""Workers that may die when no test is at hand, before the run is given up."""

SAVED_COUNTS = "the counts of a worker, in case it dies"
"""What a run says that a full disk does not take."""

_IN_PROCESS = "in-process"
"""The file in a run's folder without which workers make calls in children: a full disk lets it be removed."""

_RECORDED = ".recorded.jsonl"
_PROBES = {"nodeid": "the smallest calls, before any test"}


def is_controller(config: pytest.Config) -> bool:
    """Whether tests run in xdist's workers, and this process is none."""
    return not _is_worker(config) and getattr(config.option, "dist", "no") != "no"


GARBAGE_THRESHOLDS = (20_000, 20, 100)
"""After how many new objects, and how many searches of younger ones, garbage is searched for in a run of tests."""


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


class Watch:
    """In a process that runs tests, and in the one that starts others, for the calls that it makes itself.

    folder   of the run's records: xdist's workers share one; else it lies in pytest's cache, for the next run to read
    earlier  what runs that died left there
    """

    def __init__(self, config: pytest.Config) -> None:
        self.is_worker = _is_worker(config)
        self._cores = limits.no_core_files()
        if not self.is_worker:
            folders.remove_left_behind()
        name = config.workerinput["workerid"] if self.is_worker else str(os.getpid())  # type: ignore[attr-defined]
        self.earlier: list[Record] = []
        self._unreadable: list[Path] = []
        self.box, self._temporary = self._begun(config, name)
        self.folder = self.box.path.parent
        self._always = any(record.inside for record in self.earlier)
        self._recorded: Path | None = self.folder / (name + _RECORDED)
        self._thresholds = gc.get_threshold()
        self._speaks = not self.is_worker and not is_controller(config)
        self._found = call_journal.found_beside(self.box.path)
        self._watcher = self._watched(config)
        module_call.tell(self.box)
        self.box.begin(_PROBES)
        config.add_cleanup(self.close)
        pool = worker_process.pool()
        pool.limit, pool.memory = config.option.call_limit, limits.fair_share(_processes(config))

    def _begun(self, config: pytest.Config, name: str) -> tuple[CallJournal, TemporaryFolder | None]:
        """The journal, in the first folder with room for it, and that folder where it is temporary.

        Raises pytest.UsageError.
        """
        reasons = []
        for folder, temporary in _folders(config):
            if not self.is_worker:
                records, unreadable = call_journal.left_behind(folder)
                self.earlier += [record for record in records if record.test]
                self._unreadable += unreadable
            try:
                return CallJournal(folder / (name + call_journal.SUFFIX), config.option.call_limit), temporary
            except OSError as error:
                reasons.append(f"{folder}: {error.strerror}")
                if temporary is not None:
                    temporary.remove()
        raise no_room(*reasons)

    def _watched(self, config: pytest.Config) -> CallWatcher | None:
        """What ends this process where a call does not return, if calls have a limit; it speaks to the terminal."""
        if not config.option.call_limit or not call_watcher.CAN_WATCH:
            return None
        with speaking(config):
            return _begun_watcher(self.box.path, speaks=not self.is_worker)

    def pytest_collection_finish(self) -> None:
        """Has garbage searched for seldom, and not in what was imported: that took a tenth of a run."""
        self._thresholds = gc.get_threshold()
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GARBAGE_THRESHOLDS)

    def executor(self) -> Executor:
        """The executor of the next test: child processes once a call has ended its process."""
        return worker_process.IN_CHILDREN if self.in_children() else InProcess()

    def first_executor(self, named: bool) -> Executor:
        """The executor of the smallest calls: children for a named subject, as this process is irreplaceable."""
        return worker_process.IN_CHILDREN if named and not self.is_worker else self.executor()

    def first_calls_are_made(self) -> None:
        """If a child died of one, all other calls are made in children too."""
        self._always |= bool(worker_process.pool().deaths)
        if not self.in_children():
            worker_process.pool().close()

    def in_children(self) -> bool:
        return self._always or (self.is_worker and not (self.folder / _IN_PROCESS).exists())

    def header(self) -> list[str]:
        """What there is to say of runs that died, a line each."""
        unreadable = [f"{piece(path)}: no record of a run that died; it was left out" for path in self._unreadable]
        return [f"conformance: {line}" for line in [*map(_of_earlier, self.earlier), *unreadable]]

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.box.begin(_described(item))
        worker_process.pool().new_test()
        confirmed.new_test()
        here = session.current()
        here.executor = self.executor()
        whole = here.recorder
        if self.is_worker:
            here.recorder = Recorder()  # of this test alone, as the whole grows
        yield
        self.box.begin({})
        if self.is_worker:
            counted, here.recorder = here.recorder.to_json(), whole
            whole.merge(counted)
            self._save(counted)

    def _save(self, counted: dict[str, Any]) -> None:
        """What this worker counted in a test, in case it cannot say so at its end."""
        if self._recorded is None:
            return
        try:
            with self._recorded.open("a", encoding="utf-8") as file:
                file.write(json.dumps(counted) + "\n")
        except OSError as error:
            session.current().recorder.unwritten[SAVED_COUNTS] = str(error.strerror)
            self._recorded = None  # what is there ends in a cut line

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
        outcome: Any = yield
        if call.when == "call" and worker_process.pool().deaths:
            outcome.get_result().user_properties.append((DEATHS, _titles()))

    def pytest_keyboard_interrupt(self) -> None:
        """A worker that is ending is ended by its controller: Ctrl-C once more, which every process hears, is not its
        business."""
        if self.is_worker:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keeps what was found, in case this process ends before it says so: it has no controller."""
        told: list[Any] = [value for name, value in report.user_properties if name == FINDINGS]
        if not self._speaks or not report.failed or not told:
            return
        texts = [Finding.from_json(one).text() for group in told for one in group]
        with suppress(OSError), self._found.open("a", encoding="utf-8") as file:
            file.write("".join(f"{text}\n\n" for text in texts))

    def finding_of_interrupted(self, item: pytest.Item, error: BaseException) -> Finding | None:
        """The finding that a call did not return before another's limit ended it, such as pytest-timeout's."""
        if not isinstance(error, CallInterrupted):
            return None
        record = Record(os.getpid(), self.box.calls, True, error.case, error.route, _described(item))
        return finding_of(record, Failure(TIMED_OUT, number=error.seconds))

    def close(self) -> None:
        """Removes the records, at the normal end of the process."""
        gc.set_threshold(*self._thresholds)
        module_call.tell_no_more(self.box)
        if self._watcher is not None:
            self._watcher.close()
        self.box.close()
        with suppress(OSError):
            self._found.unlink(missing_ok=True)
        worker_process.pool().close()
        if self._temporary is not None:
            self._temporary.remove()
        limits.allow_core_files(self._cores)


def _titles() -> list[str]:
    """How children died in the test at hand."""
    return sorted({failure.title for failure in worker_process.pool().deaths})


def speaking(config: pytest.Config) -> AbstractContextManager[None]:
    """What the block prints, and what it starts, reaches the terminal."""
    capture: Any = config.pluginmanager.get_plugin("capturemanager")
    return capture.global_and_fixture_disabled() if capture is not None else nullcontext()  # type: ignore[no-any-return]


@contextmanager
def import_limited(config: pytest.Config, subjects: Sequence[str]) -> Iterator[None]:
    """Ends this process, with a line that names the subjects, if the block takes longer than an import may."""
    if not call_watcher.CAN_WATCH:
        yield
        return
    folder = temporary_folder()
    try:
        try:
            path = folder.path / ("import" + call_journal.SUFFIX)
            journal = CallJournal(path, limits.of_import(config.option.call_limit))
        except OSError as error:
            raise no_room(f"{folder.path}: {error.strerror}") from None
        with speaking(config):
            watcher = _begun_watcher(journal.path)
        journal.before(f"importing {', '.join(subjects)}", "")
        try:
            yield
        finally:
            watcher.close()
            journal.close()
    finally:
        folder.remove()


def _begun_watcher(path: Path, speaks: bool = True) -> CallWatcher:
    """The watcher of a journal. Raises pytest.UsageError."""
    try:
        return CallWatcher(path, speaks)
    except OSError as error:
        said = f"no process can be begun that ends calls which do not return: {error.strerror}"
        raise usage_error(f"{said}; allow more processes, or do without with --call-limit 0") from None


def no_room(*reasons: str) -> pytest.UsageError:
    """The refusal of a run that cannot write down its calls."""
    free = f"free {call_journal.SIZE // 1024} kB for each process, or name another folder with TMPDIR"
    return usage_error(f"the journal of calls cannot be written: {'; '.join(reasons)}; {free}")


def temporary_folder() -> TemporaryFolder:
    """A new folder. Raises pytest.UsageError."""
    try:
        return TemporaryFolder()
    except OSError as error:
        raise no_room(str(error.strerror)) from None


def _folders(config: pytest.Config) -> Iterator[tuple[Path, TemporaryFolder | None]]:
    """Where this process may write its record, and the folder if it is a temporary one."""
    if _is_worker(config):
        yield Path(config.workerinput[RUN_FOLDER]), None  # type: ignore[attr-defined]
        return
    cached = config.pluginmanager.hasplugin("cacheprovider") and not config.option.cacheclear
    if cached and (folder := _in_cache(config)) is not None:
        yield folder, None
    made = temporary_folder()
    yield made.path, made


def _in_cache(config: pytest.Config) -> Path | None:
    """The folder of records in pytest's cache; None in a checkout that cannot be written."""
    cache = config.rootpath / os.path.expandvars(config.getini("cache_dir"))  # config.cache is not there yet
    folder = cache / "d" / "conformance"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (cache / ".gitignore").exists():
            (cache / ".gitignore").write_text("*\n", encoding="utf-8")
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return None
    return folder


def _processes(config: pytest.Config) -> int:
    return int(getattr(config, "workerinput", {}).get("workercount", 1))


def _described(item: pytest.Item) -> dict[str, Any]:
    """The description of a test, enough to make a finding of it."""
    mark = item.get_closest_marker(MARK)
    if mark is None:
        return {"nodeid": item.nodeid}
    here, cell, like = session.current(), item.callspec.params["cell"], item.callspec.params.get(LIKE)  # type: ignore[attr-defined]
    found, judged, module = mark.args[0], here.subject, like.name if like is not None else ""
    return {
        "nodeid": item.nodeid,
        "test": found.name,
        "cell": cell,
        "clause": found.clause.id,
        "subject": judged.name,
        "options": here.options(cell, module),
        "module": module,
        "drawn": found.draws,
    }


def _of_earlier(record: Record) -> str:
    """`the run before this one died in ...`, and how to repeat it. What the record says is shown, nothing more."""
    test = record.test
    drawn = record.case and (test.get("drawn") or "test" not in test)
    case, options = record.case if drawn else "", test.get("options", "")
    name = node(test["test"], test.get("cell", "")) if test.get("test") else ""
    parts = [f"the run before this one died in {test.get('nodeid')}" + ("" if record.inside else ", outside of a call")]
    if case or name:
        parts += [f"again: {command_of(case, name, options, record.inside)}"]
    if record.inside:
        parts += ["this time every call is made in a child process"]
    return one_line("; ".join(parts), 1000)


def finding_of(record: Record, failure: Failure) -> Finding | None:
    """The finding that a process died in this call; None where its test is no property."""
    test = record.test
    if "clause" not in test:
        return None
    with suppress(CaseError):
        dtype = parse(record.case)[0].dtype
        return Finding(
            severity=RED,
            clause=test["clause"],
            test=test["test"],
            cell=test["cell"],
            subject=test["subject"],
            route=record.route,
            dtype=dtype,
            field="call",
            kind=failure.title,
            lines=(failure.title,),
            case=record.case if test["drawn"] else "",
            options=test["options"],
            failure=failure,
            module=test.get("module", ""),
        )
    return None


class Controller:
    """Where xdist's workers are started: hears of their limits."""

    def __init__(self, config: pytest.Config, report: Report, watch: Watch) -> None:
        self.report, self.limit = report, config.option.call_limit
        self._temporary = temporary_folder()
        self.folder = self._temporary.path
        self._ends: dict[str, tuple[Record | None, Failure]] = {}
        self._tried: set[str] = set()
        self._outside = 0
        self._waiting: dict[str, tuple[Finding | None, str]] = {}
        if not watch.in_children():
            try:
                (self.folder / _IN_PROCESS).touch()
            except OSError as error:
                raise no_room(f"{self.folder}: {error.strerror}") from None

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput[RUN_FOLDER] = str(self.folder)
        try:
            call_journal.reserve(self.folder / (node.gateway.id + call_journal.SUFFIX))
        except OSError as error:
            raise no_room(f"{self.folder}: {error.strerror}") from None

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: Any) -> None:
        if error is None or hasattr(node, "workeroutput"):
            return
        name = node.gateway.id
        record = call_journal.read(self.folder / (name + call_journal.SUFFIX))
        is_late = record is not None and record.late
        code = _exit_code(node)
        how = Failure(TIMED_OUT, number=self.limit) if is_late else Failure.of_exit(code, 0)
        self._ends[name] = record, how
        self._merge_recorded(name)
        if record is not None and record.inside:
            (self.folder / _IN_PROCESS).unlink(missing_ok=True)
        if record is None or not record.test or record.test == _PROBES:
            self._died_outside(name, how.fate)

    def _merge_recorded(self, name: str) -> None:
        """Adds what a worker saved, which could not say so at its end."""
        recorder = Recorder()
        with suppress(OSError, ValueError):  # the last line may be cut
            for line in (self.folder / (name + _RECORDED)).read_text(encoding="utf-8").splitlines():
                recorder.merge(json.loads(line))
        self.report.merge(name, recorder.to_json())

    def _died_outside(self, name: str, how: str) -> None:
        """A worker died when no test was at hand. Its successors are not replaced for ever."""
        self.report.suite_errors.append((name, f"a worker died outside of any test: it {how}"))
        self.report.unfinished += [f"ERROR  {name}, a worker, died outside of any test: it {how}"]
        self._outside += 1
        if self._outside >= MOST_OUTSIDE:
            said = f"{self._outside} workers died outside of any test, the last one {how}"
            pytest.exit(one_line(said, MOST), returncode=int(pytest.ExitCode.TESTS_FAILED))

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: Any, sched: Any) -> None:
        """Has the test done again in child processes; what dies there too is told as it is."""
        record, how = self._ends.get(report.node.gateway.id, (None, Failure(LOST)))
        at_hand = record is not None and record.test.get("nodeid") == crashitem
        finding = finding_of(record, how) if record is not None and at_hand and record.inside else None
        said = how.title if finding else f"{how.title}, outside of a call into the subject" + _last_case(record)
        (self.folder / _IN_PROCESS).unlink(missing_ok=True)
        if crashitem not in self._tried and _pending_again(sched, crashitem):
            self._tried.add(crashitem)
            if at_hand:
                self._waiting[crashitem] = finding, said
            report.outcome, report.longrepr = "rerun", one_line(said, MOST)
            return
        self._waiting.pop(crashitem, None)
        _fail(report, finding, said)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: Any) -> None:
        """A test that was done again, and in which no child died, failed all the same; so did one that no time was left
        to do again."""
        too_late = report.when == "setup" and report.outcome == "skipped"
        if report.nodeid not in self._waiting or not (too_late or report.when == "call"):
            return
        finding, said = self._waiting.pop(report.nodeid)
        if too_late:
            report.when = "call"
            report.user_properties = [one for one in report.user_properties if one[0] != NOT_REACHED]
            _fail(report, finding, said)
            return
        if report.outcome == "failed" and any(name == DEATHS for name, _ in report.user_properties):
            return
        _fail(report, finding and as_repeat(finding), f"{said}; did not recur when re-run in a child process")

    def pytest_report_teststatus(self, report: Any) -> tuple[str, str, str] | None:
        return ("done again in child processes", "R", "AGAIN") if report.outcome == "rerun" else None

    def pytest_keyboard_interrupt(self) -> None:
        """Ends the workers, since one whose call does not return would be waited for."""
        for path in self.folder.glob("*" + call_journal.SUFFIX):
            record = call_journal.read(path)
            if record is not None and call_journal.is_held(path):
                with suppress(OSError):
                    os.kill(record.pid, signal.SIGTERM)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        for path in self.folder.glob("*" + _RECORDED):
            self._merge_recorded(path.name.removesuffix(_RECORDED))
        for nodeid, (finding, said) in self._waiting.items():
            self.report.unfinished += [finding.text() if finding else f"{nodeid}: {said}"]
            self.report.findings += [finding] if finding else []

    def pytest_unconfigure(self) -> None:
        self._temporary.remove()


def _exit_code(node: Any) -> int | None:
    """The exit code of a worker that died; None if it runs on another machine."""
    process = getattr(getattr(node.gateway, "_io", None), "popen", None)
    try:
        return None if process is None else int(process.wait(10))
    except Exception:  # whatever a gateway of another kind makes of it
        return None


def _last_case(record: Record | None) -> str:
    return f"; the last was {record.case}" if record is not None and record.case else ""


def _pending_again(sched: Any, nodeid: str) -> bool:
    """Whether the scheduler could be told to have a test run once more."""
    try:
        sched.mark_test_pending(nodeid)
    except NotImplementedError:
        return False
    return True


def _fail(report: Any, finding: Finding | None, said: str) -> None:
    """Makes a report that of a failure: of the finding, or of an error of the suite."""
    before = f"{report.longrepr}\n\n" if report.outcome == "failed" and report.when == "call" else ""
    report.outcome, report.longrepr = "failed", block(before + (finding.text() if finding else said), LONGEST_TRACEBACK)
    report.location = (*report.location[:2], report.nodeid.rpartition("::")[2])  # where xdist says only the file
    if finding is not None:
        report.user_properties.append((FINDINGS, [finding.to_json()]))
    else:
        report.user_properties.append((SUITE_ERROR, said))


class CompletionLog:
    """Which tests were collected, and which of them came to an end."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.collected: dict[str, None] = {}
        self.ended: set[str] = set()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.collected |= dict.fromkeys(item.nodeid for item in session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        self.collected |= dict.fromkeys(ids)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome in ("failed", "skipped"):
            self.ended.add(report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        given_up = isinstance(excinfo.value, pytest.exit.Exception)
        self.report.interrupted = str(excinfo.value) if given_up else "interrupted"
        self.report.ended_by_user = type(excinfo.value) is KeyboardInterrupt  # xdist raises one of its own for -x

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        self.report.collected = list(self.collected)
        self.report.never_ran = [nodeid for nodeid in self.collected if nodeid not in self.ended]
        found = self.report.findings or self.report.suite_errors  # where a plugin had a test run again, and it passed
        if exitstatus == 0 and (found or self.report.never_ran):
            session.exitstatus = int(pytest.ExitCode.TESTS_FAILED)  # type: ignore[assignment]


ENDING = b"\nconformance: the run is ending; Ctrl-C again ends it at once, without what is left to say\n"


class Interruptible:
    """SIGTERM ends a run as Ctrl-C does: with a summary, and with everything that it started.

    Once a run is ending Ctrl-C raises nothing, for pytest would answer with tracebacks: the first is told what the next
    does, which ends the process; so does the first once all is said. What the process leaves the next run removes.
    """

    def __init__(self, report: Report) -> None:
        self.report = report
        self._ends_at_once = False
        self._before_ending: Any = None
        self._before: Any = None
        with suppress(ValueError):  # not the main thread
            if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
                self._before = signal.signal(signal.SIGTERM, self._interrupt)

    @staticmethod
    def _interrupt(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)  # once is enough
        raise KeyboardInterrupt(f"signal {number}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self) -> None:
        self._begin_to_end()

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Iterator[None]:
        self._begin_to_end()
        yield
        self._ends_at_once = True

    def _begin_to_end(self) -> None:
        with suppress(ValueError):  # not the main thread
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                self._before_ending = signal.signal(signal.SIGINT, self._interrupt_end)

    def _interrupt_end(self, number: int, frame: object) -> None:
        if self.report.is_writing_folders:
            raise KeyboardInterrupt
        if self._ends_at_once:
            with suppress(Exception):  # it may be written to at this moment
                sys.stdout.flush()
            os._exit(int(pytest.ExitCode.INTERRUPTED))
        self._ends_at_once = True
        os.write(2, ENDING)

    def pytest_unconfigure(self) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
        if self._before_ending is not None:
            signal.signal(signal.SIGINT, self._before_ending)


def install(config: pytest.Config, report: Report, watch: Watch) -> None:
    """Registers what this process needs, once its first calls are made."""
    watch.box.begin({})
    register = config.pluginmanager.register
    register(watch, "conformance-watch")
    if _is_worker(config):
        _limit_memory(config)
        return
    register(CompletionLog(report), "conformance-ledger")
    register(Interruptible(report), "conformance-interruptible")
    if is_controller(config):
        controller = Controller(config, report, watch)
        register(controller, "conformance-controller")
        register(Heeding(controller.folder), "conformance-refused-runs")
        if config.option.maxworkerrestart is None:
            config.option.maxworkerrestart = str(MOST_RESTARTS)
    else:
        _limit_memory(config)


def _limit_memory(config: pytest.Config) -> None:
    """A call that asks for all memory is refused it, before the system kills a process. Drivers of devices map more
    addresses than there is memory."""
    if session.current().axes.devices == ("cpu",):
        limits.limit_memory(limits.fair_share(_processes(config)))
