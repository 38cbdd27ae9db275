"""What a cell of the matrix says, with a sign and colours of its own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class State:
    """A state of a clause in a run.

    sign   tells it from the others without colours
    light  background and text where the page is light
    dark   the same where it is dark
    hatch  whether the background is hatched: the clause is not judged in full
    """

    name: str
    sign: str
    meaning: str
    light: tuple[str, str]
    dark: tuple[str, str]
    hatch: bool = False


STATES = {
    state.name: state
    for state in (
        State("red", "R", "a deviation that is not known", ("#c2331c", "#ffffff"), ("#c2331c", "#ffffff")),
        State("error", "E", "an error of the suite", ("#4a1c40", "#ffffff"), ("#e7b8dc", "#33102b")),
        State("amber", "A", "exceeds a sharper limit", ("#f5a623", "#2e1d00"), ("#f5a623", "#2e1d00")),
        State("remark", "i", "a remark that is not known", ("#f7edb5", "#4a3d00"), ("#6b5d12", "#fff6cc")),
        State("known", "K", "a known deviation", ("#c9d4fa", "#1b2c7a"), ("#3a4aa0", "#eef1ff")),
        State("pass", "✓", "as documented", ("#b9e3cd", "#0b3b29"), ("#14573d", "#dcf7ea")),
        State("part", "½", "as documented, so far as it ran", ("#e3f0e9", "#0b3b29"), ("#20332b", "#dcf7ea"), True),
        State("nothing", "0", "could not have failed", ("#e6e6e6", "#4a4a4a"), ("#3a3d42", "#d0d3d8")),
        State("not run", "-", "not asked or not reached", ("#ffffff", "#5f6368"), ("#16181c", "#a0a4ab")),
    )
}
"""The states, the worst first. Those up to `nothing` but `part` are outcomes of results files."""


def css_name(state: str) -> str:
    """The class of a state in a style sheet."""
    return state.replace(" ", "-")
