"""Judges what others saw: the results of a call that this suite neither drew nor made."""
