"""The line of text that stands for a case, read; `Case.line` writes it.

    v1 lstm i3 h4 p2 l2 n2 t3 bi bf nobias float16 cpu fill=dyadic seed=7 pick=2
    v1 gru i3 h4 t3,1 float32 mem=sliced fill=uniform

After the version, words may come in any order; omitted fields have their defaults. If the cell's name is omitted, the
line fits every cell.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from reference import histories, invalid_calls
from reference.formats import FORMATS
from reference.problem import CELL_SUFFIX, LSTM
from strategies import axes, values
from strategies.case import CELLS, VERSION, Case, listed
from strategies.families import SINGLE_STEP
from strategies.weights import Weights, is_name

LARGEST_SIZE = 2**17
"""The largest size, and count of rows, steps or layers, that a case line may ask for."""

LARGEST_SEED = 2**32 - 1
MOST_NUMBERS = 2**26
"""The largest `Case.numbers` that a case line may ask for."""

SIZE_LETTERS = {
    "i": "input_size",
    "h": "hidden_size",
    "t": "steps",
    "l": "num_layers",
    "n": "batch_size",
    "p": "proj_size",
}


class CaseError(ValueError):
    """Raised for a line that is not a case. The message names the word and the accepted values."""


def parse(line: str) -> tuple[Case, str]:
    """The case that `line` stands for, and its cell ("" if the line names none).

    Raises CaseError, which names the word, its position and the accepted values.
    """
    words = line.split()
    if not words or words[0] != VERSION:
        raise CaseError(f"a case line begins with {VERSION!r}, this one with {_shown(words[0] if words else '')}")
    found: dict[str, object] = {}
    for place, word in enumerate(words[1:], 2):
        try:
            name, value = _read(word)
        except ValueError as error:
            raise CaseError(f"word {place} of the case line, {_shown(word)}: {error}") from None
        if name == "layout" and value not in found.get(name, ()):  # type: ignore[operator]
            found[name] = (*found.get(name, ()), value)  # type: ignore[misc]
        elif name in found:
            raise CaseError(f"word {place} of the case line, {_shown(word)}: {name} is given already; leave it out")
        else:
            found[name] = value
    cell = str(found.pop("cell", ""))
    return _completed(found, cell), cell


def _completed(found: dict[str, Any], cell: str) -> Case:
    """The case with the fields that a line sets. Raises CaseError if they contradict each other."""
    layout = found.pop("layout", ())
    if lengths := found.get("lengths"):
        if {"steps", "batch_size"} & found.keys():
            raise CaseError(f"t{listed(lengths)} sets rows and steps; leave out n and any other t")
        found |= {"steps": max(lengths), "batch_size": len(lengths)}
    case = replace(Case(), layout=tuple(word for word in axes.LAYOUT_WORDS if word in layout), **found)
    if "unb" in case.layout and (case.batch_size > 1 or case.lengths):
        raise CaseError("unb takes a single padded row: leave out n and lengths")
    if cell.endswith(CELL_SUFFIX) and replace(case, spoil="", history=()) not in SINGLE_STEP:
        raise CaseError(f"{cell} takes one padded step: t1, without l, bi, bf and lengths")
    if case.proj_size and cell not in ("", LSTM):
        raise CaseError(f"p{case.proj_size}: only lstm has a projection; leave p out")
    if case.proj_size >= case.hidden_size:
        raise CaseError(f"p{case.proj_size}: proj_size must be smaller than hidden_size, h{case.hidden_size}")
    if (numbers := case.numbers()) > MOST_NUMBERS:
        raise CaseError(f"the case has {numbers} numbers; use smaller sizes, up to {MOST_NUMBERS} are computed")
    return case


def _shown(word: str) -> str:
    return repr(word) if len(word) <= 60 else repr(word[:60]) + "..."


def _read(word: str) -> tuple[str, object]:
    """The field that a word sets, and its value. Raises ValueError, which gives the accepted values."""
    if word in CELLS:
        return "cell", word
    if word == "bi":
        return "bidirectional", True
    if word in axes.LAYOUT_WORDS:
        return "layout", word
    if word in FORMATS:
        return "dtype", word
    if re.fullmatch(r"(cpu|cuda|mps|xpu)(:[0-9]+)?", word):
        return "device", word
    if match := re.fullmatch(r"([a-z])([0-9]+)", word):
        return _size(*match.groups())
    if re.fullmatch(r"t([0-9]+,)+([0-9]+)?", word):
        return "lengths", tuple(_size("t", digits)[1] for digits in word[1:].rstrip(",").split(","))
    if match := re.fullmatch(r"(fill|seed|pick|mem|weights|bad|do)=(.*)", word):
        return _setting(*match.groups())
    known = [
        *CELLS,
        "sizes such as i3 h4 p2 l2 n2 t5",
        "lengths such as t3,1",
        "bi",
        *axes.LAYOUT_WORDS,
        *FORMATS,
        "cpu",
        "mem=",
        "fill=",
        "seed=",
        "pick=",
        "weights=",
        "bad=",
        "do=",
    ]
    raise ValueError("not a word of a case; one of " + ", ".join(known))


def _size(letter: str, digits: str) -> tuple[str, int]:
    if letter not in SIZE_LETTERS:
        raise ValueError("no such size; " + ", ".join(f"{k} is {v}" for k, v in SIZE_LETTERS.items()))
    if not 1 <= (size := _number(digits)) <= LARGEST_SIZE:
        raise ValueError(f"{SIZE_LETTERS[letter]} must be between 1 and {LARGEST_SIZE}")
    return SIZE_LETTERS[letter], size


def _number(digits: str) -> int:
    """`digits` as a number. Twelve digits exceed every limit here; more are cut, since int() refuses thousands."""
    return int(digits.lstrip("0")[:12] or "0")


def _setting(name: str, text: str) -> tuple[str, object]:
    if name == "fill":
        if text not in values.EVERY_FILL:
            raise ValueError("no such fill; one of " + ", ".join(values.EVERY_FILL))
        return name, text
    if name == "mem":
        if text not in axes.MEMORY:
            raise ValueError("no such memory; one of " + ", ".join(axes.MEMORY))
        return "memory", text
    if name == "bad":
        invalid_calls.read(text)
        return "spoil", text
    if name == "do":
        return "history", histories.read(text)
    if name == "weights":
        if not is_name(text):
            raise ValueError("name a module as --like does, such as weights=encoder.rnn")
        return name, Weights(text)
    if not re.fullmatch("[0-9]+", text) or _number(text) > LARGEST_SEED:
        raise ValueError(f"{name} must be a whole number up to {LARGEST_SEED}")
    return name, _number(text)
