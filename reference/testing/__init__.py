"""Helpers for the tests of the reference, and a second reference in 50-digit arithmetic. Tests alone import this."""
