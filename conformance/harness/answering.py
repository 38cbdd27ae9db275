"""What a child process does: it answers the requests of `child`, one after the other, until none comes."""

from __future__ import annotations

import os
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable, Mapping
from functools import cache
from typing import BinaryIO, NoReturn

import numpy as np

from conformance.harness import deaths, packing_calls, platform, runner, wire
from conformance.harness import subject as subjects
from conformance.harness.packing_calls import PackingSeen
from conformance.harness.subject import Subject
from reference.problem import Architecture
from reference.roundings import Judgement

NUMBER = struct.Struct("<q")
"""A process id, an exit code, or bytes of memory, as the server of children is told and tells them."""

GRACE = 5.0
"""Seconds between what ought to end a process and what ends it for certain."""


def serve(control_fd: int) -> None:
    """Forks a child for each socket that arrives and answers its process id; answers the exit code of one that died."""
    control = socket.socket(fileno=control_fd)
    runner.prepare()
    children: set[int] = set()
    while True:
        message, sockets, _, _ = socket.recv_fds(control, NUMBER.size, 1)
        if not message:
            break
        (number,) = NUMBER.unpack(message)
        if sockets:
            number = _forked(control, sockets[0], number)
            children.add(number)
        else:
            _, status = os.waitpid(number, 0)
            children.discard(number)
            number = os.waitstatus_to_exitcode(status)
        control.sendall(NUMBER.pack(number))
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def _forked(control: socket.socket, connection: int, memory: int) -> int:
    """The process id of a new child that answers on this socket."""
    pid = os.fork()
    if pid:
        os.close(connection)
        return pid
    try:
        control.close()
        ours = socket.socket(fileno=connection)
        _answer_all(ours.makefile("rb"), ours.makefile("wb"), memory)
    finally:
        os._exit(1)  # never back into the server


def spawned(memory: int) -> None:
    """A child that was not forked: answers on its standard streams."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the subject prints is no answer
    runner.prepare()
    _answer_all(sys.stdin.buffer, answers, memory)


def _answer_all(requests: BinaryIO, answers: BinaryIO, memory: int) -> NoReturn:
    """Answers requests until no more come, then ends the process."""
    platform.pin()
    if memory:
        deaths.limit_memory(memory)
    while True:
        try:
            header, received = wire.read(requests)
        except (EOFError, OSError):
            os._exit(0)
        arrays = wire.Arrays()
        if header["limit"]:
            deaths.arm(header["limit"] + GRACE)  # in case nobody is left to kill it
        try:
            answer = _answered(header, received, arrays)
        except Exception:  # the suite's own: said where it can be seen
            arrays, answer = wire.Arrays(), {"error": traceback.format_exc()}
        deaths.arm(0)
        try:
            arrays.write(answers, answer)
        except OSError:
            os._exit(0)


def _answered(header: wire.Json, received: list[np.ndarray], arrays: wire.Arrays) -> wire.Json:
    return WORK[header["work"]](_subject(tuple(header["subject"])), header, received, arrays)


def _imported(subject: Subject, header: wire.Json, received: list[np.ndarray], arrays: wire.Arrays) -> wire.Json:
    return {}


def _ran(subject: Subject, header: wire.Json, received: list[np.ndarray], arrays: wire.Arrays) -> wire.Json:
    problem = wire.problem_from_json(header["problem"], received)
    seen = runner.run(subject, problem, wire.plan_from_json(header["plan"], received), NOBODY)
    return {"seen": [wire.observation_to_json(one, problem, arrays) for one in seen]}


def _packed(subject: Subject, header: wire.Json, received: list[np.ndarray], arrays: wire.Arrays) -> wire.Json:
    problem = wire.problem_from_json(header["problem"], received)
    call = wire.call_from_json(header["call"], problem, received)
    seen = packing_calls.pack(subject, call, PackingSeen(problem, subject.name, packing_calls.ROUTE, NOBODY))
    return {"seen": wire.observation_to_json(seen, problem, arrays)}


def _drew(subject: Subject, header: wire.Json, received: list[np.ndarray], arrays: wire.Arrays) -> wire.Json:
    drawn = runner.draw(subject, header["seed"], [Architecture(**one) for one in header["architectures"]])
    return {"drawn": [{name: arrays.add(values) for name, values in one.items()} for one in drawn]}


WORK: Mapping[str, Callable[[Subject, wire.Json, list[np.ndarray], wire.Arrays], wire.Json]] = {
    "import": _imported,
    "run": _ran,
    "pack": _packed,
    "draw": _drew,
}
"""What a child may be asked for."""


NOBODY: Judgement = None  # type: ignore[assignment]
"""A child judges nothing."""


@cache
def _subject(texts: tuple[str, ...]) -> Subject:
    return subjects.named(texts)
