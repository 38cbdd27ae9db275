"""Problems, plans and observations between processes: a header in JSON, and behind it the arrays as raw bytes.

What is read is data: nothing of it is evaluated, and no pickle is opened.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, BinaryIO, TypeVar

import numpy as np

from conformance.harness.observation import Fact, Observation
from conformance.harness.packing_calls import Batch, Call
from conformance.harness.runner import Plan
from reference.problem import Architecture, Loss, Problem

Json = dict[str, Any]

_LENGTHS = struct.Struct("<QQ")
_KINDS = "fiub"
"""Kinds of NumPy types that may travel: numbers and booleans."""

_TUPLES = ("warnings", "repacked", "changed", "kernels", "shared")
_PLAIN = ("route", "text", "layer", "step")
_ARRAYS = ("raw", "raw_gradients")
_PARTS = ("layers", "again", "steps")


class Arrays:
    """Arrays on their way out: each is sent once, however often it is named."""

    def __init__(self) -> None:
        self._sent: list[np.ndarray] = []
        self._places: dict[int, int] = {}
        self._kept: list[np.ndarray] = []

    def add(self, array: np.ndarray | None) -> int | None:
        """The place of an array in the message; None where there is none."""
        if array is None:
            return None
        if id(array) not in self._places:
            self._places[id(array)] = len(self._sent)
            self._sent.append(np.ascontiguousarray(array).reshape(array.shape))
            self._kept.append(array)  # so that no other gets its id meanwhile
        return self._places[id(array)]

    def write(self, stream: BinaryIO, header: Json) -> None:
        """The message: two lengths, the header, the arrays' bytes."""
        arrays = [[array.dtype.str, list(array.shape)] for array in self._sent]
        text = json.dumps(header | {"arrays": arrays}).encode()
        body = b"".join(array.tobytes() for array in self._sent)
        stream.write(_LENGTHS.pack(len(text), len(body)) + text + body)
        stream.flush()


def read(stream: BinaryIO) -> tuple[Json, list[np.ndarray]]:
    """The next message's header and arrays. Raises EOFError where it ends before it is complete, ValueError where it
    is none."""
    text_length, body_length = _LENGTHS.unpack(_exactly(stream, _LENGTHS.size))
    header = json.loads(_exactly(stream, text_length))
    body, place, arrays = _exactly(stream, body_length), 0, []
    for name, shape in header.pop("arrays"):
        dtype = np.dtype(name)
        if dtype.kind not in _KINDS:
            raise ValueError(f"an array of {name} is none that travels")
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        arrays.append(np.frombuffer(body[place : place + size], dtype).reshape(shape))
        place += size
    return header, arrays


def _exactly(stream: BinaryIO, size: int) -> bytearray:
    """So many bytes, writable. Raises EOFError."""
    data = bytearray()
    while len(data) < size:
        part = stream.read(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def problem_to_json(problem: Problem, arrays: Arrays) -> Json:
    """A problem, its arrays in the message."""
    named = {name: getattr(problem, name) for name in ("input", "h_0", "c_0")}
    plain = ("dtype", "device", "lengths", "unbatched", "training", "memory", "case", "relation", "granule")
    return {
        "architecture": asdict(problem.architecture),
        "parameters": {name: arrays.add(values) for name, values in problem.parameters.items()},
        **{name: arrays.add(values) for name, values in named.items()},
        **{name: getattr(problem, name) for name in plain},
    }


def problem_from_json(data: Json, arrays: Sequence[np.ndarray]) -> Problem:
    """The problem that `problem_to_json` wrote."""
    named = {name: None if data[name] is None else arrays[data[name]] for name in ("input", "h_0", "c_0")}
    return Problem(
        **data
        | named
        | {
            "architecture": Architecture(**data["architecture"]),
            "parameters": {name: arrays[place] for name, place in data["parameters"].items()},
            "lengths": None if data["lengths"] is None else tuple(data["lengths"]),
        }
    )


def plan_to_json(plan: Plan, arrays: Arrays) -> Json:
    """A plan, the cotangents of its loss in the message."""
    return {name: getattr(plan, name) for name in ("routes", "layers", "again", "stepwise", "witness", "way")} | {
        "poison": plan.poison and [[part.start, part.stop, part.step] for part in plan.poison],
        "loss": plan.loss and _loss_to_json(plan.loss, arrays),
    }


def plan_from_json(data: Json, arrays: Sequence[np.ndarray]) -> Plan:
    """The plan that `plan_to_json` wrote."""
    rows_and_steps = data["poison"] and tuple(slice(*part) for part in data["poison"])
    loss = data["loss"] and _loss_from_json(data["loss"], arrays)
    return Plan(**data | {"routes": tuple(data["routes"]), "poison": rows_and_steps, "loss": loss})


def _loss_to_json(loss: Loss, arrays: Arrays) -> Json:
    cotangents = {name: arrays.add(values) for name, values in loss.cotangents.items()}
    return {"cotangents": cotangents, "wanted": loss.wanted, "passes": loss.passes}


def _loss_from_json(data: Json, arrays: Sequence[np.ndarray]) -> Loss:
    cotangents = {name: arrays[place] for name, place in data["cotangents"].items()}
    return Loss(cotangents, tuple(data["wanted"]), data["passes"])


def call_to_json(call: Call, arrays: Arrays) -> Json:
    """A call of a packing utility, but for the problem of its batch."""
    plain = {name: getattr(call, name) for name in ("utility", "lengths")} | {"options": dict(call.options)}
    return plain | {"sequence": arrays.add(call.batch.sequence), "surplus": call.batch.surplus}


def call_from_json(data: Json, problem: Problem, arrays: Sequence[np.ndarray]) -> Call:
    """The call that `call_to_json` wrote, with its problem."""
    batch = Batch(problem, arrays[data.pop("sequence")], data.pop("surplus"))
    return Call(batch, **data)


def observation_to_json(seen: Observation, problem: Problem, arrays: Arrays) -> Json:
    """An observation, but for its subject and judgement, and its problem where that is `problem`."""
    return {
        "problem": None if seen.problem is problem else problem_to_json(seen.problem, arrays),
        "facts": {name: asdict(fact) for name, fact in seen.facts.items()},
        **{kind: {name: arrays.add(values) for name, values in getattr(seen, kind).items()} for kind in _ARRAYS},
        "failure": seen.failure,
        **{name: [observation_to_json(part, problem, arrays) for part in getattr(seen, name)] for name in _PARTS},
        **{name: getattr(seen, name) for name in (*_TUPLES, *_PLAIN)},
    }


Seen = TypeVar("Seen", bound=Observation)


def observation_from_json(data: Json, blank: Seen, arrays: Sequence[np.ndarray]) -> Seen:
    """The observation that `observation_to_json` wrote; what it lacks is that of `blank`."""
    problem = blank.problem if data["problem"] is None else problem_from_json(data["problem"], arrays)
    read: Json = {name: data[name] for name in _PLAIN} | {name: tuple(data[name]) for name in _TUPLES}
    for name in _ARRAYS:
        read[name] = {key: arrays[place] for key, place in data[name].items()}
    for name in _PARTS:
        read[name] = tuple(observation_from_json(part, blank, arrays) for part in data[name])
    return replace(
        blank,
        problem=problem,
        facts={name: _fact(fact) for name, fact in data["facts"].items()},
        failure=data["failure"] and (data["failure"][0], data["failure"][1]),
        **read,
    )


def _fact(data: Json) -> Fact:
    return Fact(**data | {name: tuple(data[name]) for name in ("shape", "strides")})
