"""Scripts of calls that end their process or do not return make them in a child."""

import os
import signal
import time

import pytest

from conformance.commands.report import found_by
from conformance.harness import session
from conformance.harness.execution.failure import EXITED, KILLED, TIMED_OUT, Failure
from conformance.harness.execution.subject import torch_nn
from conformance.harness.property import properties
from conformance.harness.reports.scripts import endings
from conformance.harness.reports.scripts.script import WITH_DEFECT, WITHOUT_DEFECT, script
from conformance.harness.session import Session
from conformance.selftest.implementations.plain import Plain, subject
from conformance.selftest.unit.reports.test_other_kinds import BARE, endings_of
from strategies import parse


class Dies(Plain):
    """Ends its process by a signal."""

    def forward(self, *args, **options):
        os.kill(os.getpid(), signal.SIGKILL)


class Exits(Plain):
    """Ends its process."""

    def forward(self, *args, **options):
        os._exit(3)


class Hangs(Plain):
    """Does not return."""

    def forward(self, *args, **options):
        time.sleep(60)


class Ends:
    """An executor in which every call fails alike."""

    def __init__(self, failure):
        self.failure = failure

    def execute(self, judged, request):
        return (request.failed(judged, self.failure),)


@pytest.mark.parametrize(
    ("kind", "failure"),
    [
        (Dies, Failure(KILLED, number=signal.SIGKILL)),
        (Exits, Failure(EXITED, number=3)),
        (Hangs, Failure(TIMED_OUT, number=120)),
    ],
    ids=["killed", "exits", "hangs"],
)
def test_script_makes_a_call_that_ends_its_process_in_a_child(kind, failure, monkeypatch):
    monkeypatch.setattr(endings, "LIMIT_SECONDS", 1)
    tested = next(one for one in properties() if one.name == "test_output_has_the_documented_shape")
    with session.nested(Session(torch_nn(), executor=Ends(failure))) as here:
        found = next(found_by(here, tested, "lstm", parse(BARE.format("lstm"))[0]))
    with_fault, without, told = endings_of(script(found), subject("ends", kind), monkeypatch)
    assert (with_fault, without) == (WITH_DEFECT, WITHOUT_DEFECT), told
