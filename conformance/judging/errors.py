"""What cannot be judged."""


class JudgeError(ValueError):
    """A call that cannot be judged; one line that names the entry and the remedy."""


class CheckError(ValueError):
    """A check that cannot be made, or compared nothing; one line that names the remedy."""
