"""Scripts of life cycles show a module that is not its weights, and nothing on a sound one."""

import pytest

from conformance.harness.reports.scripts.lives import TEXTS
from conformance.harness.reports.scripts.script import WITH_DEFECT, WITHOUT_DEFECT, script
from conformance.selftest.faults.catalogue import faults
from conformance.selftest.unit.reports.test_other_kinds import endings_of, shown
from conformance.selftest.unit.reports.test_scripts import assert_short
from reference.histories import EXPORT, SUSPECTS, beginning

FAULTS = {
    "keeps-the-tensors-of-its-first-call": ("forward,setattr", "setattr"),
    "keeps-values-while-all-weights-are-frozen": ("freeze,forward,in_place", "freeze"),
    "keeps-tensors-until-an-attribute-is-set": ("forward,parameters_dict", "parameters_dict"),
    "keeps-values-in-evaluation-mode": ("eval,forward,data", "eval"),
    "computes-with-copies-once-it-was-flattened": ("flatten_parameters,in_place", "flatten_parameters"),
    "stays-in-training-mode": ("eval", "eval"),
    "stays-frozen": ("freeze,unfreeze", "unfreeze"),
    "hands-copies-of-its-weights-to-optimisers": ("momentum_step", "momentum_step"),
    "has-no-buffers-in-its-state_dict": ("spectral_norm", "spectral_norm"),
    "ties-weights-with-copies": ("tie", "tie"),
    "calls-itself-hooks-and-all": ("hooks", "hooks"),
    "loads-its-last-weight-into-another-parameter": ("load", "load"),
    "draws-random-numbers-in-every-copy": ("deepcopy", "deepcopy"),
}
"""Seeded faults: what is done to the module, and the operation that the property is about."""


@pytest.mark.parametrize("name", FAULTS)
def test_script_shows_a_module_that_is_not_its_weights(name, monkeypatch):
    (fault,) = [fault for fault in faults() if fault.name == name]
    history, operation = FAULTS[name]
    line = f"v1 rnn_tanh i1 h1 t1 nohx float32 do={history} fill=integers seed=3"
    found = shown(fault.subject, fault.clauses, f"test_module_is_its_weights_after[{operation}]", line)
    text = script(found)
    assert_short(text)
    with_fault, without, told = endings_of(text, fault.subject, monkeypatch)
    assert (with_fault, without) == (WITH_DEFECT, WITHOUT_DEFECT), told


OTHERWISE = (*SUSPECTS, EXPORT, "flatten_parameters")
"""Operations after which torch.nn itself deviates, one that takes seconds, and one that the sound build has not."""


@pytest.mark.parametrize("operation", [name for name in TEXTS if name not in OTHERWISE])
def test_lines_of_an_operation_do_what_the_operation_does(operation, monkeypatch):
    (fault,) = [fault for fault in faults() if fault.name == "stays-in-training-mode"]
    history = ",".join((*beginning(operation), "eval"))
    line = f"v1 rnn_tanh i1 h1 t1 nohx float32 do={history} fill=integers seed=3"
    found = shown(fault.subject, fault.clauses, f"test_module_is_its_weights_after[{operation}]", line)
    with_fault, without, told = endings_of(script(found), fault.subject, monkeypatch)
    assert (with_fault, without) == (WITH_DEFECT, WITHOUT_DEFECT), told
