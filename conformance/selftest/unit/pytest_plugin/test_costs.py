"""What the case of a command line takes is estimated before it runs, and said or refused."""

import re
from types import SimpleNamespace
from typing import Any

import pytest

import conformance.__main__ as command_line
from conformance.commands.cases import chosen
from conformance.harness.property import properties
from conformance.harness.pytest_plugin import plugin
from conformance.harness.pytest_plugin.costs import Cost, cost_of, of_run
from conformance.harness.pytest_plugin.options import OptionError, read
from strategies.cost import seconds_of

DEEP, SMALL = "v1 lstm l4096 i1 h1 t1", "v1 lstm i1 h1 t1"
NUMBER = next(one for one in properties() if one.name == "test_every_step_of_every_layer_lies_within_its_error_bound")


def options(line):
    """The options of a run of one case."""
    return read("default", [], line, [], [], [], [], [], no_stale=False)


def of_line(line):
    """The cost of a case line."""
    cost = of_run(options(line))
    assert cost is not None
    return cost


def test_case_costs_what_every_property_that_it_fits_costs():
    given = options(SMALL)
    cost = of_line(SMALL)
    fitting = [one for one in properties() if "lstm" in one.cells and one.fits(given.case, "lstm")]
    assert cost.properties == len(fitting) > 50
    assert cost.seconds == pytest.approx(sum(seconds_of(given.case, one.clause.id) for one in fitting))
    assert of_run(options(None)) is None


def test_case_without_a_cell_costs_what_it_does_on_each():
    assert of_line("v1 i1 h1 t1").properties > of_line(SMALL).properties
    assert cost_of(options(SMALL).case, [(NUMBER, "lstm"), (NUMBER, "gru")]).properties == 2


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (9, ""),
        (10, "the case takes about 10 seconds on 7 properties"),
        (119, "the case takes about 2 minutes on 7 properties"),
        (3600, "the case takes about 1 hour on 7 properties"),
        (1e6, "the case takes about 12 days on 7 properties"),
    ],
)
def test_what_takes_long_is_announced(seconds, said):
    assert Cost(seconds, 7).announced == said


def test_what_takes_too_long_is_refused_unless_any_time_is_allowed():
    cost = of_line(DEEP)
    with pytest.raises(OptionError, match="more than 1,800 s: do without"):
        cost.require_allowed(1800, "do without")
    cost.require_allowed(0, "do without")
    of_line(SMALL).require_allowed(1800, "do without")


def test_commands_announce_and_refuse_as_well(capsys):
    chosen("v1 lstm l128 i1 h1 t1", most_seconds=1800)
    said = capsys.readouterr().err
    assert re.fullmatch(r"python -m conformance: the case takes about 1 minute on \d+ properties\n", said)
    chosen(DEEP)
    assert capsys.readouterr().err == "", "a run that writes reports ends its children in time by itself"
    assert command_line.main(["bisect", DEEP, "--python", "a", "b"]) == 4
    assert "or --time 0 for no limit" in capsys.readouterr().err


def test_property_that_would_not_end_in_time_is_not_begun(monkeypatch):
    recorder = SimpleNamespace(undone=lambda settings: None)
    here = SimpleNamespace(has_time_for=lambda case, clause: False, cut_short=False, recorder=recorder)
    item: Any = SimpleNamespace(config=SimpleNamespace(stash={plugin.OPTIONS: options(DEEP)}))
    with monkeypatch.context() as patched:  # this very test is reported by the plugin
        patched.setattr(plugin, "_here", lambda: here)
        patched.setattr(plugin, "property_of", lambda item: NUMBER)
        with pytest.raises(pytest.skip.Exception, match="not reached in time"):
            plugin.pytest_pyfunc_call(item)
    assert here.cut_short
