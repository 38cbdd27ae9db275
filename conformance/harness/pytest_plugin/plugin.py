"""The pytest plugin: options, header, the shape of a failure, the summary. Everything else is plain Python below it.

Neither torch nor Hypothesis is imported before `pytest_configure` has seen that they are there.
"""

from __future__ import annotations

import importlib.metadata
import math
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

EFFORTS = {"smoke": 20, "default": 100, "ci": 200, "deep": 5000}
OLDEST = {"torch": "2.0", "hypothesis": "6.149", "numpy": "1.26", "packaging": "21"}
REMEDY = {"torch": "pip install torch==2.13.0 (or the release that you want judged)"}

AXES = {
    "cell": "this cell: rnn_tanh, rnn_relu, lstm, gru, or one of these with _cell",
    "device": "this device, instead of all that are present",
    "dtype": "this dtype: float32, float64, float16, bfloat16",
    "route": "this route: grad, no_grad, no_mkldnn, inference_mode, frozen, input_grad, meta (compared with grad), "
    "fake (likewise); checks of constructors and of packing still run",
}
"""Options that leave out a part of the contract, and what each keeps."""

REPORT = pytest.StashKey[Any]()
WATCH = pytest.StashKey[Any]()
OPTIONS = pytest.StashKey[Any]()
ASKED = pytest.StashKey[Any]()
"""The property of an item that is asked of a user's module."""

LEFT = pytest.StashKey[float]()
"""How many items a process will still run, this one too; of a run that ends after a time."""

OF_THE_RUN = "conformance_run_ends_and_seed"
"""When the run is over, and its seed: a key of xdist's workerinput."""

BEGAN = time.time()
"""When this was imported, before torch is."""

SECONDS_TO_END = 3.0
"""The part of its time that a run keeps for its summary, or a tenth if that is less."""

SECONDS_OF_A_CASE = 1.0
"""The processor seconds that a drawn case of a model may be estimated to take where time is limited."""

LIKE_SECONDS = 120.0
"""The time of a run with --like, unless --time names another."""

LONGEST_CALL_LIMIT_SECONDS = 86_400
"""The most seconds that --call-limit takes: a day."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance", "conformance of PyTorch's recurrent modules")
    add = group.addoption
    try:
        add(
            "--effort",
            default="default",
            metavar="NAME",
            help="cases per property: smoke 20, default 100, ci 200 (always the same), deep 5000",
        )
        add(
            "--subject",
            action="append",
            default=[],
            metavar="NAME",
            help="what to judge instead of torch.nn: pkg.module for the RNN, LSTM, GRU and Cells it has, or "
            "lstm=pkg.module:Name for one class; may be repeated",
        )
        add(
            "--case",
            action="append",
            default=[],
            metavar="LINE",
            help="run this case alone, on every property that it fits: the text in quotes after `again` in a failure",
        )
        for axis, what in AXES.items():
            add(f"--{axis}", action="append", default=[], metavar="NAME", help=f"only {what}; may be repeated")
        add(
            "--like",
            action="append",
            default=[],
            metavar="MODEL",
            help="judge the recurrent modules of this model at their sizes: package.module:build, or a file that "
            "`python -m conformance inventory` wrote; may be repeated",
        )
        add(
            "--time",
            metavar="SECONDS",
            help="end the run after this time, chapters in turn; 0 for no limit (none, 120 with --like)",
        )
        add(
            "--known",
            action="append",
            default=[],
            metavar="FILE",
            help="known deviations of your own, in the form of conformance/known.toml; may be repeated",
        )
        add(
            "--show-known",
            action="store_true",
            help="list every known deviation with its tracker after the run",
        )
        add(
            "--fail-on",
            action="append",
            default=[],
            metavar="CLAUSE[,CLAUSE]",
            help="amber findings and remarks of these clauses fail the run; may be repeated",
        )
        add(
            "--no-stale",
            action="store_true",
            help="fail on known deviations that no longer occur, and on properties that tested nothing",
        )
        add(
            "--reports",
            metavar="DIR",
            help="where a red run writes a folder for each distinct finding (.conformance)",
        )
        add(
            "--no-reports",
            action="store_true",
            help="write no folders",
        )
        add(
            "--results",
            metavar="FILE",
            help="write what was judged and found as JSON, in the form of docs/results.md: a name that ends in .json",
        )
        add(
            "--call-limit",
            default="120",
            metavar="SECONDS",
            help="a call that takes longer counts as one that does not return (120); 0 for ever",
        )
    except ValueError as error:
        raise pytest.UsageError(
            f"an option of this suite clashes with another plugin's: {error}; disable it with -p no:NAME"
        ) from None


def _seconds(text: str, option: str = "--call-limit") -> float:
    """A number of seconds. Raises pytest.UsageError."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LONGEST_CALL_LIMIT_SECONDS:
        limit = LONGEST_CALL_LIMIT_SECONDS
        raise pytest.UsageError(f"{option}: a number of seconds from 0 to {limit}, not {text[:60]!r}")
    return seconds


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "conformance(property, ...): a test of the contract")
    _require_packages()
    _require_workers_that_can_be_replaced(getattr(config.option, "dist", "no"))
    config.option.call_limit = _seconds(str(config.option.call_limit))
    _set_deadline(config)
    config.stash[OPTIONS] = options = _read_options(config)
    if not (config.option.hypothesis_seed or "0").isdecimal():
        raise pytest.UsageError(f"--hypothesis-seed: a whole number, not {config.option.hypothesis_seed!r}")
    if config.option.hypothesis_seed is None and options.effort != "ci":
        config.option.hypothesis_seed = str(random.SystemRandom().randrange(2**32))
    if config.option.collectonly or config.option.help:
        return
    from conformance.harness import session
    from conformance.harness.pytest_plugin import crash_recovery, github, narrowing, report, results_file

    _load_profile(options.effort)
    config.stash[WATCH] = watch = crash_recovery.Watch(config)
    session.begin(_checked(lambda: options.session(watch.first_executor(bool(config.option.subject)))))
    session.current().deadline = config.option.deadline
    watch.first_calls_are_made()
    given = config.invocation_params.args
    config.stash[REPORT] = report.Report(session.current(), options, given, narrowing.narrowed_by(config))
    config.pluginmanager.register(config.stash[REPORT], "conformance-report")
    crash_recovery.install(config, config.stash[REPORT], watch)
    results_file.install(config, config.stash[REPORT])
    github.install(config, config.stash[REPORT])


def _set_deadline(config: pytest.Config) -> None:
    """Sets the time of time.time() at which the run is over; workers have that and the seed of their controller."""
    given = config.option
    if hasattr(config, "workerinput"):
        given.deadline, given.hypothesis_seed = config.workerinput[OF_THE_RUN]
        return
    seconds = _seconds_given(config)
    given.deadline = BEGAN + seconds - min(SECONDS_TO_END, seconds / 10) if seconds else math.inf
    if seconds and getattr(given, "maxschedchunk", 1) is None:
        given.maxschedchunk = 1  # so that what is not reached is the end of the order, not the end of a worker's share


def _seconds_given(config: pytest.Config) -> float:
    """The time of the run, 0 for no limit. Raises pytest.UsageError."""
    given = config.option
    return _seconds(given.time, "--time") if given.time is not None else LIKE_SECONDS if given.like else 0


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput[OF_THE_RUN] = (node.config.option.deadline, node.config.option.hypothesis_seed)


def _require_packages() -> None:
    """Says in one line which package is missing or too old. Raises pytest.UsageError."""
    for name, oldest in reversed(OLDEST.items()):
        remedy = REMEDY.get(name, "pip install -e .")
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            raise pytest.UsageError(f"{name} is not installed: {remedy}") from None
        if name == "packaging":
            continue
        from packaging.version import Version

        if Version(found) < Version(oldest):
            raise pytest.UsageError(f"{name} {found} is too old, {oldest} or newer is needed: {remedy}")
    try:
        import torch  # noqa: F401
    except (ImportError, OSError) as error:
        raise pytest.UsageError(
            f"torch cannot be imported ({' '.join(str(error).split())[:200]}): {REMEDY['torch']}"
        ) from None


def _require_workers_that_can_be_replaced(dist: str) -> None:
    """Refuses the ways to share out tests with which a crash loses some. Raises pytest.UsageError."""
    from conformance.harness.pytest_plugin.crash_recovery import REPLACING

    if dist not in REPLACING:
        raise pytest.UsageError(
            f"--dist {dist}: tests are lost with it where a worker crashes; use --dist load (-n alone) or worksteal"
        )


def _read_options(config: pytest.Config) -> Any:
    from conformance.harness.pytest_plugin.options import read

    given = config.option
    if given.subject or given.like:
        _make_importable(config.rootpath, config.invocation_params.dir)
    if given.subject and not hasattr(config, "workerinput"):
        _require_import_to_return(given.subject)
    if len(given.case) > 1:
        raise pytest.UsageError("--case is given twice: run one case at a time")
    case = given.case[0] if given.case else None
    axes = {f"{axis}s": getattr(given, axis) for axis in AXES}
    known = [Path(name) for name in given.known]
    shown = {"no_stale": given.no_stale, "show_known": given.show_known}
    shown |= {"fail_on": given.fail_on, "like": given.like}
    return _checked(lambda: read(given.effort, given.subject, case, known=known, **shown, **axes))


def _require_import_to_return(subjects: Sequence[str]) -> None:
    """Imports the subjects in a child, where it ends nothing but that. Raises pytest.UsageError."""
    from conformance.harness.isolation import worker_process

    if why := worker_process.pool().refusal_of_import(subjects):
        raise pytest.UsageError(f"--subject {why}")


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
        raise pytest.UsageError(str(error)) from None


def _load_profile(effort: str) -> None:
    import hypothesis
    from hypothesis import HealthCheck, Phase

    phases = [Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink] + ([Phase.target] if effort == "deep" else [])
    hypothesis.settings.register_profile(
        "conformance",
        deadline=None,
        derandomize=effort == "ci",
        max_examples=EFFORTS[effort],
        phases=phases,
        print_blob=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    hypothesis.settings.load_profile("conformance")


def pytest_report_header(config: pytest.Config) -> list[str]:
    if REPORT not in config.stash:
        return []
    return config.stash[REPORT].header(config.option.hypothesis_seed) + config.stash[WATCH].header()


@pytest.hookimpl(trylast=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    models = metafunc.config.stash[OPTIONS].fleet
    if models.configurations and "cell" in metafunc.fixturenames:
        from conformance.harness.property import LIKE

        metafunc.fixturenames.append(LIKE)
        metafunc.parametrize(LIKE, models.configurations, ids=[one.name for one in models.configurations])
    if "known_deviation" in metafunc.fixturenames:
        entries = metafunc.config.stash[OPTIONS].concerned()
        metafunc.parametrize("known_deviation", entries, ids=[entry.id for entry in entries])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    options = config.stash[OPTIONS]
    if options.fleet.configurations:
        from conformance.harness.pytest_plugin.asked import asked_items

        asked_items(items, options.fleet)
    for item in items:
        if (found := _property(item)) is not None:
            item.obj = _test(found, item, config.option.hypothesis_seed)  # type: ignore[attr-defined]
    kept = [item for item in items if _is_asked_for(item, config)]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept
    if math.isfinite(config.option.deadline):
        from conformance.harness.pytest_plugin.turns import in_turns

        items[:] = in_turns(items, int(config.option.hypothesis_seed or 0))
        _share_out_time(config, items)


def _share_out_time(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Gives each property an equal share of the time that is left, so that the run comes to all of them if it can."""
    from conformance.harness.pytest_plugin.turns import seconds_in_full

    here = _here()
    processes = int(getattr(config, "workerinput", {}).get("workercount", 1))
    for place, item in enumerate(items):
        item.stash[LEFT] = (len(items) - place) / processes
    if here.fleet.configurations:
        here.axes.most_seconds = SECONDS_OF_A_CASE
        in_all = _seconds_given(config) * processes
        here.seconds_full = max(SECONDS_OF_A_CASE, seconds_in_full(items, in_all, here.axes.most_numbers))


def _test(found: Any, item: pytest.Item, seed: str | None) -> Callable[..., None]:
    """The test of a property for the cell of an item, with a seed of its own if the run has one."""
    from conformance.harness.property import derived_seed

    node = item.nodeid.rpartition("::")[2]
    return found.test(_cell(item), seed=None if seed is None else derived_seed(int(seed), node))  # type: ignore[no-any-return]


def _is_asked_for(item: pytest.Item, config: pytest.Config) -> bool:
    """Whether --cell and --case leave a test in. What is about no cell is none of --cell's business."""
    options, found, cell = config.stash[OPTIONS], _property(item), _cell(item)
    if options.fleet.configurations and (found is None or not found.module):
        return False
    if config.option.cell and cell and cell not in config.option.cell:
        return False
    return options.case is None or (found is not None and found.fits(options.case, cell) and options.cell in ("", cell))


def _property(item: pytest.Item) -> Any:
    """The property that a test claims, or None."""
    mark = item.get_closest_marker("conformance")
    return None if mark is None else item.stash.get(ASKED, mark.args[0])


def _cell(item: pytest.Item) -> str:
    """The cell that a property's test, or the replay of a known deviation, is about; "" for any other test."""
    given = item.callspec.params if hasattr(item, "callspec") else {}
    replayed = getattr(given.get("known_deviation"), "case", "")
    if replayed:
        from strategies import parse

        return parse(replayed)[1]
    return str(given.get("cell", "")) if _property(item) is not None else ""


def _lack(item: pytest.Item, judged: Any) -> str:
    """Why a property's test has nothing to judge in this subject; "" where it has."""
    found, cell = _property(item), _cell(item)
    if found is None:
        return ""
    if cell and cell not in judged.classes:
        return f"no {', '.join(judged.lacking)}: {judged.name} has none"
    binding = found.clause.binds
    return "" if found.clause.binds_subject(judged.name) else f"{found.clause.id} binds {binding} alone"


def _here() -> Any:
    """The session of this process."""
    from conformance.harness import session

    return session.current()


def pytest_runtest_setup(item: pytest.Item) -> None:
    _here().cut_short = False
    if LEFT in item.stash:
        _here().seconds_each = max(0.0, _here().deadline - time.time()) / item.stash[LEFT]
    if _here().is_over:
        from conformance.harness.property import NOT_IN_TIME
        from conformance.harness.pytest_plugin.report import NOT_REACHED

        found = _property(item)
        item.user_properties.append((NOT_REACHED, "other" if found is None else found.clause.id))
        pytest.skip(NOT_IN_TIME)
    if lack := _lack(item, item.config.stash[OPTIONS].subject):
        from conformance.harness.pytest_plugin.report import LACKING

        item.user_properties.append((LACKING, lack))
        pytest.skip(lack)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    options = pyfuncitem.config.stash[OPTIONS]
    if options.case is None:
        return None
    _property(pyfuncitem).check(_cell(pyfuncitem), options.case)
    return True


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome = yield
    found = _property(item)
    if call.when != "call":
        return
    from conformance.harness.findings.deviation import Deviation
    from conformance.harness.pytest_plugin import junit, report

    told, error = outcome.get_result(), call.excinfo and call.excinfo.value  # type: ignore[attr-defined]
    if isinstance(error, pytest.skip.Exception) and _here().cut_short and found is not None:
        told.user_properties.append((report.NOT_REACHED, found.clause.id))
        return
    if _here().cut_short:
        told.user_properties.append((report.CUT_SHORT, item.nodeid.rpartition("::")[2]))
    if isinstance(error, pytest.skip.Exception) and found is not None:
        told.user_properties.append((report.LACKING, str(error)))
    elif error is not None and found is not None:
        report.rewrite(told, found, item, error)
    elif isinstance(error, Deviation):
        report.tell(told, [error.finding])
    if found is not None:
        item.user_properties += junit.of_property(told, found, _cell(item))
    elif "known_deviation" in getattr(item, "fixturenames", ()):
        entry = item.callspec.params["known_deviation"]  # type: ignore[attr-defined]
        item.user_properties += junit.of_entry(told, entry, _cell(item))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    output = getattr(session.config, "workeroutput", None)
    if output is not None and REPORT in session.config.stash:
        output["conformance"] = session.config.stash[REPORT].session.recorder.to_json()
    elif REPORT in session.config.stash and exitstatus == 0 and session.config.stash[REPORT].says_nothing():
        session.exitstatus = int(pytest.ExitCode.TESTS_FAILED)  # type: ignore[assignment]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: Any) -> None:
    output = getattr(node, "workeroutput", {}).pop("conformance", None)  # told twice of one that was interrupted
    if output is not None:
        node.config.stash[REPORT].merge(node.gateway.id, output)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if REPORT in config.stash and not hasattr(config, "workerinput"):  # xdist calls it in workers too
        from conformance.harness.pytest_plugin import summary

        if config.stash[REPORT].findings and not config.option.no_reports:
            _write_folders(terminalreporter, config)
        summary.write(config.stash[REPORT], terminalreporter, config.option.hypothesis_seed)


def _write_folders(terminal: Any, config: pytest.Config) -> None:
    """Writes the reports of a red run, once its failures are on the screen."""
    from conformance.harness.pytest_plugin import report_folders

    given = config.option
    terminal.write_line("conformance: writing a folder for each distinct finding; Ctrl-C ends that")
    config.stash[REPORT].folders = report_folders.write(
        config.stash[REPORT],
        given.reports,
        config.invocation_params.dir,
        config.rootpath,
        given.hypothesis_seed,
        given.call_limit,
    )
