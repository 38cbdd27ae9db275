"""What a user sees: options that cannot be served, and what kinds of failure a run tells apart."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from conformance.results.files import load

ROOT = Path(__file__).parents[4]

SEQUENTIAL, PARALLEL = ("-p", "no:xdist"), ("-n", "2")


def run(*arguments, plugin="", path=None, **settings):
    """A run of the suite in a process of its own, with a plugin of this text if wanted, and these variables: exit code
    and output."""
    environment = dict(os.environ, COLUMNS="200") | settings
    extra = []
    if plugin:
        (path / "planted.py").write_text(plugin)
        environment["PYTHONPATH"] = str(path)
        extra = ["-p", "planted"]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--no-reports", *extra, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout + done.stderr


def error_lines(text):
    return [
        line for line in text.splitlines() if line.strip() and "Warning" not in line and "warnings.warn" not in line
    ]


REFUSED = [
    (("--effort", "heroic"), "heroic", "smoke, default, ci, deep"),
    (("--case", "v1 lstm i3 hx4"), "word 4 of the case line, 'hx4'", "i3 h4"),
    (("--case", "v1 lstm i3 fill=blue"), "word 4 of the case line, 'fill=blue'", "dyadic"),
    (("--case", "lstm i3"), "'lstm'", "begins with 'v1'"),
    (("--case", "v1 lstm i3", "--cell", "gru"), "lstm is none of --cell gru", "leave --cell out"),
    (
        ("--case", "v1 lstm l4096 i1 h1 t1"),
        " properties, more than 1,800 s",
        "give smaller sizes, or --time",
    ),
    (("--device", "abacus"), "abacus", "present: cpu"),
    (("--route", "abacus"), "abacus", "grad, no_grad, no_mkldnn"),
    (
        ("--case", "v1 gru t5 bad=h_0.layers+1"),
        "[h_0.layers] of gru, takes steps 1, 2, not 5",
        "no property is about it",
    ),
    (("--case", "v1 gru t1 nobias bad=h_0.layers+1"), "takes no word nobias", "the nearest, test_invalid_call"),
    (
        ("--case", "v1 gru i9 t1 do=failed_to"),
        "takes input_size 1, 2, 3, not 9",
        "the nearest, test_module_is_its_weights",
    ),
    (("--case", "v1 gru t1 bad=batch_sizes.sum+1"), "takes packed=True", "batch_sizes.sum"),
    (("--case", "v1 lstm i3 weights=encoder.rnn"), "weights=encoder.rnn", "as --like package.module:build"),
    (("--like", "no_such.module:build"), "no_such", "run from the folder that it lies in, or install it"),
    (("--like=no/such/model.toml",), "no/such/model.toml", "name a file that `python -m conformance inventory` wrote"),
    (("--time", "abacus"), "abacus", "a number of seconds"),
    (("--hypothesis-seed", "abacus"), "abacus", "a whole number"),
    (("--hypothesis-seed=",), "--hypothesis-seed: ", "leave it out for one that is drawn"),
    (("--hypothesis-seed", "9" * 5_000), "9999", "at most 40 digits"),
    (("--hypothesis-profile", "ci"), "--hypothesis-profile", "--effort says how many cases are drawn"),
    (("-p", "no:hypothesispytest"), "Hypothesis's pytest plugin", "leave out -p no:hypothesispytest"),
    (("--call-limit", "1e-300"), "1e-300", "1 second at least, or 0 for no limit"),
    (("--known=/dev/zero",), "/dev/zero: not a regular file", "name a file of known deviations"),
    (("--subject", "no_such.module"), "no_such", "run from the folder that it lies in, or install it"),
    (("--subject", "torch.ao.nn.quantizable"), "layers.0.layer_fw.cell.igates.weight", "quantizable_lstm.py"),
    (("--known=no/such/file.toml",), "no/such/file.toml", "name a file of known deviations"),
    (("--fail-on", "B1,Z9"), "--fail-on Z9: no such clause", "A5, A6"),
    (("--results=no/such/folder/r.json",), "no/such/folder/r.json: No such file", "name a file that can be written"),
    (("--results=README.md",), "--results README.md", "ends in .json"),
]
"""Arguments, what the one line about them names, and the remedy that it gives."""


def assert_one_line_with_the_remedy(code, text, named, remedy):
    assert code == 4
    assert len(error_lines(text)) <= 3
    assert named in text
    assert remedy in text
    assert "Traceback" not in text


IN_TURN = """
import contextlib, io, json, sys
import pytest

for arguments in json.load(sys.stdin):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = pytest.main(arguments)
    print(json.dumps([int(code), said.getvalue()]))
"""


def run_in_turn(runs):
    """Runs that end before a test, one after the other in one process: exit code and output of each."""
    arguments = json.dumps([["-p", "no:cacheprovider", *run] for run in runs])
    command = [sys.executable, "-c", IN_TURN]
    done = subprocess.run(command, cwd=ROOT, input=arguments, capture_output=True, text=True, timeout=300, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_options_that_cannot_be_served_take_one_line_with_the_remedy():
    tried = [(mode, *row) for row in REFUSED for mode in (SEQUENTIAL, PARALLEL)]
    ends = run_in_turn([(*mode, *arguments) for mode, arguments, _, _ in tried])
    for (_, _, named, remedy), (code, text) in zip(tried, ends, strict=True):
        assert_one_line_with_the_remedy(code, text, named, remedy)


PLACES = {
    "the checkout from elsewhere": (("{root}",), "/"),
    "its folder": (("conformance",), "{root}"),
    "by importlib": (("--import-mode=importlib",), "{root}"),
}
"""Ways to name the contract: arguments, and the folder that they are given in."""


@pytest.mark.parametrize("way", PLACES)
def test_contract_is_what_a_run_of_the_checkout_collects(way):
    arguments, folder = PLACES[way]
    named = [one.format(root=ROOT) for one in arguments]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--collect-only", "-q", *named]
    done = subprocess.run(
        command, cwd=folder.format(root=ROOT), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = {line.partition("::")[0] for line in done.stdout.splitlines() if "::" in line}
    contract = {path.name for path in (ROOT / "conformance").glob("test_*.py")}
    assert {Path(path).name for path in found} == contract
    assert not any("selftest" in path for path in found)


@pytest.mark.parametrize("option", ["--setup-plan", "--setup-only"])
def test_plan_of_fixtures_is_no_failure(option):
    code, text = run(option, *SEQUENTIAL, "conformance/test_shapes.py", "-k", "documented_shape and gru")
    assert code == 0
    assert "SETUP    F cell['gru']" in text
    assert "Traceback" not in text


@pytest.mark.thorough(reason="a process for each option, which has to import torch first")
@pytest.mark.parametrize("mode", [SEQUENTIAL, PARALLEL], ids=["sequential", "parallel"])
@pytest.mark.parametrize(("arguments", "named", "remedy"), REFUSED)
def test_option_that_cannot_be_served_takes_one_line_with_the_remedy(arguments, named, remedy, mode):
    code, text = run(*mode, *arguments)
    assert_one_line_with_the_remedy(code, text, named, remedy)


MISSING_TORCH = """
import sys
sys.modules["torch"] = None
"""

OLD_TORCH = """
import importlib.metadata as metadata
original = metadata.version
metadata.version = lambda name: "1.9.0" if name == "torch" else original(name)
"""

NO_TORCH = """
import importlib.metadata as metadata
original = metadata.version
def version(name):
    if name == "torch":
        raise metadata.PackageNotFoundError(name)
    return original(name)
metadata.version = version
"""


@pytest.mark.parametrize("mode", [SEQUENTIAL, PARALLEL], ids=["sequential", "parallel"])
@pytest.mark.parametrize(
    ("plugin", "said"),
    [
        (MISSING_TORCH, "torch cannot be imported"),
        (OLD_TORCH, "torch 1.9.0 is too old, 2.0 or newer is needed"),
        (NO_TORCH, "torch is not installed"),
    ],
)
def test_missing_or_old_torch_takes_one_line_with_the_remedy(plugin, said, mode, tmp_path):
    code, text = run(*mode, plugin=plugin, path=tmp_path)
    assert code == 4
    assert len(error_lines(text)) <= 3
    assert said in text
    assert "pip install torch" in text
    assert "Traceback" not in text


ODD_VERSION = """
import importlib.metadata as metadata
import torch
original = metadata.version
metadata.version = lambda name: {version!r} if name in ("torch", "numpy") else original(name)
if {version!r}:
    torch.__version__ = torch.version.__version__ = {version!r}
else:
    del torch.__version__, torch.version.__version__
"""


@pytest.mark.parametrize(
    "version",
    [
        "custom\x1b-build",
        pytest.param(None, marks=pytest.mark.thorough(reason="as the other, of a PyTorch that says no version")),
    ],
)
def test_pytorch_and_numpy_whose_versions_are_none_are_judged_and_a_line_says_so(version, tmp_path):
    plugin = ODD_VERSION.format(version=version)
    results = tmp_path / "r.json"
    asked = (
        "--effort",
        "smoke",
        "conformance/test_shapes.py",
        "-k",
        "documented_shape and lstm",
        f"--results={results}",
    )
    code, text = run(*SEQUENTIAL, *asked, plugin=plugin, path=tmp_path)
    assert code == 0, text
    shown = str(version).replace("\x1b", "\\x1b")
    assert f"\nPASS    torch {shown} computes LSTM and LSTMCell as documented" in text.replace("\n        ", " ")
    assert "its version is none: it is taken for a release that is newer than all others" in text
    assert load(results).environment.torch == shown


RAISES = """
from conformance.harness.execution import subject
from conformance.selftest.implementations import plain

class Raises(plain.Plain):
    def forward(self, input, hx=None):
        if self.hidden_size > 1:
            raise ArithmeticError("no \\x1b[31mluck\\nwith <b>this</b>")
        return super().forward(input, hx)

subject.torch_nn = lambda: plain.subject("raises", Raises)
"""

UNREPEATABLE = """
import random
from conformance.harness.execution import subject
from conformance.selftest.implementations import plain

class Noisy(plain.Plain):
    def tanh(self, z):
        return super().tanh(z) * (1 + random.SystemRandom().random())

subject.torch_nn = lambda: plain.subject("noisy", Noisy)
"""

SUITE_BUG = """
import reference
def forward(problem, rounding):
    return 1 / 0
reference.forward = forward
"""


def counts(text):
    """Tests that failed, by kind, as the summary counts them."""
    said = " ".join(text.rpartition("= conformance =")[2].split())

    def first(pattern):
        found = re.search(pattern, said)
        return int(found[1]) if found else 0

    unsteady = first(r"(\d+) tests? not repeatable")
    red = first(r"FAIL .*?documentation: \d+ causes?, (\d+) tests?") - unsteady
    return {"red": red, "not repeatable": unsteady, "error of the suite": first(r"ERROR (\d+) errors? of the suite")}


PARALLEL_TOO = [
    pytest.param(SEQUENTIAL, id="sequential"),
    pytest.param(
        PARALLEL, id="parallel", marks=pytest.mark.thorough(reason="two workers; crash tests run red ones under xdist")
    ),
]


@pytest.mark.parametrize("mode", PARALLEL_TOO)
@pytest.mark.parametrize(
    ("plugin", "kind"), [(RAISES, "red"), (UNREPEATABLE, "not repeatable"), (SUITE_BUG, "error of the suite")]
)
def test_kinds_of_failure_are_told_apart_in_the_summary(plugin, kind, mode, tmp_path):
    chosen = "test_results_lie and lstm and not cell and not wherever"
    code, text = run(*mode, "--effort", "smoke", "-k", chosen, plugin=plugin, path=tmp_path)
    assert code == 1
    kinds = ("red", "not repeatable", "error of the suite")
    assert counts(text) == {name: int(name == kind) for name in kinds}
    assert "PASS " not in text
    assert ("Traceback" in text or "ZeroDivisionError" in text) is (kind == "error of the suite")


def test_red_findings_are_told_by_cause_with_the_simplest_and_no_control_characters(tmp_path):
    chosen = "(test_results_lie or test_last_output_is or shape_whatever) and not relu and not wherever"
    _, text = run(*SEQUENTIAL, "--effort", "smoke", "-k", chosen, plugin=RAISES, path=tmp_path)
    section = text.rpartition("= conformance =")[2]
    said = r"cause 1 of 1, 9 tests: RNN\(tanh\), LSTM and GRU, ArithmeticError:[^\0]*?,\s+in\s+A2\s+B1\s+D1"
    simplest = 'pytest --case "v1 gru i1 h2 t1 float32 fill=dyadic"'
    assert re.search(rf"(?m)^{said}\n        {simplest}$", section), section
    assert section.splitlines()[1].startswith("cause 1 of 1"), "the groups come first"
    assert counts(text)["red"] == 9
    assert r"ArithmeticError: no \x1b[31mluck with <b>this</b>" in text
    assert "\x1b[31m" not in text


def test_case_line_of_a_failure_fails_again_and_only_where_it_fits(tmp_path):
    line = "v1 lstm i1 h2 t1 float32 fill=dyadic"
    code, text = run(*SEQUENTIAL, "--case", line, plugin=RAISES, path=tmp_path)
    assert code == 1
    assert f'again    pytest --case "{line}"' in text
    assert "gru" not in re.sub("(?m)^.*deselected.*$", "", text)
    code, text = run(*SEQUENTIAL, "--case", line)
    assert code == 0, text


def test_known_deviation_that_is_gone_is_a_line_and_with_no_stale_a_failure(tmp_path):
    (tmp_path / "mine.toml").write_text(
        """
        [[deviation]]
        id = "never-was"
        severity = "red"
        clause = "D1"
        field = "output"
        kind = "differs from h_n"
        test = "test_last_output_is_the_last_hidden_state"
        case = "v1 lstm i1 h1 t1 float32 fill=dyadic"
        torch = ">=2.0"
        tracker = "none"
        """
    )
    arguments = (*SEQUENTIAL, f"--known={tmp_path / 'mine.toml'}", "--effort", "smoke")
    code, text = run(*arguments, "-k", "never-was or test_last_output_is")
    assert code == 0
    assert "FIXED   D1 never-was: fixed upstream, remove this entry" in text
    assert "PASS " in text
    code, text = run(*arguments, "--no-stale", "-k", "never-was")
    assert code == 1
    assert "PASS " not in text


def test_known_deviation_does_not_fail_the_run_and_hides_no_other(tmp_path):
    known = """
        [[deviation]]
        id = "raises-above-one-unit"
        severity = "red"
        clause = "D1"
        field = "call"
        kind = "raised ArithmeticError"
        test = "test_last_output_is_the_last_hidden_state"
        case = "v1 lstm i1 h2 t1 float32 fill=dyadic"
        torch = ">=2.0"
        tracker = "none"
        where = { cell = "lstm", hidden_size = ">=2" }
        """
    (tmp_path / "mine.toml").write_text(known)
    arguments = (*SEQUENTIAL, f"--known={tmp_path / 'mine.toml'}", "--effort", "smoke", "--no-stale")
    code, text = run(*arguments, "-k", "raises-above or (test_last_output_is and lstm)", plugin=RAISES, path=tmp_path)
    assert code == 0, text
    assert "KNOWN   1 defect   D1 raises above one unit  not reported" in text
    assert "XFAIL" not in text
    code, text = run(*arguments, "-k", "test_last_output_is and gru", plugin=RAISES, path=tmp_path)
    assert code == 1


WARNS = """
import warnings
from conformance.harness.execution import subject
from conformance.selftest.implementations import plain

class Warns(plain.Plain):
    def forward(self, input, hx=None):
        warnings.warn("<b>no</b> \\x1b[31mluck\\n::error::it is late")
        return super().forward(input, hx)

subject.torch_nn = lambda: plain.subject("warns", Warns)
"""

CHOSEN = ("--effort", "smoke", "-k", "valid_call_warns and lstm and not cell")


def test_remark_fails_the_run_where_its_clause_is_named_and_is_told_to_junit_and_github(tmp_path):
    junit, summary, results = (tmp_path / name for name in ("j.xml", "s.md", "r.json"))
    files = (f"--results={results}", f"--junitxml={junit}")
    actions = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    code, text = run(*SEQUENTIAL, *CHOSEN, *files, plugin=WARNS, path=tmp_path, **actions)
    assert code == 0, text
    assert load(results).findings[0].severity == "remark"
    assert re.findall("^::(?:error|warning) title=(.*?)::", text, re.MULTILINE) == [
        "REMARK A5%3A valid call warns of nothing"
    ]
    assert "REMARK A5 " in summary.read_text()
    code, text = run(*PARALLEL, *CHOSEN, *files, "--fail-on=B1,A5", plugin=WARNS, path=tmp_path, **actions)
    assert code == 1, text
    assert "red because of --fail-on A5, remark without it" in text
    made = load(results)
    assert (made.verdict, made.complete, made.totals.red) == ("FAIL", True, 1)
    assert {row.outcome for row in made.judged if row.clause == "A5"} == {"red"}
    assert re.findall("^::(error|warning) ", text, re.MULTILINE) == ["error", "error"]
    case = {one.get("name"): one.get("value") for one in ElementTree.parse(junit).iter("property")}
    told = {name: case.get(name) for name in ("clause", "cell", "severity", "case")}
    assert told == {"clause": "A5", "cell": "lstm", "severity": "red", "case": made.findings[0].case}
    assert case["signature"] == r"A5 | warnings | warns: <b>no</b> \x1b[31mluck ::error::it is late"


EXPIRED = """
    [[deviation]]
    id = "raises-above-one-unit"
    severity = "red"
    clause = "D1"
    field = "call"
    kind = "raised ArithmeticError"
    test = "test_last_output_is_the_last_hidden_state"
    case = "v1 lstm i1 h2 t1 float32 fill=dyadic"
    torch = ">=2.0"
    tracker = "none"
    owner = "ana\\u001b[31m"
    reason = "we wait"
    expires = {day}
    """


@pytest.mark.parametrize(("day", "code"), [("2020-02-29", 1), ("9999-12-31", 0)])
def test_waiver_covers_until_its_day_is_over_and_is_red_from_then_on(day, code, tmp_path):
    (tmp_path / "mine.toml").write_text(EXPIRED.format(day=day))
    arguments = (*SEQUENTIAL, f"--known={tmp_path / 'mine.toml'}", "--effort", "smoke", "--show-known")
    chosen = "raises-above or (test_last_output_is and lstm)"
    ended, text = run(*arguments, f"--results={tmp_path / 'r.json'}", "-k", chosen, plugin=RAISES, path=tmp_path)
    assert ended == code, text
    waiver = rf"waived until {day} by ana\x1b[31m: we wait"
    assert waiver in " ".join(text.split())
    made = load(tmp_path / "r.json")
    (entry,) = [one for one in made.known if one.id == "raises-above-one-unit"]
    assert (entry.state, entry.waiver) == ("expired" if code else "seen", waiver)
    assert [one.severity for one in made.findings if not one.known] == ["red"] * 2 * code
    assert all(waiver in one.lines for one in made.findings if not one.known)


def test_what_a_run_does_not_reach_is_told_and_not_passed():
    model = "conformance.selftest.unit.models.examples:tagger"
    code, text = run("-n", "2", "--like", model, "--effort", "smoke", "--time", "0.01", "-k", "last_output")
    assert code == 1
    assert " passed" not in text
    assert "nothing about torch.nn; give it more --time, or a narrower -k" in " ".join(text.split())
    assert re.search(r"REACHED 0 properties in the time given; \d+ not reached: ", text)
    assert re.search(rf"MODELS +NOTHING +{model}", text)


SEEDS = """
from pathlib import Path
def pytest_collection_finish(session):
    name = getattr(session.config, "workerinput", {}).get("workerid", "controller")
    Path(__file__).with_name(f"seed-{name}").write_text(session.config.option.hypothesis_seed)
"""


def test_workers_draw_from_the_seed_that_the_run_names(tmp_path):
    _, text = run("-n", "2", "-k", "no_such_test", plugin=SEEDS, path=tmp_path)
    seeds = {path.read_text() for path in tmp_path.glob("seed-gw*")}
    assert len(seeds) == 1
    assert f"seed {min(seeds)}" in text
