"""Cases drawn fast, and numbers that strain the error bounds: what a campaign tries.

A trial is a case, its cell and a kind. Kinds that no case line expresses are transformations of the case's problem,
driven by the case's `pick`, so that line and kind bring a trial back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np

from reference.formats import FORMATS
from reference.problem import CELL_SUFFIX, LSTM, Problem
from strategies import Case, CaseError, parse
from strategies.axes import DTYPES, FILLS_BY_WEIGHT, LAYOUT_WORDS, LAYOUTS, MEMORY, SIZES
from strategies.case import CELLS
from strategies.case_line import LARGEST_SEED
from strategies.values import FILLS

MOST_NUMBERS = 2**20
"""A trial has no more numbers than this, so that a rare large one does not take seconds."""

ORDINARY, CLIMB = "ordinary", "climb"

KERNEL_BATCHES = (1, 2, 16, 17, 64, 129)
"""Rows of a batch at which libraries switch from one product kernel to another."""

LARGE_SIZES = (64, 65, 127, 128, 256, 511, 513, 1024, 2048)


@dataclass(frozen=True)
class Trial:
    """A case on a cell, and the transformation of its problem: one of `KINDS`, or `ORDINARY` for none."""

    case: Case
    cell: str
    kind: str = ORDINARY

    @property
    def line(self) -> str:
        return self.case.line(self.cell)

    @classmethod
    def of(cls, line: str, kind: str) -> Trial:
        """The trial that a case line and a kind stand for. Raises CaseError, also where the line names no module."""
        case, cell = parse(line)
        if cell not in CELLS:
            raise CaseError(f"the case line names one of {', '.join(CELLS)}")
        return cls(case, cell, kind)

    @np.errstate(all="ignore")
    def problem(self) -> Problem:
        """The problem of the trial."""
        problem = self.case.on(self.cell)
        if self.kind == ORDINARY:
            return problem
        changed = KINDS[self.kind](problem, np.random.Generator(np.random.Philox(self.case.pick)))
        memory = "contiguous" if problem.memory == "expanded" else problem.memory  # rows are no longer equal
        return replace(_stored(changed), relation=f"{self.kind}, pick {self.case.pick}", memory=memory, granule=0.0)


def _stored(problem: Problem) -> Problem:
    """The problem with every number one of its dtype, clipped to the largest."""
    format = FORMATS[problem.dtype]

    def fit(values: np.ndarray) -> np.ndarray:
        return format.round(np.clip(values, -format.largest, format.largest))

    return _mapped(problem, fit)


def _mapped(problem: Problem, change: Callable[[np.ndarray], np.ndarray]) -> Problem:
    return replace(
        problem,
        parameters={name: change(values) for name, values in problem.parameters.items()},
        input=change(problem.input),
        h_0=None if problem.h_0 is None else change(problem.h_0),
        c_0=None if problem.c_0 is None else change(problem.c_0),
    )


def _with_weights(problem: Problem, change: Callable[[np.ndarray], np.ndarray]) -> Problem:
    """The problem with its weight matrices changed, its biases kept."""
    parameters = problem.parameters.items()
    return replace(problem, parameters={n: change(v) if n.startswith("weight") else v for n, v in parameters})


def _in_pairs(values: np.ndarray, sign: int) -> np.ndarray:
    """`values` with every second feature `sign` times the one before it."""
    paired = values.copy()
    even = values[..., : values.shape[-1] // 2 * 2 : 2]
    paired[..., 1::2] = sign * even
    return paired


def cancellation(problem: Problem, random: np.random.Generator) -> Problem:
    """Weights in pairs of opposite sign on features in equal pairs, some a few units apart: sums that cancel."""
    apart = 1 + 2 * FORMATS[problem.dtype].unit_roundoff * random.integers(0, 3)
    changed = _with_weights(problem, lambda values: _in_pairs(values, -1) * apart)
    h_0 = problem.h_0 if problem.h_0 is None else _in_pairs(problem.h_0, 1)
    return replace(changed, input=_in_pairs(problem.input, 1), h_0=h_0)


def scaled_rows(problem: Problem, random: np.random.Generator) -> Problem:
    """Each row of a weight times a power of two of its own."""
    return _with_weights(problem, lambda values: np.ldexp(values, random.integers(-12, 5, (len(values), 1))))


def scaled_columns(problem: Problem, random: np.random.Generator) -> Problem:
    """Each feature of a weight times a power of two of its own: sums of a few large and many small terms."""
    return _with_weights(problem, lambda values: np.ldexp(values, random.integers(-12, 5, values.shape[-1])))


def tails(problem: Problem, random: np.random.Generator) -> Problem:
    """Pre-activations from -90 to 90: by the bias where there is one, else by the size of the weights."""
    if problem.architecture.bias:
        parameters = problem.parameters.items()
        far = {n: random.uniform(-90, 90, v.shape) if n.startswith("bias_ih") else v for n, v in parameters}
        return replace(problem, parameters=far)
    return _with_weights(problem, lambda values: values * random.uniform(0, 90, (len(values), 1)))


def near_overflow(problem: Problem, random: np.random.Generator) -> Problem:
    """Inputs whose products come within a few powers of two of the largest number."""
    format, weight = FORMATS[problem.dtype], _first_weight(problem)
    largest = max(float(np.abs(weight).max()) * float(np.abs(problem.input).max()), format.smallest_normal)
    power = int(np.log2(format.largest) - np.log2(largest)) - int(random.integers(0, 8))
    return replace(problem, input=np.ldexp(problem.input, power))


def underflow(problem: Problem, random: np.random.Generator) -> Problem:
    """Factors whose products lie around the smallest normal number; biases as small."""
    format = FORMATS[problem.dtype]
    share = int(format.min_exponent * random.uniform(0.2, 0.8))
    rest = format.min_exponent - share + int(random.integers(-4, 8))
    down = {n: np.ldexp(v, share if n.startswith("weight") else share + rest) for n, v in problem.parameters.items()}
    h_0 = problem.h_0 if problem.h_0 is None else np.ldexp(problem.h_0, rest)
    return replace(problem, parameters=down, input=np.ldexp(problem.input, rest), h_0=h_0)


def subnormals(problem: Problem, random: np.random.Generator) -> Problem:
    """A third of all numbers around the smallest normal number."""
    exponent = FORMATS[problem.dtype].min_exponent

    def some(values: np.ndarray) -> np.ndarray:
        return np.where(random.random(values.shape) < 1 / 3, np.ldexp(values, exponent), values)

    return _mapped(problem, some)


def large_states(problem: Problem, random: np.random.Generator) -> Problem:
    """Initial states times powers of two up to 2^10."""

    def grown(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else np.ldexp(values, random.integers(0, 11, values.shape))

    return replace(problem, h_0=grown(problem.h_0), c_0=grown(problem.c_0))


def one_large_term(problem: Problem, random: np.random.Generator) -> Problem:
    """The first feature 1/u times the others, so that a narrow running sum that begins with it loses them."""
    half = 0.5 / FORMATS[problem.dtype].unit_roundoff
    first = problem.input.copy()
    first[..., 0] *= half
    return replace(problem, input=first)


def _first_weight(problem: Problem) -> np.ndarray:
    return next(values for name, values in problem.parameters.items() if name.startswith("weight_ih"))


KINDS: Mapping[str, Callable[[Problem, np.random.Generator], Problem]] = {
    kind.__name__: kind
    for kind in (
        cancellation,
        scaled_rows,
        scaled_columns,
        tails,
        near_overflow,
        underflow,
        subnormals,
        large_states,
        one_large_term,
    )
}
"""Transformations by name."""

_COUNTS = {most: [n for n in range(1, most + 1) for _ in range(1 + (n <= 3))] for most in (3, 5, 12)}
_MEMORY = [*MEMORY, *MEMORY[:1] * 2]
_LAYOUTS = [words for words in LAYOUTS for _ in range(max(1, 5 - 2 * len(words)))]

SHARES = ((ORDINARY, 60), ("transformed", 25), ("kernel batches", 5), ("one large size", 1), (CLIMB, 9))
"""The shares of trials, in percent."""


def draw(random: Random, combinations: Sequence[tuple[str, str]], worst: Sequence[Trial]) -> Trial:
    """A trial of one of the (cell, dtype) `combinations`; some climb from one of the `worst` so far."""
    (share,) = random.choices([name for name, _ in SHARES], [parts for _, parts in SHARES])
    if share == CLIMB and worst:
        return mutated(random.choice(worst), random)
    cell, dtype = random.choice(combinations)
    case = _case(random, cell, dtype)
    if share == "transformed":
        return Trial(case, cell, random.choice(list(KINDS)))
    if share == "kernel batches":
        case = _sized(case, "batch_size", random.choice(KERNEL_BATCHES))
    if share == "one large size":
        case = _with_large_size(case, random)
    return Trial(_single_step(case) if cell.endswith(CELL_SUFFIX) else case, cell)


def _case(random: Random, cell: str, dtype: str) -> Case:
    """A case as the properties draw it, with fewer stacks; some packed, some LSTMs projected."""
    case = Case.drawn(
        narrowing=random.randrange(1, 2**15) if cell == LSTM and random.random() < 0.25 else 0,
        ends=random.randrange(1, 2**15) if random.random() < 0.1 else 0,
        input_size=random.choice(SIZES),
        hidden_size=random.choice(SIZES[1:]),
        num_layers=1 if random.random() < 0.6 else random.choice(_COUNTS[3]),
        batch_size=random.choice(_COUNTS[5]),
        steps=random.choice(_COUNTS[12]),
        bidirectional=random.random() < 0.4,
        layout=random.choice(_LAYOUTS),
        memory=random.choice(_MEMORY),
        dtype=dtype,
        fill=random.choice(FILLS_BY_WEIGHT),
        seed=random.randrange(2**16),
        pick=random.randrange(2**16),
    )
    return _single_step(case) if cell.endswith(CELL_SUFFIX) else case


def _single_step(case: Case) -> Case:
    """The case as one that a class of single steps takes."""
    words = tuple(word for word in case.layout if word != "bf")
    one: dict[str, Any] = {"num_layers": 1, "steps": 1, "bidirectional": False, "lengths": (), "layout": words}
    return replace(case, **one)


def _sized(case: Case, field: str, size: int) -> Case:
    """The case with one size set, and no longer packed, nor unbatched where that needs it."""
    changed: dict[str, Any] = {"lengths": (), field: size}
    resized = replace(case, **changed)
    kept = resized.layout if resized.batch_size == 1 else tuple(word for word in resized.layout if word != "unb")
    return replace(resized, layout=kept)


def _with_large_size(case: Case, random: Random) -> Case:
    field = random.choice(("input_size", "hidden_size", "batch_size", "steps"))
    large = _sized(replace(case, num_layers=1), field, random.choice(LARGE_SIZES))
    return large if large.numbers() <= MOST_NUMBERS else case


def mutated(trial: Trial, random: Random) -> Trial:
    """A neighbour of `trial`: other numbers, another fill or kind, a size, a word more or less."""
    case, kind = trial.case, trial.kind
    change = random.choice(("seed", "seed", "pick", "fill", "kind", "size", "size", "word", "memory"))
    if change == "seed":
        case = replace(case, seed=random.randrange(LARGEST_SEED))
    elif change == "pick":
        case = replace(case, pick=random.randrange(LARGEST_SEED))
    elif change == "fill":
        case = replace(case, fill=random.choice(FILLS))
    elif change == "kind":
        kind = random.choice([ORDINARY, *KINDS])
    elif change == "memory":
        case = replace(case, memory=random.choice(MEMORY))
    elif change == "word":
        words = set(case.layout) ^ {random.choice([word for word in LAYOUT_WORDS if word != "unb"])}
        case = replace(case, layout=tuple(one for one in LAYOUT_WORDS if one in words))
    else:
        case = _resized(case, random)
    return replace(trial, case=_single_step(case) if trial.cell.endswith(CELL_SUFFIX) else case, kind=kind)


def _resized(case: Case, random: Random) -> Case:
    """The case with one size a step larger or smaller, or doubled; no longer packed or projected where it counts."""
    field = random.choice(("input_size", "hidden_size", "num_layers", "batch_size", "steps"))
    size = getattr(case, field)
    size = max(1, random.choice((size - 1, size + 1, 2 * size)))
    size = min(size, 3 if field == "num_layers" else 40 if field == "steps" else 2048)
    resized = _sized(case, field, size)
    if resized.proj_size >= resized.hidden_size:
        resized = replace(resized, proj_size=0)
    return resized if resized.numbers() <= MOST_NUMBERS else case


ALL_COMBINATIONS = tuple((cell, dtype) for cell in CELLS for dtype in DTYPES)
"""Every cell in every dtype."""

__all__ = ["ALL_COMBINATIONS", "KINDS", "ORDINARY", "Trial", "draw", "mutated"]
