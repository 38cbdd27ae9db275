"""Test cases: how they are drawn, their one-line form, and their numbers. Imports Hypothesis and NumPy, never torch."""

from strategies.axes import Axes
from strategies.case import Case
from strategies.case_line import CaseError, parse
from strategies.families import Cases, cases

__all__ = ["Axes", "Case", "CaseError", "Cases", "cases", "parse"]
