"""What may be set around the lines of a script, by the names of `SURROUNDINGS`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from conformance.harness.execution.requests.surroundings import THREADS
from conformance.harness.reports.calls.call_text import inside


@dataclass(frozen=True)
class Setting:
    """Lines before and after others, and the context of a with statement."""

    before: str = ""
    context: str = ""
    after: str = ""

    def around(self, lines: list[str]) -> list[str]:
        """The lines with what is set around them."""
        return [line for line in (self.before, *inside(self.context, lines), self.after) if line]


_SETTINGS = {
    "": Setting(),
    "another_default_device": Setting(context='torch.device("meta")'),
    "another_default_dtype": Setting(
        "torch.set_default_dtype(torch.float64)", after="torch.set_default_dtype(torch.float32)"
    ),
    "deterministic_algorithms": Setting(
        "torch.use_deterministic_algorithms(True)", after="torch.use_deterministic_algorithms(False)"
    ),
    "anomaly_mode": Setting(context="torch.autograd.detect_anomaly(check_nan=False)"),
    "several_threads": Setting(f"torch.set_num_threads({THREADS})", after="torch.set_num_threads(1)"),
}


def setting(name: str, dtype: str) -> Setting:
    """The setting of this name around a call in this dtype, which is not its default dtype."""
    found = _SETTINGS[name]
    return replace(found, before=found.before.replace("float64", "float16")) if dtype == "float64" else found
