"""Adapters for classes whose parameters do not have the documented names."""
