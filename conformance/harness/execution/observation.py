"""The results of calls as data: labelled NumPy arrays, and facts about the tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from conformance.harness.execution.failure import Failure
from reference.problem import LSTM, Loss, Problem

DIRECTION_NAMES = ("forward", "reverse")

NO_SECOND_DERIVATIVES = "the first gradients, taken with create_graph=True, require no gradient"
"""The message of a check of second derivatives if there are none."""

INDEX = ("first index", "second index")
"""Axes of parameters, which have no names of their own."""


@dataclass(frozen=True)
class Fact:
    """The facts of a returned tensor apart from its values: names as strings, shape and strides in elements."""

    type: str
    shape: tuple[int, ...] = ()
    dtype: str = ""
    device: str = ""
    strides: tuple[int, ...] = ()

    @property
    def significant_strides(self) -> tuple[int, ...]:
        """The strides of axes with more than one place: those of others lead nowhere."""
        return tuple(stride for size, stride in zip(self.shape, self.strides, strict=True) if size > 1)


class LabelledArray:
    """An array whose axes have names, so that an element can say its layer, row, step and unit after slicing.

    Slices with integers, slices and Ellipsis; anything else is a TypeError.
    """

    __slots__ = ("axes", "field", "fixed", "values")

    def __init__(
        self,
        field: str,
        values: np.ndarray,
        axes: Sequence[tuple[str, Sequence[int]]],
        fixed: Sequence[tuple[str, int]] = (),
    ) -> None:
        self.field = field
        self.values = values
        self.axes = tuple(axes)
        self.fixed = tuple(fixed)

    @classmethod
    def of(cls, field: str, values: np.ndarray, *names: str, fixed: Sequence[tuple[str, int]] = ()) -> LabelledArray:
        """`values` with an axis name for each dimension."""
        return cls(field, values, [(name, range(size)) for name, size in zip(names, values.shape, strict=True)], fixed)

    def __getitem__(self, key: object) -> LabelledArray:
        keys = key if isinstance(key, tuple) else (key,)
        if Ellipsis in keys:
            at = keys.index(Ellipsis)
            keys = (*keys[:at], *[slice(None)] * (len(self.axes) - len(keys) + 1), *keys[at + 1 :])
        axes: list[tuple[str, Sequence[int]]] = []
        fixed = list(self.fixed)
        for place, (name, positions) in enumerate(self.axes):
            one = keys[place] if place < len(keys) else slice(None)
            if isinstance(one, slice):
                axes.append((name, positions[one]))
            elif isinstance(one, int):
                fixed.append((name, positions[one]))
            else:
                raise TypeError(f"a labelled array is sliced with integers and slices, not {one!r}")
        return LabelledArray(self.field, self.values[keys], axes, fixed)

    def rows(self, chosen: Sequence[int], steps: int) -> LabelledArray:
        """The chosen rows of the batch, in this order, and of an output their first `steps` steps; labels are kept."""
        values, axes = self.values, list(self.axes)
        for place, (name, positions) in enumerate(axes):
            kept = {"row": chosen, "step": range(steps)}.get(name)
            if kept is not None:
                values = values.take(list(kept), place)
                axes[place] = (name, [positions[one] for one in kept])
        return LabelledArray(self.field, values, axes, self.fixed)

    def mapped(self, function: Callable[[np.ndarray], np.ndarray]) -> LabelledArray:
        """An elementwise function of the values, the labels kept."""
        return LabelledArray(self.field, function(self.values), self.axes, self.fixed)

    def called(self, field: str) -> LabelledArray:
        """The same array as another field."""
        return LabelledArray(field, self.values, self.axes, self.fixed)

    def __abs__(self) -> LabelledArray:
        return self.mapped(np.abs)

    def __neg__(self) -> LabelledArray:
        return self.mapped(np.negative)

    def at(self, index: Sequence[int]) -> str:
        """The field and place of element `index`: `output, layer 0 forward, row 0, step 1, unit 1`."""
        return ", ".join(filter(None, (self.field, place_of(self.where(index)))))

    def where(self, index: Sequence[int]) -> dict[str, int]:
        """The place of element `index`: a number for each axis of the whole tensor."""
        return dict(self.fixed) | {
            name: positions[int(i)] for (name, positions), i in zip(self.axes, index, strict=True)
        }


def place_of(where: dict[str, int]) -> str:
    """A place as text: `layer 0 forward, row 0, step 1, unit 1`."""
    words = []
    if "layer" in where:
        words.append(f"layer {where['layer']}")
    if "direction" in where:
        words.append(DIRECTION_NAMES[where["direction"]])
    head = [" ".join(words)] if words else []
    head += [f"{name} {where[name]}" for name in ("row", "step", "unit", "feature") if name in where]
    index = [str(where[name]) for name in INDEX if name in where]
    return ", ".join(head + ([f"index [{', '.join(index)}]"] if index else []))


@dataclass(frozen=True)
class Manner:
    """How a call was made, beyond what its problem, loss and route say.

    parameter_memory  how parameters lie in memory
    change            in which way all weights were doubled after a first call of the module; "" if they were not
    first_too         whether that first call was differentiated
    first_rows        how many rows a call of the same module took before this one took the others; 0 if it took all
    rows, steps       those whose input became NaN before the call was made again
    surrounding, api  what was set around the call, and what differentiated it; "" for nothing, and for a backward pass
    spelled           how its arguments are given, or whose code makes it; "" for the call as usual
    """

    parameter_memory: str = "contiguous"
    change: str = ""
    first_too: bool = False
    first_rows: int = 0
    rows: slice = field(default_factory=lambda: slice(None))
    steps: slice = field(default_factory=lambda: slice(None))
    surrounding: str = ""
    api: str = ""
    spelled: str = ""


@dataclass(frozen=True, eq=False)
class Observation:
    """One call: where it ran and what it returned. Canonical values are made on first use.

    subject   its name
    route     a name of `route.ROUTES`
    facts     of output, h_n, c_n
    raw       their values as returned, float64; empty where a route has none
    failure   why nothing came back
    warnings  texts warned of during the call
    repacked  what of a packed output's packing is not the input's
    kernels   labels of `kernels.KERNEL_LABELS`, where the request asked for them
    layer, step  where a part of a larger call begins
    manner    how it was made
    before    the calls whose last states were handed on to it, each to the next
    """

    problem: Problem
    subject: str
    route: str
    facts: dict[str, Fact] = field(default_factory=dict)
    raw: dict[str, np.ndarray] = field(default_factory=dict)
    failure: Failure | None = None
    warnings: tuple[str, ...] = ()
    repacked: tuple[str, ...] = ()
    kernels: tuple[str, ...] = ()
    layer: int = 0
    step: int = 0
    manner: Manner = field(default_factory=Manner)
    before: tuple[Observation, ...] = ()

    @property
    def parts(self) -> tuple[Observation, ...]:
        """The further calls that the request made."""
        return ()

    @property
    def output(self) -> LabelledArray:
        """(N, T, D, R)"""
        a, values = self.problem.architecture, self.raw["output"]
        if self.problem.unbatched:
            values = values[None]
        elif not a.batch_first:
            values = values.swapaxes(0, 1)
        split = values.reshape(*values.shape[:2], a.directions, a.output_size)
        fixed = [("layer", self.layer + a.num_layers - 1)]
        whole = LabelledArray.of("output", split, "row", "step", "direction", "unit", fixed=fixed)
        steps = range(self.step, self.step + self.problem.steps)
        return LabelledArray("output", split, [whole.axes[0], ("step", steps), *whole.axes[2:]], fixed)

    @property
    def h_n(self) -> LabelledArray:
        """(L, D, N, R)"""
        return self._state("h_n")

    @property
    def c_n(self) -> LabelledArray:
        """(L, D, N, H), LSTM alone"""
        return self._state("c_n")

    @property
    def results(self) -> dict[str, LabelledArray]:
        """Every result by name, canonical."""
        return {name: getattr(self, name) for name in self.raw}

    @property
    def misshapen(self) -> str:
        """The first result whose shape is not the documented one, or ""."""
        wanted = documented_shapes(self.problem)
        return next(
            (name for name, shape in wanted.items() if name in self.facts and self.facts[name].shape != shape), ""
        )

    def _state(self, name: str) -> LabelledArray:
        a = self.problem.architecture
        values = self.raw[name].reshape(a.num_layers, a.directions, self.problem.batch_size, -1)
        labelled = LabelledArray.of(name, values, "layer", "direction", "row", "unit")
        layers = range(self.layer, self.layer + a.num_layers)
        return LabelledArray(name, values, [("layer", layers), *labelled.axes[1:]])


@dataclass(frozen=True, eq=False)
class ByLayers(Observation):
    """A call, and `layers`: the same call as a composition of one-layer modules."""

    layers: tuple[Observation, ...] = ()

    @property
    def parts(self) -> tuple[Observation, ...]:
        return self.layers


@dataclass(frozen=True, eq=False)
class BySteps(Observation):
    """A call, and `steps`: the same call as one for each step, each handed the states that the last returned."""

    steps: tuple[Observation, ...] = ()

    @property
    def parts(self) -> tuple[Observation, ...]:
        return self.steps


@dataclass(frozen=True, eq=False)
class Repeated(Observation):
    """A call made again.

    again    the second call, and a third after the first results were overwritten
    changed  inputs, states and parameters that the first two calls changed, by name, and how; the "random state" too
    shared   the same of what changed when the first results were overwritten
    """

    again: tuple[Observation, ...] = ()
    changed: dict[str, str] = field(default_factory=dict)
    shared: dict[str, str] = field(default_factory=dict)

    @property
    def parts(self) -> tuple[Observation, ...]:
        return self.again


def same_numbers(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> bool:
    """Whether two calls returned the same numbers; NaN equals NaN."""
    return len(one) == len(other) and all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, other, strict=True))


SECOND_TIME = "the same invalid call is accepted the second time"
WITHOUT_STATES = "the valid call without states is another afterwards"
"""How texts begin of what a refused call changed for later ones."""


@dataclass(frozen=True, eq=False)
class Refused(Observation):
    """An invalid call between two valid ones.

    refusal      what it raised; None where it was accepted
    returned     the values of each tensor that it returned, float64
    beside       what two more calls returned, with one number and another beside every tensor; () where it raised
    changed      the names of arguments, parameters, settings and parts of the module's state that it changed
    works_after  "", or how the valid call after it differs from the one before it
    ignored      elements of the spoilt argument that have no influence on any result, though in the valid call each has
    examined     whether the influence of the spoilt argument was looked at element by element
    nonsense     "", or why what was accepted is no answer
    keeps        whether the module keeps arguments that it refused, though none that it took
    parameter    the name of the parameter that is spoilt; "" where none is
    later        what a call of the module raised whose constructor accepted an invalid argument
    wrong        what is wrong with the call, in words; "" where nobody said it
    """

    refusal: Failure | None = None
    returned: tuple[np.ndarray, ...] = ()
    beside: tuple[tuple[np.ndarray, ...], ...] = ()
    changed: tuple[str, ...] = ()
    works_after: str = ""
    ignored: tuple[str, ...] = ()
    examined: bool = False
    nonsense: str = ""
    later: Failure | None = None
    keeps: bool = False
    parameter: str = ""
    wrong: str = ""

    @property
    def hangs_on_memory(self) -> bool:
        """Whether what it returned hangs on what lies beside its arguments, or in free memory."""
        return bool(self.beside) and not same_numbers(*self.beside)


@dataclass(frozen=True, eq=False)
class Poisoned(Observation):
    """A call, and `poisoned`: the call once more after a part of its input was overwritten with NaN."""

    poisoned: tuple[Observation, ...] = ()

    @property
    def parts(self) -> tuple[Observation, ...]:
        return self.poisoned


@dataclass(frozen=True, eq=False)
class Changed(Observation):
    """A call, and `after`: the same call after the module's weights were changed."""

    after: tuple[Observation, ...] = ()

    @property
    def parts(self) -> tuple[Observation, ...]:
        return self.after


@dataclass(frozen=True, eq=False)
class InLaps(Observation):
    """Calls of one module over the same lengths again and again.

    laps   bytes that each lap added to what its process holds; () where the system does not tell
    calls  of each lap
    """

    laps: tuple[int, ...] = ()
    calls: int = 0


@dataclass(frozen=True, eq=False)
class FromFile(Observation):
    """A call of a module whose weights were read from a file; what it then holds, float64, by name."""

    weights: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Timed(Observation):
    """A call made several times against the clock: the seconds of each."""

    seconds: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class Written(Observation):
    """A module that was written to a file of `size` bytes."""

    size: int = 0


@dataclass(frozen=True, eq=False)
class Trained(Observation):
    """A module after some steps of training: the loss before each step, and the weights after the last, float64."""

    losses: tuple[float, ...] = ()
    weights: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Constructed(Observation):
    """A module without any call: the facts of its parameters, by name, and its repr."""

    text: str = ""


@dataclass(frozen=True, eq=False)
class Differentiated(Observation):
    """A call that was differentiated.

    loss           what was differentiated, in this pass
    raw_gradients  of inputs, states and parameters, by name, as returned, float64; one that is None is left out
    shared         pairs of parameters whose gradients share memory
    later_passes   the same after each further backward pass, with the loss of that pass
    """

    loss: Loss | None = None
    raw_gradients: dict[str, np.ndarray] = field(default_factory=dict)
    shared: tuple[str, ...] = ()
    later_passes: tuple[Differentiated, ...] = ()

    @property
    def gradients(self) -> dict[str, LabelledArray]:
        """Every gradient by the name of what it is of, canonical: input (N, T, I), h_0 and c_0 (L, D, N, features)."""
        return {name: self._gradient(name, values) for name, values in self.raw_gradients.items()}

    def gradient(self, name: str) -> LabelledArray:
        """One gradient, canonical; zeros if it is None."""
        found = self.raw_gradients.get(name)
        return self.zero_gradient(name) if found is None else self._gradient(name, found)

    def zero_gradient(self, name: str) -> LabelledArray:
        """Zeros, which a gradient that is None stands for."""
        shape = self.problem.parameters[name].shape if name in self.problem.parameters else ()
        if name == "input":
            return LabelledArray.of(f"gradient of {name}", np.zeros(self.problem.input.shape), "row", "step", "feature")
        if name in ("h_0", "c_0"):
            shape = self.problem.state(name).shape
        return self._gradient(name, np.zeros(shape))

    def _gradient(self, name: str, values: np.ndarray) -> LabelledArray:
        a, field = self.problem.architecture, f"gradient of {name}"
        if name == "input":
            if a.single_step or self.problem.unbatched:
                values = values.reshape(self.problem.input.shape)
            elif not a.batch_first:
                values = values.swapaxes(0, 1)
            return LabelledArray.of(field, values, "row", "step", "feature")
        if name in ("h_0", "c_0"):
            values = values.reshape(a.num_layers, a.directions, self.problem.batch_size, -1)
            return LabelledArray.of(field, values, "layer", "direction", "row", "unit")
        return LabelledArray.of(field, values, *INDEX[: values.ndim])


@dataclass(frozen=True, eq=False)
class DifferentiatedByLayers(Differentiated):
    """A call that was differentiated, and `layers`: the same as a composition of one-layer modules.

    The loss of each layer is made of the gradient that was found at its output, and of its own last states.
    """

    layers: tuple[Differentiated, ...] = ()

    @property
    def parts(self) -> tuple[Observation, ...]:
        return self.layers

    @property
    def composition(self) -> Differentiated:
        """The gradients of all layers as those of the whole stack."""
        found = {"input": self.layers[0].raw_gradients["input"]} if "input" in self.layers[0].raw_gradients else {}
        for name in ("h_0", "c_0"):
            states = [layer.raw_gradients[name] for layer in self.layers if name in layer.raw_gradients]
            found |= {name: np.concatenate(states)} if states else {}
        for number, layer in enumerate(self.layers):
            own = {name: layer.raw_gradients[name] for name in layer.problem.parameters if name in layer.raw_gradients}
            found |= {name.replace("_l0", f"_l{number}"): values for name, values in own.items()}
        return Differentiated(self.problem, self.subject, self.route, loss=self.loss, raw_gradients=found)


@dataclass(frozen=True, eq=False)
class DifferentiatedByApi(Differentiated):
    """A call that was differentiated by one API of autograd.

    others  further sets of first derivatives, where the API gives more than one
    second  second derivatives, where the API gives them
    """

    others: tuple[Differentiated, ...] = ()
    second: Differentiated | None = None

    @property
    def first_derivatives(self) -> tuple[Differentiated, ...]:
        """Every set of first derivatives."""
        return (self, *self.others)


@dataclass(frozen=True, eq=False)
class Surrounded(Differentiated):
    """A call that was differentiated, and `surrounded`: the same again in other surroundings.

    That is left out where a plain linear layer fails in them too.
    """

    surrounded: tuple[Differentiated, ...] = ()

    @property
    def parts(self) -> tuple[Observation, ...]:
        return self.surrounded


@dataclass(frozen=True, eq=False)
class GradgradChecked(Observation):
    """A call whose second derivatives were checked; `gradgradcheck_failure` says what is wrong with them, or ""."""

    gradgradcheck_failure: str = ""


@dataclass(frozen=True, eq=False)
class PackingObservation(Observation):
    """One call of a packing utility: `raw` and `facts` of what it returned, `changed` of its arguments, and how.

    They are named data, batch_sizes, sorted_indices and unsorted_indices, those that are there; padded, and lengths;
    or row 0, row 1 and so on; or inverse; or answer, a truth value. Integers are int64. call: the utility's name, its
    options and its rows, as text. is_argument: what it returned is the very object that it was given. request: the one
    that made it, which does not travel with it. wanted: what an array should be, done by hand.
    """

    utility: str = ""
    call: str = ""
    changed: dict[str, str] = field(default_factory=dict)
    is_argument: bool = False
    request: Any = None
    wanted: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class ParametersDrawn:
    """The parameters that modules drew, by name, module after module; or why there are none."""

    drawn: tuple[dict[str, np.ndarray], ...] = ()
    failure: Failure | None = None


def documented_shapes(problem: Problem) -> dict[str, tuple[int, ...]]:
    """The shapes that the documentation gives the results of a call on `problem`, as the caller sees them."""
    a, t = problem.architecture, problem.steps
    batch = () if problem.unbatched else (problem.batch_size,)
    stacked = () if a.single_step else (a.num_layers * a.directions,)
    shapes: dict[str, tuple[int, ...]] = {}
    if not a.single_step:
        width = a.directions * a.output_size
        shapes["output"] = (*batch, t, width) if a.batch_first else (t, *batch, width)
    shapes["h_n"] = (*stacked, *batch, a.output_size)
    if a.cell == LSTM:
        shapes["c_n"] = (*stacked, *batch, a.hidden_size)
    return shapes
