"""Test cases: how they are drawn, their one-line form, and their numbers. Imports Hypothesis and NumPy, never torch."""

from strategies.axes import Axes
from strategies.case import Case, CaseError, Cases, cases, parse

__all__ = ["Axes", "Case", "CaseError", "Cases", "cases", "parse"]
