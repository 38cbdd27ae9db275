"""The versions that a report names, as torch.utils.collect_env tells them."""

from __future__ import annotations

import re
import threading
from functools import cache
from typing import Any

import numpy as np

from conformance.harness.execution import machine
from conformance.harness.foreign_text import one_line

SECONDS = 30.0
"""So long torch.utils.collect_env may take: it calls compilers, pip and drivers."""

ESSENTIAL = {
    "torch_version": "PyTorch version",
    "is_debug_build": "Is debug build",
    "cuda_compiled_version": "CUDA used to build PyTorch",
    "hip_compiled_version": "ROCM used to build PyTorch",
    "os": "OS",
    "libc_version": "Libc version",
    "python_version": "Python version",
    "python_platform": "Python platform",
    "is_cuda_available": "Is CUDA available",
    "nvidia_gpu_models": "GPU models and configuration",
    "nvidia_driver_version": "Nvidia driver version",
}
"""Fields of collect_env that a report about results needs, and what it calls them."""


@cache
def versions() -> str:
    """The essential lines of collect_env where it works in time, and the suite's own description. No local paths."""
    found = list[Any]()
    teller = threading.Thread(target=lambda: found.append(_told()), daemon=True)
    teller.start()
    teller.join(SECONDS)
    lines = [*(found[0] if found else ()), f"NumPy: {np.__version__}", machine.describe()]
    return "\n".join(_without_folders(one_line(line)) for line in lines)


def _told() -> list[str]:
    """The essential lines of collect_env; none where it fails."""
    try:
        from torch.utils import collect_env  # it looks for compilers

        told = collect_env.get_env_info()  # type: ignore[no-untyped-call]
        values = {name: str(getattr(told, field, None)) for field, name in ESSENTIAL.items()}
        lines = [f"{name}: {value}" for name, value in values.items() if value not in ("None", "N/A")]
        return [*lines, *_processor(str(getattr(told, "cpu_info", "")))]
    except BaseException:  # whatever a command of the system leads to
        return []


def _processor(told: str) -> list[str]:
    """The line that names the processor."""
    found = re.search(r"^Model name:\s*(.+)$", told, re.MULTILINE)
    return [f"CPU: {found.group(1)}"] if found else []


def _without_folders(line: str) -> str:
    """A line in which paths are cut to their last part."""
    return re.sub(r"(?:file://)?(?<![\w.])/(?:[^\s/]+/)+", "", line)
