"""The templates of scripts and facts. Whatever one prints is escaped for its language, unless it is marked as code."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

import jinja2
from markupsafe import Markup

from conformance.harness.foreign_text import MOST, one_line

Code = Markup
"""Text in the language of a template, which is printed as it is."""

WIDTH = 110
"""The columns of a script's docstring."""


def code(**fields: Any) -> dict[str, Any]:
    """Fields that are lines of Python, or numbers, names and lists of these."""
    return {name: _marked(value) for name, value in fields.items()}


def _marked(value: Any) -> Any:
    if isinstance(value, str):
        return Code(value)
    if isinstance(value, Mapping):
        return {_marked(name): _marked(one) for name, one in value.items()}
    return [_marked(one) for one in value] if isinstance(value, list | tuple) else value


def quoted(text: str) -> str:
    """Foreign text as one line that ends neither a string between double quotes, nor a comment."""
    return one_line(text, MOST).replace("\\", "\\\\").replace('"', "'")


def docstring(text: str) -> Code:
    """Foreign text as lines of a docstring."""
    return Code("\n".join(textwrap.wrap(quoted(text), WIDTH, break_long_words=False, break_on_hyphens=False)))


def in_f_string(text: str) -> Code:
    """Foreign text as a part of an f-string between double quotes."""
    return Code(quoted(text).replace("{", "{{").replace("}", "}}"))


def plain(text: str) -> Code:
    """An expression for the text of this one as a line without control characters, cut: for what a call raises."""
    return Code(f"ascii({text})[1:-1][:200]")


RAISED = plain('f"{type(error).__name__}: {error}"')
"""The expression for what a caught `error` is."""


def markdown(text: str) -> str:
    """Foreign text as one line of Markdown without markup."""
    return re.sub(r"([\\`*_{}\[\]<>#|~&$!])", r"\\\1", one_line(text, 400))


def fenced(text: str) -> Code:
    """Foreign lines as a block of Markdown, whose fence is longer than any in them."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return Code(f"{fence}\n{text}\n{fence}")


def _environment(escaped: Callable[[str], str]) -> jinja2.Environment:
    """Templates of a language: what is not marked as code goes through `escaped`."""

    def finalize(value: Any) -> Any:
        return value if isinstance(value, Markup) else Code(escaped(str(value)))

    return jinja2.Environment(
        loader=jinja2.PackageLoader("conformance.harness.reports"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=True,  # of what `finalize` has escaped nothing is left to it
        finalize=finalize,
    )


PYTHON, MARKDOWN = _environment(quoted), _environment(markdown)
PYTHON.globals |= {"plain": plain, "RAISED": RAISED}
PYTHON.filters |= {"docstring": docstring, "in_f_string": in_f_string}
MARKDOWN.filters["fenced"] = fenced
