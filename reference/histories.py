"""Life cycles: what is done to a module before it is called, and the plain weights that it has then.

    do=half,tie,float    do=parametrize,deepcopy,remove_parametrization

The model has arrays alone, and moves them as the documentation of each operation says: it is never a copy of a module.
An operation that does not apply leaves it as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from functools import cache
from itertools import combinations, product

import numpy as np

from reference.formats import FORMATS
from reference.life import DIRECTION, FACTOR, MULTIPLE, ORTHOGONAL, Held, Life
from reference.problem import Problem

CONVERSIONS: Mapping[str, str] = {"half": "float16", "bfloat16": "bfloat16", "float": "float32", "double": "float64"}
"""The operations that convert, and the dtype that each leads to."""

STEP = 2.0**-3
"""By how much Rprop moves a weight at first."""

EXPORT = "export"
"""Takes a thousand times as long as another operation."""

PARAMETRIZED = "parametrizations.{}.original"
PRUNED = ("{}_orig", "{}_mask")
DROPPED = "{}_raw"
NORMALISED = ("{}_g", "{}_v")
IN_PARTS = (PARAMETRIZED + "0", PARAMETRIZED + "1")
SPECTRAL = (PARAMETRIZED, "parametrizations.{}.0._u", "parametrizations.{}.0._v")
OLD_SPECTRAL = ("{}_orig", "{}_u", "{}_v")
OF_BASE = (PARAMETRIZED, "parametrizations.{}.0.base")
FORMS = (*IN_PARTS, *PRUNED, DROPPED, *NORMALISED, *SPECTRAL, *OLD_SPECTRAL, *OF_BASE)
"""The names of what stands in a state_dict in place of a weight."""


Operation = Callable[[Life], Life | None]
"""Moves the weights; None where the operation does not apply."""


def nothing(life: Life) -> Life:
    """The weights stay."""
    return life


def plain(operation: Operation) -> Operation:
    """An operation that applies where every weight is a parameter."""
    return lambda life: operation(life) if life.is_plain else None


def whole_object(operation: Operation) -> Operation:
    """An operation on a module as an object; one that is parametrized is pickled and copied by its state_dict alone."""
    return lambda life: None if BY_PARAMETRIZATION & set(life.made.values()) else operation(life)


def of_leaves(operation: Operation) -> Operation:
    """An operation on tensors that are leaves of a graph, as a weight that is dropped is not."""
    return lambda life: None if "weight_drop" in life.made.values() else operation(life)


def doubled(life: Life) -> Life:
    """Every weight is multiplied."""
    return life.twice(*life.weights)


def stepped(life: Life) -> Life | None:
    """Every number is one step nearer to 0, or past it."""
    if not life.is_plain or life.loose:
        return None
    store = FORMATS[life.dtype].round
    return life.valued({name: store(values - STEP * np.sign(values)) for name, values in life.weights.items()})


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
        weights = life.weights
        if FORMATS[dtype].precision < FORMATS["float32"].precision:
            # PyTorch makes 16 bits of float64 by way of float32, which rounds twice
            weights = {name: FORMATS["float32"].round(values) for name, values in weights.items()}
        rounded = {name: _rounded(values, life.held[name].factor, dtype) for name, values in weights.items()}
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


def one_frozen(place: int) -> Operation:
    """The parameter behind one weight wants none."""
    return lambda life: replace(life, frozen=life.frozen | {life.held[tuple(life.weights)[place]].name})


def tied(life: Life) -> Life | None:
    """The last weight that has the shape of an earlier one is that tensor too."""
    if not life.is_plain or life.loose:
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
        loose = dict(life.loose) | {name: DIRECTION}
        made = replace(made, loose=loose, frozen=life.frozen - {name} | still, further=own)
        return made.holding(name, Held(parts[-1].format(name), None), word)

    return plain(done)


BY_PARAMETRIZATION = frozenset(("parametrize", "weight_norm", "spectral_norm", "orthogonal"))
"""How a weight is made that torch.nn.utils.parametrize makes."""


def constrained(word: str, forms: tuple[str, ...], law: str, training: bool | None = None) -> Operation:
    """The first weight is made of a parameter that had its values, and of buffers; a law alone is known of it.

    training: the mode from then on, where the weight would be another at each call otherwise
    """

    def done(life: Life) -> Life | None:
        if life.loose:
            return None
        name, (original, *buffers) = life.first, (form.format(life.first) for form in forms)
        made = life.moved(name, original, *buffers).holding(name, Held(original, None), word)
        mode = life.training if training is None else training
        return _renamed(replace(made, loose=dict(life.loose) | {name: law}, training=mode), name, original)

    return plain(done)


def in_wide_types(operation: Operation) -> Operation:
    """An operation that is not of 16 bits."""
    return lambda life: operation(life) if FORMATS[life.dtype].unit_roundoff < 2.0**-20 else None


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
    "file": whole_object(nothing),
    "pickle": whole_object(nothing),
    "deepcopy": of_leaves(nothing),
    "copy": whole_object(doubled),
    # other weights in the same parameters
    "step": doubled,
    "momentum_step": doubled,
    "rprop_step": stepped,
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
    "freeze_first": one_frozen(0),
    "freeze_second": plain(one_frozen(1)),
    "freeze_last": plain(one_frozen(-1)),
    "unfreeze": whole,
    # dtypes and places
    **{name: into(dtype) for name, dtype in CONVERSIONS.items()},
    "failed_to": nothing,
    "share_memory": nothing,
    "flatten_parameters": nothing,
    # weights that are made of others
    "parametrize": plain(parametrized),
    "remove_parametrization": removed("parametrize", "weight_norm", "spectral_norm", "orthogonal"),
    "weight_norm": normalised("weight_norm", *IN_PARTS, stays_frozen=True),
    "old_weight_norm": normalised("old_weight_norm", *NORMALISED, stays_frozen=False),
    "remove_weight_norm": removed("old_weight_norm"),
    "spectral_norm": constrained("spectral_norm", SPECTRAL, MULTIPLE, training=False),
    "old_spectral_norm": constrained("old_spectral_norm", OLD_SPECTRAL, MULTIPLE, training=False),
    "remove_spectral_norm": removed("old_spectral_norm"),
    "orthogonal": in_wide_types(constrained("orthogonal", OF_BASE, ORTHOGONAL)),
    "prune": plain(pruned),
    "remove_pruning": removed("prune"),
    "weight_drop": plain(weights_dropped),
}
"""What may be done to a module, by its word in a case line, and how its weights move."""

KEEPING = (
    *("forward", "backward", "refused_call", "hooks", "deepcopy", "file", "pickle", "eval", "failed_to"),
    *("share_memory", "flatten_parameters", "remove_parametrization", "remove_spectral_norm"),
)
"""Operations that keep a weight of which a law alone is known."""


def moved(life: Life, name: str) -> Life | None:
    """The life after an operation, by its name; None where that does not apply."""
    return None if life.is_known_by_law and name not in KEEPING else OPERATIONS[name](life)


BEFORE: Mapping[str, str] = {
    "untie": "tie",
    "unfreeze": "freeze",
    "train": "eval",
    "float": "bfloat16",
    "remove_parametrization": "parametrize",
    "remove_weight_norm": "old_weight_norm",
    "remove_spectral_norm": "old_spectral_norm",
    "remove_pruning": "prune",
}
"""What an operation takes back."""


COPIES = ("file", "pickle", "deepcopy", "copy")
KEPT: tuple[tuple[str, ...], ...] = ((), ("freeze",), ("eval",), ("freeze_first",))
"""Operations that copy a module, and what may be done to it before, which copies keep."""


def beginnings(name: str) -> tuple[tuple[str, ...], ...]:
    """The histories that a life begins with in which an operation is looked at."""
    return tuple((*kept, *beginning(name)) for kept in (KEPT if name in COPIES else KEPT[:1]))


def beginning(name: str) -> tuple[str, ...]:
    """The shortest history in which an operation does something."""
    return (BEFORE[name], name) if name in BEFORE else (name,)


@cache
def pairs() -> frozenset[tuple[str, str]]:
    """The ordered pairs of operations that can be done in one history, the second at any time after the first.

    An export comes first alone: a history ends long before it otherwise.
    """
    begun = {name: _done(_new_life(), beginning(name)) for name in OPERATIONS}
    later = (name for name in OPERATIONS if name != EXPORT)
    return frozenset((first, second) for second in later for first in OPERATIONS if _fitting(begun[first], second))


@cache
def covering() -> tuple[tuple[str, ...], ...]:
    """Histories that have every pair of `pairs`, each as many new ones as it can."""
    left, found = set(pairs()), list[tuple[str, ...]]()
    while left:
        history = beginning(min(left)[0])
        while best := _best(history, left):
            history += best
            left -= set(combinations(history, 2))
        found.append(history)
    return tuple(found)


def of_pair(first: str, second: str) -> tuple[str, ...]:
    """The shortest history that has a pair of `pairs`."""
    begun = beginning(first)
    return begun + _fitting(_done(_new_life(), begun), second)


def _best(history: tuple[str, ...], left: Set[tuple[str, str]]) -> tuple[str, ...]:
    """The operation that makes most new pairs, after what it takes back where it needs that; () if none makes any."""
    life, room = _done(_new_life(), history), MOST_OPERATIONS - len(history)
    fitting = [_fitting(life, name) for name in OPERATIONS if name != EXPORT]
    found = {later: len(left & set(product(history, later[-1:]))) for later in fitting if len(later) <= room}
    best = max(found, key=lambda later: found[later], default=())
    return best if found.get(best) else ()


def _fitting(life: Life, name: str) -> tuple[str, ...]:
    """An operation that applies, or what it takes back and then itself; () if neither does."""
    ways = ((name,), beginning(name))
    return next((way for way in ways if moved(_done(life, way[:-1]), name) is not None), ())


def _new_life() -> Life:
    return Life.of({name: np.ones((1, 1)) for name in ("weight", "bias")}, "float32", training=True)


def _done(life: Life, names: Sequence[str]) -> Life:
    for name in names:
        life = moved(life, name) or life
    return life


def lives(problem: Problem, history: tuple[str, ...]) -> tuple[Life | None, ...]:
    """The life of a problem's module after each operation; None where that does not apply, and changes nothing."""
    life, found = Life.of(problem.parameters, problem.dtype, problem.training), list[Life | None]()
    for name in history:
        after = moved(life, name)
        found.append(after)
        life = after or life
    return tuple(found)


SUSPECTS = ("register_after_to", "failed_to")
"""Operations after which whatever goes wrong is theirs; of several the first of these."""


def blamed(done: Sequence[str], fails: bool = False) -> str:
    """Of operations that were done, the one that a deviation is told of which shows after the last.

    fails: the last one raises. A parametrized module is no easier to copy after one of the `SUSPECTS` than without
    """
    if fails and done[-1] == "deepcopy" and BY_PARAMETRIZATION & set(done):
        return done[-1]
    return next((name for name in SUSPECTS if name in done), done[-1])


def read(text: str) -> tuple[str, ...]:
    """The operations of a word of a case line. Raises ValueError, which gives the accepted names."""
    names = tuple(text.split(","))
    if unknown := [name for name in names if name not in OPERATIONS]:
        raise ValueError(f"no such operation, {unknown[0][:40]!r}; one of " + ", ".join(OPERATIONS))
    if len(names) > MOST_OPERATIONS:
        raise ValueError(f"at most {MOST_OPERATIONS} operations are done; leave some out")
    return names


MOST_OPERATIONS = 20
"""The longest history that a case line may ask for."""
