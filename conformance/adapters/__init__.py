"""Subjects whose parameters have other names than the documented ones, fitted to them."""
