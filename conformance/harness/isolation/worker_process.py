"""The executor whose calls run in a child process: whatever a call does to its process becomes its failure.

A server imports torch once and forks a child for each death, whatever its environment; where processes cannot fork
every child imports torch itself. A child imports the subject by its name, so only one named on a command line can be
run. `worker_main` is what a child does.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, BinaryIO

from conformance import SET_HERE
from conformance.harness.execution.failure import TIMED_OUT, Failure
from conformance.harness.execution.module_call import CallInterrupted, is_time_limit
from conformance.harness.execution.requests.laps import LAPS
from conformance.harness.execution.requests.request import Request, Result
from conformance.harness.execution.subject import Subject, SubjectError
from conformance.harness.foreign_text import MOST, one_line, piece
from conformance.harness.isolation import limits
from conformance.harness.isolation.limits import IMPORT_LIMIT_SECONDS
from conformance.harness.isolation.messages import Reader, Writer
from conformance.harness.isolation.worker_main import GRACE_SECONDS, NUMBER

CAN_FORK = hasattr(os, "fork") and hasattr(socket, "send_fds")

LATER_LIMIT_DIVISOR = 20
"""After a call of a test did not return, its later ones have this part of the limit, so that its case gets small."""

SHORTEST_LIMIT_SECONDS = 0.5
"""The shortest time limit of a call."""

SLOWEST_TIMES = 20
"""So many times the slowest call that returned may a later call take in any case."""


IMPORTABLE = "put it into a module and name it, as in --subject pkg.module or subject.named(['pkg.module'])"
"""The advice for a subject that no child can import."""

_BEGIN = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]) or sys.path; "
    "from conformance.harness.isolation import worker_main; worker_main.{}({})"
)


class ChildError(RuntimeError):
    """The suite failed in a child, outside of any call into the subject; its text has the child's traceback."""


class _DiedImporting(ChildError):
    """A child died while it imported these subjects, as `how` says."""

    def __init__(self, texts: Sequence[str], failure: Failure) -> None:
        super().__init__(f"while it imported {', '.join(texts)} a child {failure.fate}")
        self.failure = failure


@dataclass
class WorkerProcess:
    """Children with the same environment, one at a time.

    limit        seconds that a call may take; 0 for ever
    memory       bytes that a child may take beside what it begins with; 0 for any number
    environment  variables that differ from this process's
    without      variables of this process that they do not have; torch is imported with them
    forking      whether a server forks them; else each is a Python of its own
    python       the interpreter; "" for this one, whose search path they then have
    beside       the children whose server forks these too; None for a server of their own
    shortest     the least that the limit of a call is after another of its test did not return
    deaths       the deaths since `new_test`
    slowest      the seconds that the slowest call took which returned since then
    """

    limit: float = limits.CALL_LIMIT
    memory: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    without: Collection[str] = ()
    forking: bool = CAN_FORK
    shortest: float = SHORTEST_LIMIT_SECONDS
    deaths: list[Failure] = field(default_factory=list)
    slowest: float = 0.0
    python: str = ""
    beside: WorkerProcess | None = None
    _server: _Server | None = None
    _child: _Child | None = None

    def new_test(self) -> None:
        """Forgets the deaths so far: the next call that does not return is waited for in full."""
        self.deaths.clear()
        self.slowest = 0.0

    def execute(self, subject: Subject, request: Request[Result]) -> tuple[Result, ...]:
        """As `requests.InProcess`; a call that ended its process has that as its failure.

        Parts of a request after one that did not return are left out. Raises ChildError, and TypeError for a subject
        that no other process can import.
        """
        parts, died = request.parts(), None
        if len(parts) > 1 and not self._hung():
            answer = self._asked(subject, request)
            if not isinstance(answer, Failure):
                return answer
            died = answer
        results: list[Any] = []
        for part in parts:
            answer = self._asked(subject, part)
            results += [part.failed(subject, answer)] if isinstance(answer, Failure) else answer
            if isinstance(answer, Failure) and self._hung():
                break
        if died and all(one.failure is None for one in results):  # it did not recur; report it anyway
            results[0] = replace(results[0], failure=died)
        return tuple(results)

    def _asked(self, subject: Subject, request: Request[Result]) -> tuple[Result, ...] | Failure:
        """What a worker answers to a request; if it died, how."""
        if not subject.texts:
            raise TypeError(f"{subject.name} exists in this process alone, children cannot call it: {IMPORTABLE}")
        child, writer = self._living(subject.texts), Writer()
        header = {"subject": list(subject.texts), "request": writer.encoded(request)}
        began = time.perf_counter()
        try:
            answer = child.ask(header, writer, self._patience())
        except BaseException as error:  # Ctrl-C while it works: the next answer would be to this request
            self._child = None
            child.end()
            if is_time_limit(error) and (problem := getattr(request, "problem", None)) is not None:
                raise CallInterrupted(
                    problem.case, next(iter(getattr(request, "routes", ())), ""), str(error)
                ) from None
            raise
        if isinstance(answer, Failure):
            self._child = None
            self.deaths.append(answer)
            return answer
        self.slowest = max(self.slowest, time.perf_counter() - began)
        if "error" in answer.header:
            raise ChildError(answer.header["error"])
        results: tuple[Result, ...] = answer.decoded(answer.header["results"], request.shared())
        return results

    def _patience(self) -> float:
        """The seconds that the next call may take: fewer once a call of the test did not return."""
        if not self._hung():
            return self.limit
        return min(self.limit, max(self.shortest, self.limit / LATER_LIMIT_DIVISOR, SLOWEST_TIMES * self.slowest))

    def _hung(self) -> bool:
        """Whether a call of this test did not return."""
        return any(failure.kind == TIMED_OUT for failure in self.deaths)

    def refusal_of_import(self, texts: Sequence[str]) -> str:
        """Why no child can import these subjects, in a line that begins with their names; "" where one can."""
        try:
            self._living(texts)
        except _DiedImporting as died:
            is_late = died.failure.kind == TIMED_OUT
            remedy = "; let it do without a network, a lock or input, or raise --call-limit" if is_late else ""
            shown = piece(", ".join(texts))
            return f"{shown}: importing has to work first, and its process {died.failure.fate}{remedy}"
        except (SubjectError, ChildError) as error:
            return one_line(str(error), MOST)
        return ""

    def _living(self, texts: Sequence[str]) -> _Child:
        """The child at hand, begun if there is none. The import of the subject has a time limit of its own."""
        if self._child is not None and self._child.server is not None and self._child.server.is_closed:
            self._child = None  # it ended with its server
        if self._child is None:
            new = self._serving().child(self) if self.forking else _Child.spawned(self, self._variables())
            begin = {"without": list(self.without), "path": [] if self.python else sys.path}
            limit = IMPORT_LIMIT_SECONDS  # where Python and torch start too
            limit = min(limit, limits.of_import(self.limit)) if self.forking else limit
            answer = new.ask({"subject": list(texts), "request": None} | begin, Writer(), limit)
            if isinstance(answer, Failure):
                late = answer.kind == TIMED_OUT
                raise _DiedImporting(texts, replace(answer, number=limit) if late else answer)
            if "unusable" in answer.header:
                new.end()
                raise SubjectError(answer.header["unusable"])
            self._child = new
        return self._child

    def _variables(self) -> dict[str, str]:
        """The environment of a process that is begun."""
        return {**os.environ, **self.environment}

    def _serving(self) -> _Server:
        """The server of these children, begun if there is none."""
        if self.beside is not None:
            return self.beside._serving()
        if self._server is None:
            self._server = _Server(self._variables(), self.python)
        return self._server

    def end_child(self) -> None:
        """Ends the child at hand, whatever it is doing: the next request is answered by another."""
        child, self._child = self._child, None
        if child is not None:
            with suppress(ChildError):  # its server has ended, and it has with it
                child.end()

    def close(self) -> None:
        """Ends every child, whatever it is doing."""
        self.end_child()
        if self._server is not None:
            self._server.close()
        self._server = None


class _Server:
    """A process that has imported torch, and forks itself on demand."""

    def __init__(self, environment: Mapping[str, str], python: str) -> None:
        self.is_closed = False
        self.control, theirs = socket.socketpair()
        self.control.settimeout(IMPORT_LIMIT_SECONDS)
        with theirs:
            self.process = _python("serve", str(theirs.fileno()), environment, python, pass_fds=[theirs.fileno()])

    def child(self, pool: WorkerProcess) -> _Child:
        """A new child, connected to this process alone."""
        ours, theirs = socket.socketpair()
        with theirs:
            pid = self._answer_to(lambda: socket.send_fds(self.control, [NUMBER.pack(pool.memory)], [theirs.fileno()]))
        return _Child(pool.limit, ours.makefile("wb"), ours.makefile("rb"), pid, self, connection=ours)

    def ended(self, pid: int) -> int:
        """The exit code of a child that has died, or is about to."""
        return self._answer_to(lambda: self.control.sendall(NUMBER.pack(pid)))

    def _answer_to(self, ask: Callable[[], object]) -> int:
        """What the server answers. Raises ChildError if it has ended, or does not answer."""
        data = b""
        try:
            ask()
            while len(data) < NUMBER.size and (part := self.control.recv(NUMBER.size - len(data))):
                data += part
        except TimeoutError:
            raise ChildError(f"the server of child processes is silent for {IMPORT_LIMIT_SECONDS:g} s") from None
        except OSError:  # it has gone
            data = b""
        if len(data) < NUMBER.size:
            raise ChildError(f"the server of child processes has gone{self._how()}")
        return int(NUMBER.unpack(data)[0])

    def _how(self) -> str:
        """How it ended, where that is known already."""
        with suppress(subprocess.TimeoutExpired):
            return f": it {Failure.of_exit(self.process.wait(GRACE_SECONDS), 0).fate}"
        return ""

    def close(self) -> None:
        self.is_closed = True
        self.control.close()  # the server then kills its children
        try:
            self.process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()


@dataclass
class _Child:
    """One child and the ways to it: a server that forked it and its connection, or the process itself."""

    limit: float
    requests: BinaryIO
    answers: BinaryIO
    pid: int
    server: _Server | None = None
    process: subprocess.Popen[bytes] | None = None
    connection: socket.socket | None = None

    @classmethod
    def spawned(cls, pool: WorkerProcess, environment: Mapping[str, str]) -> _Child:
        """A child that is a Python of its own."""
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = _python("spawned", str(pool.memory), environment, pool.python, **streams)
        assert process.stdin is not None
        assert process.stdout is not None
        return cls(pool.limit, process.stdin, process.stdout, process.pid, process=process)  # type: ignore[arg-type]

    def ask(self, header: dict[str, Any], writer: Writer, limit: float) -> Reader | Failure:
        """The answer to a request; if the child died of it, or of taking longer than `limit`, how."""
        with self._limited(limit) as is_late:
            try:
                writer.write(self.requests, header | {"limit": limit})
                answer = Reader(self.answers)
            except TimeoutError:
                is_late.set()
            except (EOFError, OSError):
                pass
            else:
                return self._ended(answer) if "ended" in answer.header else answer
        code = self.end()
        late = Failure(TIMED_OUT, number=self.limit)
        return late if is_late.is_set() else Failure.of_exit(code, self.limit)

    def _ended(self, answer: Reader) -> Failure:
        """The failure of a call that raised what ends a process, as this child then does."""
        self.end()
        failure: Failure = answer.decoded(answer.header["ended"])
        return failure

    @contextmanager
    def _limited(self, limit: float) -> Iterator[threading.Event]:
        """Ends what takes longer than `limit` in the block: by TimeoutError, or by killing it and setting the event."""
        is_late = threading.Event()
        if self.connection is not None:
            self.connection.settimeout(limit or None)
            yield is_late
            return

        def stop() -> None:
            is_late.set()
            self._kill()

        timer = threading.Timer(limit, stop)
        timer.daemon = True
        if limit:
            timer.start()
        try:
            yield is_late
        finally:
            timer.cancel()

    def _kill(self) -> None:
        with suppress(OSError):  # it may be gone
            os.kill(self.pid, getattr(signal, "SIGKILL", signal.SIGTERM))

    def end(self) -> int:
        """Kills the child if it lives, and returns its exit code."""
        self._kill()
        code = self.server.ended(self.pid) if self.server is not None else self._waited()
        closers = [self.requests.close, self.answers.close, *([self.connection.close] if self.connection else [])]
        for close in closers:
            with suppress(OSError):  # of data that it did not read
                close()
        return code

    def _waited(self) -> int:
        assert self.process is not None
        return self.process.wait()


def _python(
    function: str, argument: str, environment: Mapping[str, str], python: str, **more: object
) -> subprocess.Popen[bytes]:
    """A Python that runs a function of `worker_main`, out of reach of the terminal's Ctrl-C."""
    path = json.dumps([] if python else sys.path)
    command = [python or sys.executable, "-c", _BEGIN.format(function, argument), path]
    quiet: dict[str, object] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, env=dict(environment), start_new_session=True, **quiet | more)  # type: ignore[call-overload,no-any-return]


@cache
def pool() -> WorkerProcess:
    """The children of this process, begun on first use and ended with it."""
    made = WorkerProcess(memory=limits.fair_share(1))
    atexit.register(made.close)
    return made


class _InChildren:
    """Carries requests out in children of this process's pool."""

    def execute(self, subject: Subject, request: Request[Result]) -> tuple[Result, ...]:
        return pool().execute(subject, request)


IN_CHILDREN = _InChildren()
"""The executor of this process's pool, which is begun on first use."""


def beside_the_pool(**options: Any) -> WorkerProcess:
    """Further children that the pool's server forks, closed with this process; options: as of `WorkerProcess`."""
    made = WorkerProcess(beside=pool(), **options)
    atexit.register(made.close)
    return made


DOCUMENTATION_LIMIT_SECONDS = 10.0
"""The seconds that what the documentation shows may take at most; all of it took less than one."""


@cache
def _readers() -> WorkerProcess:
    """Children that execute what the documentation shows, one after the other."""
    return beside_the_pool()


class _OfDocumentation:
    """Carries requests out in a child of its own, which has less time than a call."""

    def execute(self, subject: Subject, request: Request[Result]) -> tuple[Result, ...]:
        readers = _readers()
        limit = pool().limit or DOCUMENTATION_LIMIT_SECONDS
        readers.limit, readers.memory = min(limit, DOCUMENTATION_LIMIT_SECONDS), pool().memory
        readers.new_test()
        return readers.execute(subject, request)


OF_DOCUMENTATION = _OfDocumentation()
"""The executor of requests that execute what the documentation shows."""


@cache
def _lone() -> WorkerProcess:
    """Children that live for one request, and whose caches have the sizes that the user or PyTorch gives them."""
    return beside_the_pool(without=os.environ[SET_HERE].split())


class _Alone:
    """Carries each request out in a child that makes no other call. Each lap may take as long as a call elsewhere."""

    def execute(self, subject: Subject, request: Request[Result]) -> tuple[Result, ...]:
        lone = _lone()
        lone.limit, lone.memory = LAPS * pool().limit, pool().memory
        lone.new_test()
        try:
            return lone.execute(subject, request)
        finally:
            lone.end_child()


ALONE = _Alone()
"""The executor of requests about the memory that a process takes."""
