"""The results of a run as a file: its form, and how it is written and read."""
