"""The situations of an upgrade as whole programs: two interpreters, one command, its exit code and what it says."""

import subprocess
import sys
from dataclasses import dataclass

import pytest

from conformance.commands.compare import DEVIATES, SAME, WORSE
from conformance.harness.isolation.interpreter import PLACE
from conformance.selftest.unit.comparing import releases

MODEL = '[modules]\ncell = "v1 gru_cell i3 h4 n2 float32"\n'

WAIVER = """
[[deviation]]
id = "{clause}-{number}"
severity = "red"
clause = "{clause}"
field = "{field}"
kind = "outside its bound"
test = "test_x"
case = ""
torch = ">=2.0"
tracker = "not reported"
expires = {expires}
"""

DOUBLED = [("C1", "gradient of h_0"), ("C1", "gradient of h_0 after 2 passes"), ("I", "gradient of h_0")]
"""What deviates where the gradient of the state is doubled."""


@dataclass(frozen=True)
class Situation:
    """Two releases, and what comparing them comes to.

    expires  the last day of waivers for `DOUBLED`, if there are any
    """

    new: str
    code: int
    said: tuple[str, ...]
    old: str = ""
    expires: str = ""


SITUATIONS = {
    "same": Situation("", SAME, ("0 new deviations, 0 fixed", "the same in all", "verdict: the same or better")),
    "a new deviation": Situation(
        releases.NEGATED, DEVIATES, ("new red B1 GRUCell h_n outside its bound: v1 gru_cell",)
    ),
    "fixed": Situation(
        "", SAME, ("0 new deviations, 3 fixed", "fixed red C1 GRUCell gradient"), old=releases.GRADIENT_OF_STATE_DOUBLED
    ),
    "headroom lost": Situation(
        releases.FOUR_ROUNDINGS, WORSE, ("0 new deviations", "all inside their bounds", "headroom        lost in 2 of")
    ),
    "ten times slower": Situation(releases.SLOW, WORSE, ("the same in all", "2 of 2 configurations slower")),
    "a state_dict that no longer loads": Situation(
        releases.RENAMED, DEVIATES, ("0 new deviations", "2 of 3 of the old one's load", "cell state_dict: raised")
    ),
    "waived": Situation(
        releases.GRADIENT_OF_STATE_DOUBLED, SAME, ("3 new deviations, 3 of them waived",), expires="9999-12-31"
    ),
    "a waiver that expired": Situation(
        releases.GRADIENT_OF_STATE_DOUBLED, DEVIATES, ("3 new deviations, 0 fixed",), expires="2020-01-01"
    ),
}


CALL = "import torch; torch.manual_seed(0); print(torch.nn.GRUCell(1, 1)(torch.ones(1, 1)).item())"


def test_interpreter_that_stands_in_for_another_release_computes_as_it_does(tmp_path):
    pythons = [releases.interpreter(tmp_path / "old"), releases.interpreter(tmp_path / "new", releases.NEGATED)]
    old, new = (float(subprocess.run([one, "-c", CALL], capture_output=True, check=True).stdout) for one in pythons)
    assert old == -new != 0


@pytest.mark.thorough("each starts three interpreters")
@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=list(SITUATIONS))
def test_the_exit_code_and_the_words_of(situation, tmp_path):
    (tmp_path / "model.toml").write_text(MODEL)
    given = ["--like", str(tmp_path / "model.toml"), "--cases", "1"]
    if situation.expires:
        waivers = [
            WAIVER.format(number=number, clause=clause, field=field, expires=situation.expires)
            for number, (clause, field) in enumerate(DOUBLED)
        ]
        (tmp_path / "ours.toml").write_text("".join(waivers))
        given += ["--known", str(tmp_path / "ours.toml")]
    pythons = [releases.interpreter(tmp_path / name, getattr(situation, name)) for name in ("old", "new")]
    done = subprocess.run(
        [sys.executable, "-m", "conformance", "compare", *pythons, *given],
        cwd=PLACE,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert all(words in done.stdout for words in situation.said), done.stdout + done.stderr
    assert done.returncode == situation.code, done.stdout + done.stderr
