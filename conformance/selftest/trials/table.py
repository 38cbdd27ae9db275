"""What a run meets, and how it has to end: one row each.

A row adds to `pytest` on one small property of the GRU. Faults need nothing that a machine may forbid: a full disk is a
limit on the size of files, or the device that has no room.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PASSED = r"=+ \d+ passed.* in .*s.* =+"
FAILED = r"=+ \d+ failed.* in .*s.* =+"


@dataclass(frozen=True)
class Trial:
    """How a run ends.

    name         what it meets
    arguments    options, separated by spaces; {folder} is the trial's own, from which modules are imported
    code         the expected exit status
    last         a regular expression of the last line that is printed
    says         a text that is printed before it
    environment  variables
    files        the text of files in the trial's folder
    most_bytes   the largest file that the run may write; 0 for any size
    python       options of the interpreter
    full_output  whether what it prints has no room
    needs        the plugin that it is about, which has to work with this pytest on an empty test
    quick        whether it is tried in the default tier
    """

    name: str
    arguments: str
    code: int
    last: str
    says: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    most_bytes: int = 0
    python: tuple[str, ...] = ()
    full_output: bool = False
    needs: str = ""
    quick: bool = False


LATE = r"ERROR: --subject gru=own:GRU: .* did not return within 30 s; .* raise --call-limit"
IN_THREAD = "-n 0 --timeout 20 --timeout-method thread --subject gru=own:GRU --call-limit 60"
BOTH_LIMITS = "-n 0 --timeout 20 --subject gru=own:GRU --call-limit 60"

CUT, GOES_ON = r"conformance/test_shapes\.py *", "did not return within 2 s; with -n 1 a run goes on after such a call"

REFUSED = r"! _pytest.outcomes.Exit: --subject gru=own:GRU: importing .* !"

SLEEPING = {"own.py": "import time\ntime.sleep(1000)\n"}
DEADLY = {"own.py": "import os\nos.abort()\n"}
NOISY = {"own.py": "import sys, torch, warnings\nprint('x' * 99_999)\nwarnings.warn('\\x1b[31m')\nGRU = torch.nn.GRU\n"}
HANGING = {
    "own.py": "import torch\nclass GRU(torch.nn.GRU):\n    def forward(self, *given):\n        while True: pass\n"
}
LOCKING = {
    "own.py": "import ctypes, torch\nclass GRU(torch.nn.GRU):\n    def forward(self, *given):\n"
    "        if given[0].numel() > 1: ctypes.PyDLL(None).sleep(1000)\n        return super().forward(*given)\n"
}
_IN_WORKER = "import os, time, torch\nif os.environ.get('PYTEST_XDIST_WORKER'):\n    {}\nGRU = torch.nn.GRU\n"
ELSEWHERE = {"own.py": _IN_WORKER.format("raise RuntimeError('not in a worker')")}
STUCK = {"own.py": _IN_WORKER.format("time.sleep(1000)")}
LATER = {
    "own.py": "import torch\nclass GRU(torch.nn.GRU):\n    def forward(self, *given):\n"
    "        while given[0].numel() > 1: pass\n        return super().forward(*given)\n"
}
NO_GRADIENT = {"own.py": "import torch\ntorch.set_grad_enabled(False)\ntorch.set_default_dtype(torch.float64)\n"}
NO_GRADIENT_IN_TESTS = {
    "own.py": "import torch\ndef pytest_runtest_setup(item):\n    torch.set_grad_enabled(False)\n"
    "    torch.set_default_device('meta')\n"
}

# fmt: off  (a row is a line)
TRIALS = (
    Trial("nothing", "-n 0", 0, PASSED, quick=True),
    Trial("a worker", "-n 1", 0, PASSED, quick=True),
    Trial("workers that steal", "-n 2 --dist worksteal", 0, PASSED),
    Trial("groups of workers", "-n 2 --dist loadscope", 4, "ERROR: --dist loadscope: tests are lost.*"),
    Trial("grad mode off", "-n 0 -p own", 0, PASSED, "grad mode off was set; undone", files=NO_GRADIENT, quick=True),
    Trial("grad mode off in tests", "-n 0 -p own", 0, PASSED, "UNDONE  grad mode off", files=NO_GRADIENT_IN_TESTS),
    Trial("grad mode off in workers", "-n 1 -p own", 0, PASSED, "UNDONE  grad mode off", files=NO_GRADIENT_IN_TESTS),
    Trial("warnings are errors", "-n 0 -W error", 0, PASSED),
    Trial("PYTHONWARNINGS=error", "-n 1", 0, PASSED, environment={"PYTHONWARNINGS": "error"}),
    Trial("PYTHONHASHSEED", "-n 0", 0, PASSED, environment={"PYTHONHASHSEED": "7"}),
    Trial("TORCH_LOGS", "-n 0", 0, PASSED, environment={"TORCH_LOGS": "+all"}),
    Trial("many threads", "-n 0", 0, PASSED, environment={"OMP_NUM_THREADS": "64", "MKL_NUM_THREADS": "64"}),
    Trial("another locale", "-n 0", 0, PASSED, environment={"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}),
    Trial("no assertions", "-n 0", 4, "ERROR: Python leaves out assertions.*", python=("-O",), quick=True),
    Trial("no docstrings", "-n 0", 4, "ERROR: Python leaves out.*", environment={"PYTHONOPTIMIZE": "2"}),
    Trial("a full disk", "-n 0", 4, "ERROR: the journal of calls cannot be written.*", most_bytes=4096, quick=True),
    Trial("a full disk with workers", "-n 1", 4, "ERROR: the journal of calls.*", most_bytes=4096),
    Trial("a full results file", "-n 0 --results /dev/full", 4, "ERROR: --results /dev/full.*", quick=True),
    Trial("a full report of JUnit", "-n 0 --junitxml /dev/full", 4, PASSED, "UNSAVED a file of _pytest.junitxml"),
    Trial("a full output", "-n 0", 4, PASSED, "the output cannot be written: No space left", full_output=True),
    Trial("a summary of a job without room", "-n 0", 0, PASSED, environment={"GITHUB_STEP_SUMMARY": "/dev/full"}),
    Trial("an import that never ends", "-n 0 --subject gru=own:GRU --call-limit 1", 4, LATE, files=SLEEPING),
    Trial("an import that dies", "-n 0 --subject gru=own:GRU", 4, r"ERROR: .*\(SIGABRT\)", files=DEADLY),
    Trial("an import that prints", "-n 0 --subject gru=own:GRU", 0, PASSED, files=NOISY),
    Trial("calls without end", "-n 0 --subject gru=own:GRU --call-limit 2", 1, FAILED, "within 2 s", files=HANGING),
    Trial("a case that takes hours", "--case=v1_lstm_l4096_i1_h1_t1", 4, "ERROR: the case takes about .*", quick=True),
    Trial("no such option", "--no-such-option", 4, " +rootdir: .*"),
    Trial("an empty seed", "--hypothesis-seed=", 4, "ERROR: --hypothesis-seed.*", quick=True),
    Trial("known deviations without end", "--known=/dev/zero", 4, "ERROR: --known: .*", quick=True),
    Trial("no such file of known deviations", "--known={folder}/none.toml", 4, "ERROR: --known: .*"),
    Trial("no such subject", "--subject none.such", 4, "ERROR: --subject none.such: .*", quick=True),
    Trial("no such model", "--like none.such:build", 4, "ERROR: --like .*"),
    Trial("no Hypothesis", "-p no:hypothesispytest", 4, "ERROR: Hypothesis's pytest plugin is needed.*", quick=True),
    Trial("no cache", "-n 0 -p no:cacheprovider", 0, PASSED),
    Trial("no capture", "-n 0 -s", 0, PASSED),
    Trial("another's limit", "-n 0 --timeout 300", 0, PASSED, needs="pytest_timeout"),
    Trial("a worker alone refuses", "-n 2 --subject gru=own:GRU", 4, REFUSED, "not in a worker", files=ELSEWHERE),
    Trial(
        "a worker alone hangs", "-n 2 --subject gru=own:GRU --call-limit 2", 4, REFUSED, "do without -n", files=STUCK
    ),
    Trial("a call that holds the lock", "-n 0 --subject gru=own:GRU --call-limit 2", -9, CUT, GOES_ON, files=LOCKING),
    Trial(
        "a hang and another's thread",
        IN_THREAD,
        1,
        r"\++ Timeout \++",
        "ended the process",
        files=LATER,
        needs="pytest_timeout",
    ),
    Trial("a hang and another's limit", BOTH_LIMITS, 1, FAILED, "within 20 s", files=LATER, needs="pytest_timeout"),
    Trial("tests in another order", "-n 0", 0, PASSED, needs="pytest_randomly"),
    Trial("coverage in workers", "-n 2 --cov=conformance", 0, PASSED, needs="pytest_cov"),
    Trial("tests that are run again", "-n 0 --reruns 1", 0, PASSED, needs="pytest_rerunfailures"),
    Trial("a page of results", "-n 0 --html={folder}/page.html", 0, PASSED, needs="pytest_html"),
    Trial("results as JSON", "-n 0 --json-report --json-report-file={folder}/r", 0, PASSED, needs="pytest_jsonreport"),
)
