"""What a call raises is printed by a script as one line, escaped and cut."""

import subprocess

import pytest
import torch

from conformance.harness.reports.scripts.script import WITH_DEFECT, script
from conformance.selftest.implementations.plain import Plain, subject
from conformance.selftest.unit.reports.test_other_kinds import AROUND, BARE, endings_of, forked, shown
from conformance.selftest.unit.reports.test_scripts import WITHOUT_DEFECT, ended, in_place_of_torch_nn

HOSTILE = "\x1b[31m\x07bad\nexpected 1\r\u2028\udc80'\"" + "x" * 1000
MOST_LETTERS = 260


class Raises(Plain):
    """Raises what a terminal would obey, of more than one step."""

    def forward(self, input, hx=None):
        if len(input) > 1:
            raise ValueError(HOSTILE)
        return super().forward(input, hx)


class RaisesWithAnotherDefaultDevice(Plain):
    """Raises it where the default device is another."""

    def forward(self, *args, **options):
        if torch.empty(0).device.type == "meta":
            raise ValueError(HOSTILE)
        return super().forward(*args, **options)


@pytest.mark.parametrize(
    ("kind", "clause", "test", "line"),
    [
        (Raises, "A1", "test_output_has_the_documented_shape", "v1 rnn_tanh i1 h1 t2 float32 fill=dyadic"),
        (RaisesWithAnotherDefaultDevice, "E5", f"{AROUND}[another_default_device]", BARE.format("rnn_tanh")),
    ],
)
def test_message_of_an_exception_is_printed_escaped_and_cut(kind, clause, test, line, monkeypatch):
    judged = subject("hostile", kind)
    text = script(shown(judged, (clause,), test, line))
    assert endings_of(text, judged, monkeypatch)[:2] == (WITH_DEFECT, WITHOUT_DEFECT)
    monkeypatch.setattr(subprocess, "run", forked(text))
    with in_place_of_torch_nn(judged):
        _, printed = ended(text)
    (line,) = [line for line in printed.split("\n") if line.startswith("got ")]
    assert r"ValueError: \x1b[31m\x07bad\nexpected 1\r\u2028" in line
    assert len(line) < MOST_LETTERS
    assert all(character.isprintable() or character == "\n" for character in printed)
