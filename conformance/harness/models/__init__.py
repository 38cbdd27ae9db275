"""A user's models: their recurrent modules, found by name, and the configurations that these have."""
