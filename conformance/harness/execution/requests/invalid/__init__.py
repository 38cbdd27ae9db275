"""Requests that make an invalid call between two valid ones: of a module, of its constructor, of a utility."""
