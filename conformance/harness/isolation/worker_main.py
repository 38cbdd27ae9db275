"""What a worker process does: it answers the requests of `child`, one after the other, until none comes.

It imports torch and NumPy, and nothing else that has to be installed.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import struct
import sys
import traceback
import zlib
from collections.abc import Iterable
from functools import cache
from typing import BinaryIO, NoReturn

from conformance.harness.execution import machine, settings
from conformance.harness.execution import subject as subjects
from conformance.harness.execution.failure import Failure
from conformance.harness.execution.module_call import seed_generators
from conformance.harness.execution.requests.module_request import prepare
from conformance.harness.execution.subject import Subject
from conformance.harness.isolation import limits
from conformance.harness.isolation.messages import Reader, Writer

NUMBER = struct.Struct("<q")
"""A process id, an exit code, or bytes of memory, as the server of children is told and tells them."""

GRACE_SECONDS = 5.0
"""Seconds between what ought to end a process and what ends it for certain."""


def serve(control_fd: int) -> None:
    """Forks a child for each socket that arrives and answers its process id; answers the exit code of one that died."""
    limits.no_core_files()
    control = socket.socket(fileno=control_fd)
    prepare()
    gc.freeze()  # children search no garbage in it, and share its memory
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
    limits.no_core_files()
    os.dup2(2, 1)  # what the subject prints is no answer
    prepare()
    _answer_all(sys.stdin.buffer, answers, memory)


def _answer_all(requests: BinaryIO, answers: BinaryIO, memory: int) -> NoReturn:
    """Answers requests until no more come, then ends the process."""
    machine.pin()
    if memory:
        limits.limit_memory(memory)
    while True:
        try:
            message = Reader(requests)
        except (EOFError, OSError):
            os._exit(0)
        if message.header["limit"]:
            limits.arm(message.header["limit"] + GRACE_SECONDS)  # in case the parent died and cannot kill it
        try:
            writer, answer = _answered(message)
        except subjects.SubjectError as error:
            writer, answer = Writer(), {"unusable": str(error)}
        except Exception:  # the suite's own: said where it can be seen
            writer, answer = Writer(), {"error": traceback.format_exc()}
        except BaseException as error:  # the subject's: SystemExit, KeyboardInterrupt
            writer = Writer()
            answer = {"ended": writer.encoded(Failure.of_ending(error))}
        limits.arm(0)
        try:
            writer.write(answers, answer)
        except OSError:
            os._exit(0)


def _answered(message: Reader) -> tuple[Writer, dict[str, object]]:
    """What to answer: the results of a request, or nothing where only the subject is to be imported."""
    _begin(message.header.get("without", ()), message.header.get("path", ()))
    subject = _subject(tuple(message.header["subject"]))
    request = message.decoded(message.header["request"])
    if request is None:
        return Writer(), {"results": None}
    settings.put_right()  # what the import of the subject or its last call left behind
    seed_generators(zlib.crc32(str(getattr(getattr(request, "problem", None), "case", "")).encode()))
    writer = Writer(request.shared())
    return writer, {"results": writer.encoded(request.execute(subject))}


def _begin(without: Iterable[str], path: list[str]) -> None:
    """What a child does first: removes variables, which libraries read at their first call; searches modules there."""
    for name in without:
        os.environ.pop(name, None)
    sys.path[:] = path or sys.path


@cache
def _subject(texts: tuple[str, ...]) -> Subject:
    return subjects.named(texts)
