"""The pytest plugin: its hooks. Everything else is plain Python below it.

Neither torch nor Hypothesis is imported before `pytest_configure` has seen that they are there.
"""

from __future__ import annotations

import linecache
import math
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from conformance.harness.foreign_text import MOST, encodable, one_line, piece, text_of
from conformance.harness.pytest_plugin import command_line, deadline, refused_runs, requirements
from conformance.harness.pytest_plugin.command_line import AXES, EFFORTS, usage_error
from conformance.harness.pytest_plugin.items import (
    NOT_ASKED,
    cell_of,
    is_asked_for,
    is_fuzzed,
    lack_of,
    narrow,
    node_of_item,
    own_test,
    property_of,
    skip_if_not_asked,
)
from conformance.harness.pytest_plugin.left_out import reason_for

REPORT = pytest.StashKey[Any]()
WATCH = pytest.StashKey[Any]()
OPTIONS = pytest.StashKey[Any]()


def pytest_addoption(parser: pytest.Parser) -> None:
    command_line.declare(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    try:
        _configure(config)
    except pytest.UsageError as error:
        refused_runs.refuse(config, str(error))
        raise


def _configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "conformance(property, ...): a test of the contract")
    requirements.require_packages()
    from conformance.harness.pytest_plugin import narrowing

    config.args = narrowing.without_own_tests(config)
    requirements.require_options_of_hypothesis(config.option)
    requirements.require_workers_that_can_be_replaced(getattr(config.option, "dist", "no"))
    config.option.call_limit = deadline.call_limit(config)
    deadline.set_deadline(config)
    config.stash[OPTIONS] = options = _read_options(config)
    if not hasattr(config.option, "seed_given"):  # a worker is told it with the other options
        config.option.seed_given = config.option.hypothesis_seed is not None
    announced = _announced(config)
    if config.option.hypothesis_seed is None and options.effort != "ci":
        config.option.hypothesis_seed = str(random.SystemRandom().randrange(2**32))
    given = config.option
    if is_fuzzed(config):
        _load_profile(options.effort, seed_given=False)
        _begin_session(options, None)
    if given.collectonly or given.help or given.setuponly or given.setupplan:
        return
    from conformance.harness import session
    from conformance.harness.pytest_plugin import crash_recovery, results_file
    from conformance.harness.pytest_plugin.output import github, known_entries, report, unsaved

    _load_profile(options.effort, config.option.seed_given)
    config.stash[WATCH] = watch = crash_recovery.Watch(config)
    _begin_session(options, watch.first_executor(bool(config.option.subject)))
    session.current().deadline = config.option.deadline
    watch.first_calls_are_made()
    command = config.invocation_params.args
    config.stash[REPORT] = report.Report(session.current(), options, command, narrowing.narrowed_by(config))
    config.stash[REPORT].announced = announced
    config.pluginmanager.register(config.stash[REPORT], "conformance-report")
    crash_recovery.install(config, config.stash[REPORT], watch)
    results_file.install(config, config.stash[REPORT])
    known_entries.install(config, config.stash[REPORT])
    github.install(config, config.stash[REPORT])
    unsaved.install(config, config.stash[REPORT])


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    deadline.tell_worker(node)


def _begin_session(options: Any, executor: Any) -> None:
    """Begins the session of this process, the first calls of the subject made by `executor`, or here."""
    from conformance.harness import session
    from conformance.harness.execution import machine

    found = machine.pin()
    session.begin(_checked(lambda: options.session(executor)))
    session.current().put_right += found


def _read_options(config: pytest.Config) -> Any:
    from conformance.harness.pytest_plugin.options import read

    given = config.option
    if given.subject or given.like:
        _make_importable(config.rootpath, config.invocation_params.dir)
    if given.subject and not hasattr(config, "workerinput"):
        from conformance.harness.pytest_plugin import crash_recovery

        with crash_recovery.speaking(config):
            requirements.require_import_to_return(given.subject, given.call_limit)
    if len(given.case) > 1:
        raise usage_error("--case is given twice: run one case at a time")
    case = given.case[0] if given.case else None
    axes = {f"{axis}s": getattr(given, axis) for axis in AXES}
    known = [Path(name) for name in given.known]
    shown = {"no_stale": given.no_stale, "show_known": given.show_known}
    shown |= {"fail_on": given.fail_on, "like": given.like, "repeat": given.repeat}
    shown |= {"leave_out": Path(given.leave_out) if given.leave_out else None}
    ended = f"--subject {' '.join(given.subject)}: importing it does not come back in a worker; do without -n"
    with refused_runs.refused_if_it_ends(config, ended), _import_limited(config):
        return _checked(lambda: read(given.effort, given.subject, case, known=known, **shown, **axes))


def _import_limited(config: pytest.Config) -> AbstractContextManager[None]:
    """Ends this process if the import of a subject does not return here, though it did in a child."""
    from conformance.harness.pytest_plugin import crash_recovery

    given = config.option
    return crash_recovery.import_limited(config, given.subject) if given.subject else nullcontext()


def _announced(config: pytest.Config) -> str:
    """What to say of the cost of --case. Raises pytest.UsageError where that has to be allowed first."""
    if hasattr(config, "workerinput"):
        return ""
    from conformance.harness.isolation.limits import MOST_SECONDS_OF_A_CASE
    from conformance.harness.pytest_plugin import costs

    cost = costs.of_run(config.stash[OPTIONS])
    if cost is None:
        return ""
    if config.option.time is None:
        remedy = "give smaller sizes, or --time SECONDS, after which the run ends (0 for no limit)"
        _checked(lambda: cost.require_allowed(MOST_SECONDS_OF_A_CASE, remedy))
    return cost.announced


def _make_importable(*folders: Path) -> None:
    """The last of these folders comes first, as it does with `python -m`."""
    for folder in map(str, folders):
        if folder not in sys.path:
            sys.path.insert(0, folder)


def _checked(make: Callable[[], Any]) -> Any:
    """What `make` returns; an option that cannot be served becomes pytest's one line and exit code 4."""
    from conformance.harness.pytest_plugin.options import OptionError

    try:
        return make()
    except OptionError as error:
        raise usage_error(str(error)) from None


def _load_profile(effort: str, seed_given: bool) -> None:
    """The settings of Hypothesis. A seed that is given leaves out what earlier runs found."""
    import hypothesis
    from hypothesis import HealthCheck, Phase

    phases = [Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink] + ([Phase.target] if effort == "deep" else [])
    hypothesis.settings.register_profile(
        "conformance",
        deadline=None,
        derandomize=effort == "ci",
        database=None if seed_given else hypothesis.settings.default.database,  # type: ignore[union-attr]
        max_examples=EFFORTS[effort],
        phases=phases,
        print_blob=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    hypothesis.settings.load_profile("conformance")


def pytest_report_header(config: pytest.Config) -> list[str]:
    if REPORT not in config.stash:
        return []
    lines = config.stash[REPORT].header(config.option.hypothesis_seed) + config.stash[WATCH].header()
    return [one_line(line, MOST) for line in lines]


@pytest.hookimpl(trylast=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    models = metafunc.config.stash[OPTIONS].fleet
    if models.configurations and "cell" in metafunc.fixturenames:
        from conformance.harness.property import LIKE

        metafunc.fixturenames.append(LIKE)
        metafunc.parametrize(LIKE, models.configurations, ids=[one.name for one in models.configurations])
    if "known_deviation" in metafunc.fixturenames:
        entries = metafunc.config.stash[OPTIONS].concerned()
        metafunc.parametrize("known_deviation", entries, ids=[one_line(entry.id) for entry in entries])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    options = config.stash[OPTIONS]
    if options.fleet.configurations:
        from conformance.harness.pytest_plugin.asked import asked_items

        asked_items(items, options.fleet)
    for item in items:
        narrow(item, options.subject)
        if (found := property_of(item)) is not None:
            item.obj = own_test(found, item, config.option.hypothesis_seed)  # type: ignore[attr-defined]
    kept = [item for item in items if is_asked_for(item, options, config.option.cell)]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept
    if math.isfinite(config.option.deadline):
        from conformance.harness.pytest_plugin import turns

        items[:] = turns.in_turns(items, int(config.option.hypothesis_seed or 0))
        turns.share_out_time(_here(), config, items)


def _here() -> Any:
    """The session of this process."""
    from conformance.harness import session

    return session.current()


def pytest_runtest_setup(item: pytest.Item) -> None:
    from conformance.harness.pytest_plugin import turns

    _here().cut_short = False
    turns.begin(_here(), item)
    if _here().is_over:
        from conformance.harness.property import NOT_IN_TIME
        from conformance.harness.pytest_plugin.output.report import NOT_REACHED

        found = property_of(item)
        item.user_properties.append((NOT_REACHED, "other" if found is None else found.clause.id))
        pytest.skip(NOT_IN_TIME)
    options = item.config.stash[OPTIONS]
    if lack := reason_for(item.name, options.left_out) or lack_of(item, options.subject):
        from conformance.harness.pytest_plugin.output.report import LACKING

        item.user_properties += [(LACKING, lack), *_unasked_at(item, lack)]
        pytest.skip(lack)


def _unasked_at(item: pytest.Item, why: str) -> list[tuple[str, Any]]:
    """The clause and cell of a test that cannot be asked of the subject, for the report."""
    from conformance.harness.pytest_plugin.output.report import UNASKED_AT

    is_unasked = why.startswith(NOT_ASKED)
    return [(UNASKED_AT, [property_of(item).clause.id, cell_of(item)])] if is_unasked else []


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    from conformance.harness.execution import settings

    _here().recorder.undone(settings.put_right())  # what a fixture or a subject's call left behind
    options = pyfuncitem.config.stash[OPTIONS]
    if options.case is None:
        return None
    found, here = property_of(pyfuncitem), _here()
    if not here.has_time_for(options.case, found.clause.id):
        from conformance.harness.property import NOT_IN_TIME

        here.cut_short = True
        pytest.skip(NOT_IN_TIME)
    found.check(cell_of(pyfuncitem), options.case)
    skip_if_not_asked(node_of_item(pyfuncitem))
    return True


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome = yield
    told: Any = outcome.get_result()  # type: ignore[attr-defined]
    if call.when == "call":
        _tell(item, call, told)
    if property_of(item) is not None or _is_replay(item):
        from conformance.harness.pytest_plugin.output import report

        report.sanitise(told)


def _tell(item: pytest.Item, call: pytest.CallInfo[None], told: pytest.TestReport) -> None:
    """What the report of a test's call says of the contract."""
    from conformance.harness.findings.deviation import Deviation
    from conformance.harness.pytest_plugin.output import junit, report

    found, error = property_of(item), call.excinfo and call.excinfo.value
    if isinstance(error, pytest.skip.Exception) and _here().cut_short and found is not None:
        told.user_properties.append((report.NOT_REACHED, found.clause.id))
        return
    if _here().cut_short:
        told.user_properties.append((report.CUT_SHORT, item.nodeid.rpartition("::")[2]))
    if isinstance(error, pytest.skip.Exception) and found is not None:
        told.user_properties += [(report.LACKING, str(error)), *_unasked_at(item, str(error))]
    elif error is not None and found is not None:
        hung = item.config.stash[WATCH].finding_of_interrupted(item, error)
        if hung is not None:
            report.tell(told, [hung])
        else:
            report.rewrite(told, found, item, error)
    elif isinstance(error, Deviation):
        report.tell(told, [error.finding])
    if found is not None:
        _add_properties(item, junit.of_property(told, found, cell_of(item)))
    elif _is_replay(item):
        entry = item.callspec.params["known_deviation"]  # type: ignore[attr-defined]
        _add_properties(item, junit.of_entry(told, entry, cell_of(item)))


def _add_properties(item: pytest.Item, properties: list[tuple[str, str]]) -> None:
    """Gives a test these properties, in the place of those that it had when it was run before."""
    names = [name for name, _ in properties]
    item.user_properties[:] = [one for one in item.user_properties if one[0] not in names]
    item.user_properties += properties


def _is_replay(item: pytest.Item) -> bool:
    """Whether a test replays a known deviation."""
    return "known_deviation" in getattr(item, "fixturenames", ())


@pytest.hookimpl(tryfirst=True)
def pytest_warning_recorded(warning_message: Any) -> None:
    """Has a warning shown on a line: its text and its place may be a subject's."""
    line = warning_message.line or linecache.getline(warning_message.filename, warning_message.lineno)
    warning_message.message = text_of(warning_message.message, MOST)
    warning_message.filename, warning_message.line = one_line(warning_message.filename), one_line(line)
    name = warning_message.category.__name__
    if not name.isidentifier() or piece(name) != name:
        warning_message.category = UserWarning


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    output = getattr(session.config, "workeroutput", None)
    if output is not None and REPORT in session.config.stash:
        output["conformance"] = encodable(session.config.stash[REPORT].session.recorder.to_json())
    elif REPORT in session.config.stash and exitstatus == 0 and session.config.stash[REPORT].says_nothing():
        session.exitstatus = int(pytest.ExitCode.TESTS_FAILED)  # type: ignore[assignment]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: Any) -> None:
    output = getattr(node, "workeroutput", {}).pop("conformance", None)  # told twice of one that was interrupted
    if output is not None:
        node.config.stash[REPORT].merge(node.gateway.id, output)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if REPORT in config.stash and not hasattr(config, "workerinput"):  # xdist calls it in workers too
        from conformance.harness.pytest_plugin.output import summary

        if config.stash[REPORT].findings and not config.option.no_reports:
            _write_folders(terminalreporter, config)
        summary.write(config.stash[REPORT], terminalreporter, config.option.hypothesis_seed)


def _write_folders(terminal: Any, config: pytest.Config) -> None:
    """Writes the reports of a red run, once its failures are on the screen."""
    from conformance.harness.pytest_plugin.output import report_folders

    given = config.option
    seconds = f"{report_folders.seconds_left(given.deadline):.0f} s"
    terminal.write_line(f"conformance: writing a folder for each distinct finding, {seconds} at most; Ctrl-C ends that")
    with config.stash[REPORT].writing_folders():
        config.stash[REPORT].folders = report_folders.write(
            config.stash[REPORT],
            given.reports,
            config.invocation_params.dir,
            config.rootpath,
            given.hypothesis_seed,
            given.call_limit,
            given.deadline,
        )
