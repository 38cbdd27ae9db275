"""What cannot be judged."""


class JudgeError(ValueError):
    """A call that cannot be judged; one line that names the entry and the remedy."""
