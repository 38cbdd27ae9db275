"""How small an error the suite detects.

    python -m conformance.selftest.sensitivity.error_sizes

An error is put into `Plain`: into every tanh (into the result, where the cell is a relu), or into one entry of W_hh.
Counted is the share of cases, drawn as the properties draw them, in which an error bound sees it: of whole calls (B1)
and of single steps (B2). Beside it what torch.testing.assert_close sees with its default tolerances, against the same
truth rounded to the dtype. The rung "none" has no error: a detection there is a false alarm.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

import reference
from conformance.harness.checks.ratios import compare_with_bounds, is_bounded
from conformance.harness.execution import machine, tensors
from conformance.harness.execution.observation import Observation
from conformance.harness.execution.requests.forward import ForwardByLayers
from conformance.harness.execution.subject import Subject
from conformance.selftest.arguments import Parser
from conformance.selftest.implementations.plain import Plain, States
from reference.formats import FORMATS
from reference.network import Enclosure
from reference.problem import GATES, RNN_RELU, Problem
from reference.roundings import Judgement
from strategies import Case, cases
from strategies.drawn_cases import look_at

RUNGS = {
    "float32": (0.0, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7),
    "float64": (0.0, 1e-11, 1e-12, 1e-13, 1e-14, 1e-15),
    "float16": (0.0, 1e-1, 3e-2, 1e-2, 3e-3, 1e-3),
    "bfloat16": (0.0, 1e-1, 3e-2, 1e-2, 3e-3),
}
"""Relative errors by dtype; none, then down to about its unit roundoff. An error below it is no number of the dtype."""

SURE, RUN = 0.95, 100
"""How often an error is to be seen, and the cases that a property looks at in a run."""

STEPS = range(1, 6)


class Blurred(Plain):
    """`Plain` with a relative error `by` in every tanh, or in the result of a relu."""

    def __init__(self, *args: Any, by: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.by = by

    def tanh(self, z: torch.Tensor) -> torch.Tensor:
        return _off(super().tanh(z), self.by)

    def step(self, x: torch.Tensor, states: States, layer: int, direction: int) -> States:
        after = super().step(x, states, layer, direction)
        return (_off(after[0], self.by),) if self.cell == RNN_RELU else after


class Miswired(Plain):
    """`Plain` with a relative error `by` in the first entry of W_hh, of layer 0 forward."""

    def __init__(self, *args: Any, by: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.by = by

    def weights(self, layer: int, direction: int) -> tuple[Any, Any, Any, Any]:
        w_ih, w_hh, b_ih, b_hh = super().weights(layer, direction)
        if layer == direction == 0:
            w_hh = w_hh.clone()
            w_hh[0, 0] = _off(w_hh[0, 0], self.by)
        return w_ih, w_hh, b_ih, b_hh


PLACES: dict[str, Callable[..., Plain]] = {"tanh or relu": Blurred, "entry of W_hh": Miswired}


def _off(values: torch.Tensor, by: float) -> torch.Tensor:
    """`values` a little smaller, computed in float64 and rounded once."""
    return (values.double() * (1 - by)).to(values.dtype)


def drawn(dtype: str, count: int, seed: int) -> list[Case]:
    """Cases of short calls as the properties draw them."""
    found: list[Case] = []
    look_at(cases(dtype=dtype, device="cpu", steps=STEPS), count, seed, found.append)
    return found


@dataclass
class Rung:
    """The share of cases in which each check detected an error."""

    cell: str
    dtype: str
    place: str
    by: float
    full: float
    forced: float
    assert_close: float

    @property
    def suite(self) -> float:
        """The better of the two properties."""
        return max(self.full, self.forced)


def outside(seen: Observation, enclosure: Enclosure) -> bool:
    """Whether a result leaves its bounds."""
    results = seen.results.items()
    return any(
        compare_with_bounds(one.values, getattr(enclosure, name), is_bounded(seen.problem, name)).worst > 1
        for name, one in results
    )


def refused_by_assert_close(seen: Observation, truth: Enclosure) -> bool:
    """Whether torch.testing.assert_close, with the tolerances of the dtype, refuses a result."""
    dtype = seen.problem.dtype
    for name, labelled in seen.results.items():
        ball = getattr(truth, name)
        if not np.isfinite(ball.radius).all():
            continue
        wanted = FORMATS[dtype].round(ball.midpoint)
        try:
            torch.testing.assert_close(tensors.tensor(labelled.values, dtype), tensors.tensor(wanted, dtype))
        except AssertionError:
            return True
    return False


def climb(cell: str, dtype: str, place: str, by: float, problems: Sequence[Problem]) -> Rung:
    """Puts the error into every problem and counts the detections of each check."""
    subject = Subject("ladder", {cell: partial(PLACES[place], cell, by=by)})
    judgement = _judgement(cell, dtype)
    rounding = judgement.amber or judgement.red
    counts = np.zeros(3)
    for problem in problems:
        (seen,) = ForwardByLayers(problem, ("no_grad",)).execute(subject)
        truth = reference.forward(problem, rounding)
        alone = any(outside(s, reference.forward_forced(s.problem, rounding, s.output.values)) for s in seen.layers)
        counts += (outside(seen, truth), alone, refused_by_assert_close(seen, truth))
    full, forced, close = (float(share) for share in counts / len(problems))
    return Rung(cell, dtype, place, by, full, forced, close)


def _judgement(cell: str, dtype: str) -> Judgement:
    """The models of this PyTorch's kernels: `Plain` computes with them."""
    return reference.model(cell, dtype, "cpu", machine.capability(), machine.release(), "torch.nn")


def ladder(dtypes: Sequence[str], count: int, seed: int, tell: Callable[[Rung], None]) -> list[Rung]:
    """Every rung; `tell` hears of each as it is done."""
    rungs = []
    for dtype in dtypes:
        chosen = drawn(dtype, count, seed)
        for cell in GATES:
            problems = [case.on(cell) for case in chosen]
            for place in PLACES:
                for by in RUNGS[dtype]:
                    rungs.append(climb(cell, dtype, place, by, problems))
                    tell(rungs[-1])
    return rungs


def line(rung: Rung) -> str:
    """A rung as a row of a markdown table."""
    shares = " | ".join(f"{share:.0%}" for share in (rung.full, rung.forced, rung.assert_close))
    return f"| {rung.cell} | {rung.dtype} | {rung.place} | {f'{rung.by:.0e}' if rung.by else 'none'} | {shares} |"


def smallest(rungs: Sequence[Rung], dtype: str, place: str, seen: Callable[[Rung], bool]) -> str:
    """The smallest error of a dtype and place that is seen on every cell."""
    mine = [rung for rung in rungs if rung.dtype == dtype and rung.place == place and rung.by]
    sizes = [by for by in RUNGS[dtype] if by and all(seen(rung) for rung in mine if rung.by == by)]
    return f"{min(sizes):.0e}" if sizes else f"above {max(RUNGS[dtype]):.0e}"


def conclusions(rungs: Sequence[Rung]) -> list[str]:
    """For each dtype and place, the smallest errors that are seen for sure in a case, and in a run."""
    per_case: dict[str, Callable[[Rung], bool]] = {
        "the suite": lambda rung: rung.suite >= SURE,
        "assert_close": lambda rung: rung.assert_close >= SURE,
    }
    lines = []
    for dtype, place in dict.fromkeys((rung.dtype, rung.place) for rung in rungs):
        told = [f"{who} {smallest(rungs, dtype, place, seen)}" for who, seen in per_case.items()]
        sound = [rung.assert_close for rung in rungs if (rung.dtype, rung.place, rung.by) == (dtype, place, 0)]
        told[-1] += f", which refuses {sum(sound) / len(sound):.0%} of correct ones"
        run = smallest(rungs, dtype, place, lambda rung: 1 - (1 - rung.suite) ** RUN >= SURE)
        sure = f"seen in {SURE:.0%} of cases by {' and by '.join(told)}"
        lines.append(f"{dtype}, {place}: {sure}; in a run of {RUN} cases by the suite {run}")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: prints the table, then the conclusions."""
    parser = Parser("ladder", description="How small an error the error bounds see, beside assert_close.")
    parser.add_argument("--cases", type=int, default=60, help="how many cases for each rung (60)")
    parser.add_argument("--seed", type=int, default=0, help="which cases (0)")
    parser.add_argument("--dtype", action="append", choices=list(RUNGS), help="only this dtype; may be repeated")
    options = parser.parse_args(arguments)
    if options.cases < 1:
        parser.error(f"--cases is at least 1, not {options.cases}")
    machine.pin()
    print("| cell | dtype | error in | relative | B1 sees | B2 sees | assert_close sees |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: |")
    dtypes = options.dtype or list(RUNGS)
    rungs = ladder(dtypes, options.cases, options.seed, lambda rung: print(line(rung), flush=True))
    print("\n" + "\n".join(conclusions(rungs)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
