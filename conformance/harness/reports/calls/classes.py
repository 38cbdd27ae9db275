"""The classes that a script constructs: those of torch.nn, or those that the options of a finding name."""

from __future__ import annotations

import keyword
from collections.abc import Mapping
from dataclasses import dataclass, field

from conformance.harness.cells import class_of
from conformance.harness.execution.requests.packing import TORCH_PACKING
from conformance.harness.execution.subject import ASKED_FOR, SERVES, TORCH_NN, SubjectError, named
from conformance.harness.findings.recorder import Finding
from conformance.harness.findings.rendering import constructor
from conformance.harness.reports.calls.no_script import NoScript
from reference.problem import Architecture

ALIAS = "subject"
"""What a script calls the module of another subject; a second one is subject_2."""


@dataclass(frozen=True)
class Classes:
    """Where the classes are; those of PyTorch unless others are named.

    modules  by the name that the script has for each
    places   of each cell: the script's name of the module, and the class in it
    """

    modules: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, finding: Finding) -> Classes:
        """Those that a finding is about. Raises NoScript where a script cannot import them."""
        if finding.subject in (TORCH_NN, TORCH_PACKING):
            return cls()
        texts = [word for word in finding.options.split() if word != "--subject"]
        if not texts:
            raise NoScript(f"{finding.subject} exists in one process alone")
        aliases, places = dict[str, str](), dict[str, tuple[str, str]]()
        for text in texts:
            for cell, (module, name) in _named(text).items():
                alias = aliases.setdefault(module, f"{ALIAS}_{len(aliases) + 1}" if aliases else ALIAS)
                places[cell] = alias, name
        if finding.cell and not _has_constructor(texts, finding.cell):
            raise NoScript(f"{finding.subject} is a function or an instance, and has no constructor")
        return cls({alias: module for module, alias in aliases.items()}, places)

    @property
    def are_pytorchs(self) -> bool:
        """Whether torch is all that the script imports them from."""
        return not self.modules

    def constructed(self, architecture: Architecture, *options: str) -> str:
        """How a script makes a module of this architecture; options: further arguments."""
        return self.constructed_by_position(architecture, constructor(architecture).partition("(")[2][:-1], *options)

    def constructed_by_position(self, architecture: Architecture, *arguments: str) -> str:
        """How a script makes a module of this architecture with these arguments."""
        place = ".".join(self.places.get(architecture.name, ("torch.nn", class_of(architecture.name))))
        return f"{place}({', '.join(arguments)})"

    def described(self, architecture: Architecture) -> str:
        """The same in words: `LSTM(1, 1)`, `package.module.Name(1, 1)`."""
        if architecture.name not in self.places:
            return constructor(architecture)
        alias, name = self.places[architecture.name]
        return f"{self.modules[alias]}.{name}({constructor(architecture).partition('(')[2]}"


def _has_constructor(texts: list[str], cell: str) -> bool:
    """Whether what the options name for a cell makes modules; of what cannot be imported here nothing is known."""
    try:
        return named(texts).has_constructor(cell)
    except SubjectError:
        return True


def _named(text: str) -> dict[str, tuple[str, str]]:
    """Module and class of each cell that a text such as `pkg.module` or `lstm=pkg.module:Name` names."""
    asked, _, place = text.partition("=") if "=" in text else ("", "", text)
    module, _, name = place.partition(":")
    written = [module, *([name] if asked else [])]
    if asked not in ("", *ASKED_FOR) or not all(map(_can_be_written, written)):
        raise NoScript("no import statement can name the subject")
    if asked:
        return dict.fromkeys(ASKED_FOR[asked], (module, name))
    return {cell: (module, kind) for kind, cells in SERVES.items() for cell in cells}


def _can_be_written(name: str) -> bool:
    """Whether Python can import or read something under this dotted name."""
    return all(part.isidentifier() and not keyword.iskeyword(part) for part in name.split("."))
