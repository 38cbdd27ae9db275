"""Why there is no script."""


class NoScript(ValueError):
    """No script shows a finding of this kind; the message says why."""
