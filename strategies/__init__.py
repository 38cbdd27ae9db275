"""What is tried: cases, their one-line form, and the numbers they stand for. Hypothesis and NumPy, never torch."""

from strategies.axes import Axes
from strategies.case import Case, CaseError, Cases, cases, parse

__all__ = ["Axes", "Case", "CaseError", "Cases", "cases", "parse"]
