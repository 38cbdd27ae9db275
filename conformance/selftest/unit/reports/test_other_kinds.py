"""Scripts of facts, packing, endings, memory and surroundings exit with 10 on a fault and with 0 on a sound build."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import traceback
from dataclasses import replace

import pytest
import torch

from conformance.clauses import CLAUSES
from conformance.commands.report import found_by
from conformance.harness import session
from conformance.harness.execution.failure import MISMATCHED
from conformance.harness.execution.requests.packing import TORCH_PACKING, UTILITIES
from conformance.harness.execution.subject import TORCH_NN
from conformance.harness.property import properties
from conformance.harness.reports.calls.packing_call import whole
from conformance.harness.reports.scripts.script import WITH_DEFECT, WITHOUT_DEFECT, script
from conformance.harness.session import Session
from conformance.selftest.faults.catalogue import faults
from conformance.selftest.unit.reports.test_scripts import assert_short, assert_small, ended, in_place_of_torch_nn
from strategies import Axes, parse
from strategies.axes import MOST_NUMBERS

BARE = "v1 {} i1 h1 t1 float32 fill=dyadic"
ROW = "v1 rnn_tanh i1 h1 t1, float32 fill=dyadic"
PACKED = "test_packing_cuts_after_the_longest_row_and_keeps_trailing_dimensions"
PADDED = "test_pad_sequence_pads_with_padding_value_on_padding_side"
AROUND = "test_call_and_its_gradients_are_the_same_with"
LAPS = "test_later_laps_over_the_same_lengths_take_no_more_memory"

FACTS = {
    "adds-a-batch-dimension-to-unbatched-states": (
        "test_unbatched_states_have_no_axis_of_the_batch",
        "v1 lstm i1 h1 t1 unb float32 fill=dyadic",
    ),
    "names-its-input-weights-w_ih": (
        "test_parameters_have_the_documented_names_and_shapes",
        BARE.format("gru_cell"),
    ),
    "takes-padding_value-before-batch_first": (
        "test_arguments_by_position_and_by_keyword_pack_the_same[by_position]",
        "v1 rnn_tanh i1 h1 t2,1 float32 fill=dyadic",
    ),
    "pads-with-ones-unless-asked-for-another-number": (
        "test_arguments_by_position_and_by_keyword_pack_the_same[left_out]",
        "v1 rnn_tanh i1 h1 t2,1 float32 fill=dyadic",
    ),
    "returns-the-output-and-both-states-in-one-flat-tuple": (
        "test_output_has_the_documented_shape",
        BARE.format("lstm"),
    ),
    "returns-the-output-alone": ("test_output_has_the_documented_shape", BARE.format("gru")),
    "returns-16-bit-outputs-and-single-step-states-as-float32": (
        "test_results_and_parameters_carry_the_dtype_and_device_asked_for",
        "v1 rnn_tanh i1 h1 t1 float16 fill=dyadic",
    ),
    "returns-outputs-with-other-strides-on-meta-tensors": (
        "test_meta_and_fake_tensors_have_the_facts_of_a_real_call",
        "v1 rnn_tanh i1 h2 t2 bf float32 fill=dyadic",
    ),
    "returns-final-states-with-other-strides-on-fake-tensors": (
        "test_meta_and_fake_tensors_have_the_facts_of_a_real_call",
        "v1 lstm i1 h2 t1 n2 float32 fill=dyadic",
    ),
    "omits-bias-from-its-repr": (
        "test_repr_shows_every_argument_that_is_not_its_default",
        "v1 gru i1 h1 t1 nobias float32 fill=dyadic",
    ),
    "omits-input_size-from-its-repr": (
        "test_repr_shows_every_argument_that_is_not_its_default",
        BARE.format("lstm_cell"),
    ),
    "warns-on-every-call": ("test_valid_call_warns_of_nothing", BARE.format("gru")),
    "warns-of-packed-rows-that-are-not-sorted": (
        "test_valid_call_warns_of_nothing",
        "v1 lstm i1 h1 t1,2 float32 fill=dyadic",
    ),
    "returns-packed-output-without-sorted_indices-and-unsorted_indices": (
        "test_packed_output_has_the_batch_sizes_and_indices_of_the_input",
        "v1 rnn_relu i1 h1 t1,2 float32 fill=dyadic",
    ),
    "returns-packed-output-with-sorted_indices-and-unsorted_indices-swapped": (
        "test_packed_output_has_the_batch_sizes_and_indices_of_the_input",
        "v1 gru i1 h1 t1,3,2 float32 fill=dyadic",
    ),
    "halves-its-input-in-place": (
        "test_call_changes_no_input_state_or_parameter_and_draws_no_random_number",
        BARE.format("lstm"),
    ),
}

PACKING = {
    "lists-batch_sizes-in-reverse": (PACKED, "v1 rnn_tanh i1 h1 t1,1,3 float32 fill=dyadic"),
    "flattens-trailing-dimensions": (PACKED, ROW),
    "returns-batch_sizes-as-int32": ("test_packed_sequence_has_the_documented_dtypes_and_devices", ROW),
    "ignores-padding_value-in-pad_sequence": (PADDED, "v1 rnn_tanh i1 h1 t1,1,2 float32 fill=dyadic"),
    "raises-indexerror-for-a-short-total_length": (
        "test_total_length_below_the_longest_row_raises_value_error",
        ROW,
    ),
    "drops-the-last-of-several-rows-in-unpad_sequence": (
        "test_unpad_sequence_gives_the_rows_back",
        "v1 rnn_tanh i1 h1 t2,2 float32 fill=dyadic",
    ),
    "replaces-nan-by-zero-in-the-argument-of-pack_padded_sequence": (
        "test_padding_and_packing_leave_their_arguments_alone",
        "v1 rnn_tanh i1 h1 t1,3 float32 fill=dyadic",
    ),
    "converts-batch_sizes-together-with-data": (
        "test_conversion_leaves_batch_sizes_and_indices_and_its_argument_alone",
        ROW,
    ),
    "returns-another-object-where-a-conversion-has-nothing-to-convert": (
        "test_conversion_to_its_own_dtype_and_device_returns_the_packed_sequence_itself",
        ROW,
    ),
    "rounds-the-padding_value-of-pad_packed_sequence-to-float64": (
        "test_padding_value_of_int64_comes_out_exactly_where_no_float_has_it",
        "v1 rnn_tanh i1 h1 t2,1 float32 fill=dyadic",
    ),
    "pads-and-packs-zeros-with-another-default-dtype": (
        "test_padding_and_packing_return_the_same_from[pack_padded_sequence_with_another_default_dtype]",
        ROW,
    ),
}

ENDINGS = {
    "rejects-a-list-of-lengths": (PACKED, ROW),
    "rejects-bfloat16-in-the-lstm-alone": ("test_cell_accepts_what_its_siblings_accept", ""),
}

SURROUNDINGS = {
    "makes-its-initial-states-on-the-default-device": (
        f"{AROUND}[another_default_device]",
        "v1 rnn_tanh_cell i1 h1 t1 nohx float32 fill=dyadic",
    ),
    "computes-in-the-default-dtype": (
        f"{AROUND}[another_default_dtype]",
        "v1 rnn_tanh i1 h1 t1 float64 fill=dyadic",
    ),
    "computes-something-else-with-deterministic-algorithms": (
        f"{AROUND}[deterministic_algorithms]",
        BARE.format("rnn_tanh"),
    ),
    "computes-something-else-in-anomaly-mode": (f"{AROUND}[anomaly_mode]", BARE.format("gru")),
    "computes-something-else-with-several-threads": (
        "test_call_and_its_gradients_lie_within_their_bounds_with[several_threads]",
        BARE.format("rnn_tanh"),
    ),
    "computes-something-else-outside-of-the-main-thread": (f"{AROUND}[another_thread]", BARE.format("lstm")),
    "computes-something-else-inside-a-backward-pass": (f"{AROUND}[backward_hook]", BARE.format("rnn_tanh")),
    "computes-something-else-if-it-was-built-under-no_grad": (
        f"{AROUND}[construction_under_no_grad]",
        BARE.format("rnn_tanh"),
    ),
    "computes-something-else-if-it-was-built-in-inference-mode": (
        f"{AROUND}[construction_in_inference_mode]",
        BARE.format("rnn_tanh"),
    ),
    "ends-a-forked-process": (f"{AROUND}[fork]", BARE.format("rnn_tanh")),
    "computes-something-else-after-a-fork": (f"{AROUND}[fork]", BARE.format("lstm")),
}

ONE_API = "test_every_dtype_and_kernel_can_be_differentiated_by"

DERIVATIVES = {
    "uses-a-tanh-that-is-differentiable-only-once": (
        "test_second_derivatives_are_those_of_the_first",
        "v1 rnn_tanh i1 h1 t1 float64 fill=uniform",
    ),
    "computes-the-second-derivative-of-tanh-an-eighth-too-large": (
        "test_second_derivatives_are_those_of_the_first",
        "v1 rnn_tanh i1 h1 t1 float64 fill=uniform",
    ),
    "rejects-batched-cotangents-in-float32": (f"{ONE_API}[batched_cotangents]", ""),
}

MEMORY = ("keeps-every-output", "keeps-the-graph-of-every-call")

KINDS = FACTS | PACKING | SURROUNDINGS | ENDINGS | DERIVATIVES


def shown(judged, clauses, test, line, cell=""):
    """What one case of a property shows of a subject, told of PyTorch."""
    case, named = parse(line) if line else (None, cell)
    tested = next(one for one in properties() if one.name == test)
    with session.nested(Session(judged, Axes(most_numbers=MOST_NUMBERS["smoke"]))) as here:
        found = next(one for one in found_by(here, tested, named, case) if one.finding.clause in clauses)
    name = TORCH_NN if judged.packs_as_torch else TORCH_PACKING
    return found._replace(finding=replace(found.finding, subject=name))


@contextlib.contextmanager
def in_place_of_torch(judged):
    """The block sees the subject's classes, or its utilities, under the names of PyTorch's."""
    if judged.packs_as_torch:
        with in_place_of_torch_nn(judged):
            yield
        return
    with pytest.MonkeyPatch.context() as patch:
        for name in UTILITIES:
            patch.setattr(torch.nn.utils.rnn, name, getattr(judged.packing, name))
        yield


def forked(text):
    """In place of subprocess.run, the script in a fork of this process, which knows what stands for torch.nn."""

    def run(command, timeout, **_):
        reading, writing = os.pipe()
        if not (pid := os.fork()):
            os.dup2(writing, 1)
            code = 1
            try:
                sys.argv, sys.stdout = ["repro.py", *command[2:]], os.fdopen(1, "w")
                exec(compile(text, "repro.py", "exec"), {"__name__": "__main__", "__file__": "repro.py"})
            except SystemExit as end:
                code = int(end.code or 0)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(code)
        os.close(writing)
        return outcome(pid, reading, command, timeout)

    return run


def outcome(pid, reading, command, timeout):
    """What subprocess.run returns of a process, or raises."""
    with os.fdopen(reading, "rb") as stream:
        if not select.select([stream], [], [], timeout)[0]:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise subprocess.TimeoutExpired(command, timeout)
        printed = stream.read()
    return subprocess.CompletedProcess(command, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), printed)


def endings_of(text, judged, monkeypatch):
    """How a script ends on a subject, and on a sound build."""
    assert_short(text)
    monkeypatch.setattr(subprocess, "run", forked(text))
    with in_place_of_torch(judged):
        code, printed = ended(text)
    assert "expected" in printed
    return code, ended(text)[0], printed + text


@pytest.mark.parametrize("name", KINDS)
def test_script_exits_with_10_on_the_fault_and_with_0_on_a_sound_build(name, monkeypatch):
    fault = next(fault for fault in faults() if fault.name == name)
    found = shown(fault.subject, fault.clauses, *KINDS[name], cell=fault.cells[0])
    assert_small(name, found)
    with_fault, without, told = endings_of(script(found), fault.subject, monkeypatch)
    assert (with_fault, without) == (WITH_DEFECT, WITHOUT_DEFECT), told


@pytest.mark.parametrize(
    "name", [MEMORY[0], pytest.param(MEMORY[1], marks=pytest.mark.thorough(reason="it takes seconds"))]
)
def test_script_of_memory_exits_with_10_on_the_fault_and_with_0_on_a_sound_build(name, monkeypatch):
    fault = next(fault for fault in faults() if fault.name == name)
    found = shown(fault.subject, fault.clauses, LAPS, "", cell="gru")
    assert_small(name, found)
    with_fault, without, told = endings_of(script(found), fault.subject, monkeypatch)
    assert (with_fault, without) == (WITH_DEFECT, WITHOUT_DEFECT), told


@pytest.mark.parametrize("name", ["names-its-input-weights-w_ih", "registers-its-recurrent-weights-with-one-more-row"])
def test_script_of_parameters_that_no_call_can_be_made_with_compares_them(name, monkeypatch):
    fault = next(fault for fault in faults() if fault.name == name)
    found = shown(fault.subject, fault.clauses, "test_output_has_the_documented_shape", BARE.format("gru"))
    assert found.finding.kind == MISMATCHED
    with_fault, without, told = endings_of(script(found), fault.subject, monkeypatch)
    assert (with_fault, without) == (WITH_DEFECT, WITHOUT_DEFECT), told


@pytest.mark.parametrize("number", [0, -1, 999_999, 2**53 + 1, 2**53 - 1, -(2**63), 2**63 - 1, -(2**53) - 1, 2**31 - 1])
def test_whole_numbers_are_written_shortly_and_exactly(number):
    assert eval(whole(number)) == number
    assert_short(f"number = {whole(number)}\n")


def test_script_of_a_shape_names_the_documented_fact_whichever_property_met_it():
    fault = next(fault for fault in faults() if fault.name == "adds-a-batch-dimension-to-unbatched-states")
    found = shown(fault.subject, fault.clauses, *FACTS[fault.name])
    met = replace(found.finding, test="test_packed_output_has_the_batch_sizes_and_indices_of_the_input")
    first_lines = script(found._replace(finding=met)).partition("import")[0]
    assert f"Documented: {CLAUSES['A2'].claim}." in " ".join(first_lines.split())
