"""Life cycles: what is done to a module before it is called, and the plain weights that it has then.

    do=half,tie,float    do=parametrize,deepcopy,remove_parametrization

The model has arrays alone, and moves them as the documentation of each operation says: it is never a copy of a module.
An operation that does not apply leaves it as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from reference.formats import FORMATS
from reference.problem import Problem

FACTOR = 2.0
"""What an operation multiplies weights by that changes them: exact, also where they are subnormal."""

CONVERSIONS: Mapping[str, str] = {"half": "float16", "bfloat16": "bfloat16", "float": "float32", "double": "float64"}
"""The operations that convert, and the dtype that each leads to."""

EXPORT = "export"
"""Takes a thousand times as long as another operation."""

PARAMETRIZED = "parametrizations.{}.original"
PRUNED = ("{}_orig", "{}_mask")
DROPPED = "{}_raw"
NORMALISED = ("{}_g", "{}_v")
IN_PARTS = (PARAMETRIZED + "0", PARAMETRIZED + "1")
FORMS = (PARAMETRIZED, *IN_PARTS, *PRUNED, DROPPED, *NORMALISED)
"""The names of what stands in a state_dict in place of a weight."""


@dataclass(frozen=True)
class Held:
    """A parameter that the user holds, through which a weight is made.

    name    as the module names it
    factor  the derivative of each element of the weight by that of the parameter: an array, or a number; None where
            it is not elementwise
    """

    name: str
    factor: np.ndarray | float | None = 1.0


@dataclass(frozen=True)
class Life:
    """A module as its weights.

    weights   by their documented names, float64, numbers that `dtype` stores exactly
    dtype     of weights, inputs and states
    training  the mode
    names     of the state_dict, in order
    held      the parameter behind each weight, by the weight's name
    frozen    names of parameters that want no gradient
    together  weights that are one tensor with the value: the name of another weight
    made      how a weight is made, where it is no parameter itself: the name of the operation
    loose     weights that the operations round in a way that is their own
    further   names of parameters that are held beside those in `held`
    """

    weights: Mapping[str, np.ndarray]
    dtype: str
    training: bool
    names: tuple[str, ...]
    held: Mapping[str, Held]
    frozen: frozenset[str] = frozenset()
    together: Mapping[str, str] = field(default_factory=dict)
    made: Mapping[str, str] = field(default_factory=dict)
    loose: frozenset[str] = frozenset()
    further: frozenset[str] = frozenset()

    @classmethod
    def of(cls, weights: Mapping[str, np.ndarray], dtype: str, training: bool) -> Life:
        """The life of a module that was built and given its weights."""
        return cls(dict(weights), dtype, training, tuple(weights), {name: Held(name) for name in weights})

    @property
    def first(self) -> str:
        """The weight that operations of one weight are about."""
        return next(iter(self.weights))

    @property
    def is_plain(self) -> bool:
        """Whether every weight is a parameter of its own name, and none is another too."""
        return not self.made and not self.together

    def twice(self, *names: str) -> Life:
        """These weights doubled; exact until they overflow."""
        with np.errstate(over="ignore"):
            return self.valued({name: FORMATS[self.dtype].round(self.weights[name] * FACTOR) for name in names})

    def valued(self, weights: Mapping[str, np.ndarray]) -> Life:
        """Other weights."""
        return replace(self, weights=dict(self.weights) | dict(weights))

    def moved(self, name: str, *names: str) -> Life:
        """The state_dict without a name, and with others in the end."""
        return replace(self, names=(*(one for one in self.names if one != name), *names))

    def holding(self, name: str, held: Held, made: str) -> Life:
        """A weight that is made of another parameter; made: how, "" where it is a parameter."""
        others = {n: how for n, how in self.made.items() if n != name}
        return replace(self, held=dict(self.held) | {name: held}, made=others | ({name: made} if made else {}))


Operation = Callable[[Life], Life | None]
"""Moves the weights; None where the operation does not apply."""


def nothing(life: Life) -> Life:
    """The weights stay."""
    return life


def plain(operation: Operation) -> Operation:
    """An operation that applies where every weight is a parameter."""
    return lambda life: operation(life) if life.is_plain else None


def doubled(life: Life) -> Life:
    """Every weight is multiplied."""
    return life.twice(*life.weights)


def whole(life: Life) -> Life:
    """All parameters want gradients, as new ones do."""
    return replace(life, frozen=frozenset())


def handed_over(life: Life) -> Life:
    """Another module has the weights: its state_dict is in the order of a new one, and nothing is frozen."""
    return replace(whole(life), names=tuple(life.weights))


def into(dtype: str) -> Operation:
    """Every weight is rounded to a dtype."""

    def converted(life: Life) -> Life | None:
        if life.loose:
            return None
        rounded = {name: _rounded(values, life.held[name].factor, dtype) for name, values in life.weights.items()}
        return replace(life.valued(rounded), dtype=dtype)

    return converted


def _rounded(values: np.ndarray, factor: np.ndarray | float | None, dtype: str) -> np.ndarray:
    """A weight whose parameter is rounded; a factor that is a number is a power of two."""
    number = factor if isinstance(factor, float) else 1.0
    return FORMATS[dtype].round(FORMATS[dtype].round(values / number) * number)


def in_mode(training: bool) -> Operation:
    """The mode is another."""
    return lambda life: replace(life, training=training)


def frozen(life: Life) -> Life:
    """No parameter wants a gradient."""
    return replace(life, frozen=life.further | {held.name for held in life.held.values()})


def first_frozen(life: Life) -> Life:
    """The first parameter wants none."""
    return replace(life, frozen=life.frozen | {life.held[life.first].name})


def tied(life: Life) -> Life | None:
    """The last weight that has the shape of an earlier one is that tensor too."""
    if not life.is_plain:
        return None
    names = list(life.weights)
    for place in reversed(range(len(names))):
        name = names[place]
        other = next((one for one in names[:place] if life.weights[one].shape == life.weights[name].shape), None)
        if other is not None:
            found = replace(life.valued({name: life.weights[other]}), together={name: other})
            kept = frozenset(one for one in life.frozen if one != name)
            both = kept | ({name} if other in kept else set())
            return replace(found, held=dict(life.held) | {name: Held(other)}, frozen=both)
    return None


def untied(life: Life) -> Life | None:
    """Weights that were one tensor are two, and one of them is doubled."""
    if not life.together:
        return None
    own = {name: Held(name) for name in life.together}
    return replace(life.twice(*own), together={}, held=dict(life.held) | own, frozen=life.frozen - set(own))


def readded(life: Life) -> Life:
    """The first weight was taken away, and a new one registered."""
    return reassigned(life.moved(life.first, life.first))


def reassigned(life: Life) -> Life:
    """The first weight is a new parameter."""
    name = life.first
    return replace(life.twice(name), frozen=life.frozen - {name})


def parametrized(life: Life) -> Life:
    """The first weight is twice a parameter that has its values."""
    name, original = life.first, PARAMETRIZED.format(life.first)
    made = life.twice(name).moved(name, original)
    return _renamed(made.holding(name, Held(original, FACTOR), "parametrize"), name, original)


def pruned(life: Life) -> Life:
    """Every other element of the first weight is 0."""
    name, (original, mask_name) = life.first, (one.format(life.first) for one in PRUNED)
    mask = mask_of(life.weights[name].shape)
    made = life.valued({name: life.weights[name] * mask}).moved(name, original, mask_name)
    return _renamed(made.holding(name, Held(original, mask), "prune"), name, original)


def mask_of(shape: tuple[int, ...]) -> np.ndarray:
    """What remains of a pruned weight: the first element and every other one after it."""
    return (np.arange(int(np.prod(shape))) % 2 == 0).astype(np.float64).reshape(shape)


def weights_dropped(life: Life) -> Life:
    """The first weight is a tensor that is made of a parameter before every call: twice its values."""
    name, raw = life.first, DROPPED.format(life.first)
    made = life.twice(name).moved(name, raw)
    return _renamed(made.holding(name, Held(raw, FACTOR), "weight_drop"), name, raw)


def normalised(word: str, *parts: str, stays_frozen: bool) -> Operation:
    """The first weight is a direction and a length; its values stay, up to roundings."""

    def done(life: Life) -> Life:
        name = life.first
        made = life.moved(name, *(part.format(name) for part in parts))
        own = frozenset(part.format(name) for part in parts)
        still = own if stays_frozen and name in life.frozen else frozenset()
        made = replace(made, loose=life.loose | {name}, frozen=life.frozen - {name} | still, further=own)
        return made.holding(name, Held(parts[-1].format(name), None), word)

    return plain(done)


def removed(*words: str) -> Operation:
    """The first weight is a parameter again, with the values that it had."""

    def done(life: Life) -> Life | None:
        name = life.first
        if life.made.get(name) not in words:
            return None
        gone = life.held[name].name
        stood_for_it = {form.format(name) for form in FORMS}
        kept = tuple(one for one in life.names if one not in stood_for_it)
        still = life.frozen - {gone} - life.further | ({name} if gone in life.frozen else set())
        found = replace(life, names=(*kept, name), further=frozenset(), frozen=still)
        return found.holding(name, Held(name), "")

    return done


def _renamed(life: Life, name: str, other: str) -> Life:
    """A frozen parameter stays frozen under its other name."""
    return replace(life, frozen=life.frozen - {name} | {other}) if name in life.frozen else life


OPERATIONS: Mapping[str, Operation] = {
    # calls
    "forward": nothing,
    "backward": nothing,
    "refused_call": nothing,
    "hooks": nothing,
    EXPORT: nothing,
    # files and copies
    "state_dict": plain(handed_over),
    "state_dict_file": plain(handed_over),
    "file": nothing,
    "pickle": nothing,
    "deepcopy": nothing,
    "copy": doubled,
    # other weights in the same parameters
    "step": doubled,
    "in_place": doubled,
    "data": doubled,
    "load": plain(doubled),
    "load_assign": plain(doubled),
    "reset_parameters": plain(doubled),
    "to_empty": plain(doubled),
    "shared_with_another": plain(doubled),
    # other parameters
    "setattr": plain(reassigned),
    "register_parameter": plain(readded),
    "register_after_to": plain(readded),
    "parameters_dict": plain(reassigned),
    "tie": tied,
    "untie": untied,
    # calls with other weights
    "functional_call": plain(nothing),
    "stack_module_state": plain(nothing),
    # modes
    "train": in_mode(True),
    "eval": in_mode(False),
    "freeze": frozen,
    "freeze_first": first_frozen,
    "unfreeze": whole,
    # dtypes and places
    **{name: into(dtype) for name, dtype in CONVERSIONS.items()},
    "failed_to": nothing,
    "share_memory": nothing,
    "flatten_parameters": nothing,
    # weights that are made of others
    "parametrize": plain(parametrized),
    "remove_parametrization": removed("parametrize", "weight_norm"),
    "weight_norm": normalised("weight_norm", *IN_PARTS, stays_frozen=True),
    "old_weight_norm": normalised("old_weight_norm", *NORMALISED, stays_frozen=False),
    "remove_weight_norm": removed("old_weight_norm"),
    "prune": plain(pruned),
    "remove_pruning": removed("prune"),
    "weight_drop": plain(weights_dropped),
}
"""What may be done to a module, by its word in a case line, and how its weights move."""


BEFORE: Mapping[str, str] = {
    "untie": "tie",
    "unfreeze": "freeze",
    "train": "eval",
    "remove_parametrization": "parametrize",
    "remove_weight_norm": "old_weight_norm",
    "remove_pruning": "prune",
}
"""What an operation takes back."""


def beginning(name: str) -> tuple[str, ...]:
    """The shortest history in which an operation does something."""
    return (BEFORE[name], name) if name in BEFORE else (name,)


def lives(problem: Problem, history: tuple[str, ...]) -> tuple[Life | None, ...]:
    """The life of a problem's module after each operation; None where that does not apply, and changes nothing."""
    life, found = Life.of(problem.parameters, problem.dtype, problem.training), list[Life | None]()
    for name in history:
        after = OPERATIONS[name](life)
        found.append(after)
        life = after or life
    return tuple(found)


def called(problem: Problem, life: Life) -> Problem:
    """The same call of a module with these weights, of their dtype."""
    h_0, c_0 = (None if one is None else FORMATS[life.dtype].round(one) for one in (problem.h_0, problem.c_0))
    return replace(
        problem,
        dtype=life.dtype,
        parameters=life.weights,
        input=FORMATS[life.dtype].round(problem.input),
        h_0=h_0,
        c_0=c_0,
        training=life.training,
        granule=0.0,
    )


@dataclass(frozen=True)
class Facts:
    """What a module says of itself.

    names        of the state_dict, in order
    together     parameters that are one tensor, by all their names
    wanting      names of parameters that want gradients
    in_training  its mode
    """

    names: tuple[str, ...] = ()
    together: tuple[tuple[str, ...], ...] = ()
    wanting: tuple[str, ...] = ()
    in_training: bool = True


def facts(life: Life) -> Facts:
    """What a module says of itself that has these weights."""
    groups: dict[str, list[str]] = {}
    for weight, other in life.together.items():
        groups.setdefault(other, [other]).append(weight)
    held = {one.name for one in life.held.values()} | set(life.together) | life.further
    wanting = (one for one in held if life.together.get(one, one) not in life.frozen)
    together = sorted(tuple(sorted(group)) for group in groups.values())
    return Facts(life.names, tuple(together), tuple(sorted(wanting)), life.training)


SUSPECTS = ("register_after_to", "failed_to")
"""Operations after which whatever goes wrong is theirs; of several the first of these."""


def blamed(done: Sequence[str]) -> str:
    """Of operations that were done, the one that a deviation is told of which shows after the last."""
    return next((name for name in SUSPECTS if name in done), done[-1])


def read(text: str) -> tuple[str, ...]:
    """The operations of a word of a case line. Raises ValueError, which gives the accepted names."""
    names = tuple(text.split(","))
    if unknown := [name for name in names if name not in OPERATIONS]:
        raise ValueError(f"no such operation, {unknown[0][:40]!r}; one of " + ", ".join(OPERATIONS))
    if len(names) > MOST_OPERATIONS:
        raise ValueError(f"at most {MOST_OPERATIONS} operations are done")
    return names


MOST_OPERATIONS = 20
"""The longest history that a case line may ask for."""


def wanted_gradients(life: Life, gradients: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The gradient that each parameter that is held and not frozen gets, from those of the weights it is behind.

    A parameter whose derivative is not elementwise is left out.
    """
    found: dict[str, np.ndarray] = {}
    for name, held in life.held.items():
        if held.factor is None or held.name in life.frozen or name not in gradients:
            continue
        own = gradients[name] * held.factor
        found[held.name] = own if held.name not in found else FORMATS[life.dtype].round(found[held.name] + own)
    return found
