"""The PyTorch and the machine at hand, as strings; and the settings that every run pins."""

from __future__ import annotations

import inspect
import os
import platform as python_platform
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from conformance.harness.execution import settings


def pin(threads: int = 1) -> tuple[str, ...]:
    """One thread, full precision and PyTorch's defaults; on CUDA also deterministic kernels.

    Returns what was set otherwise before, in words.
    """
    torch.set_num_threads(threads)
    found = settings.put_right()
    if torch.cuda.is_available():
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
    return found


@cache
def capability() -> str:
    """The instruction set of PyTorch's CPU kernels: DEFAULT, AVX2, AVX512, ..."""
    ask = getattr(getattr(torch.backends, "cpu", None), "get_cpu_capability", None)
    if ask is not None:
        return str(ask())
    found = re.search(r"CPU capability usage: (\S+)", torch.__config__.show())
    return found.group(1) if found else "unknown"


def torch_version() -> str:
    """PyTorch's version as it says it: "2.13.0+cpu"; a build of one's own may say anything, or nothing."""
    return str(getattr(torch, "__version__", None))


def git_version() -> str:
    """The commit that PyTorch was built from, or ""."""
    return str(getattr(torch.version, "git_version", None) or "")


def release() -> str:
    """PyTorch's major.minor version."""
    return build().release


def at_least(major: int, minor: int) -> bool:
    """Whether this PyTorch is of that release or a newer one."""
    return build().at_least(major, minor)


def devices() -> tuple[str, ...]:
    """The devices that are present, the CPU first."""
    found = ["cpu"]
    if torch.cuda.is_available():
        found.append("cuda")
    if getattr(torch.backends, "mps", None) is not None and torch.backends.mps.is_available():
        found.append("mps")
    if getattr(torch, "xpu", None) is not None and torch.xpu.is_available():
        found.append("xpu")
    return tuple(found)


_RELEASE = re.compile(r"[0-9]+\.[0-9]+")
"""How a version begins."""


@dataclass(frozen=True)
class Build:
    """What judgements depend on of a PyTorch and the machine that it is on, as data.

    version        PyTorch's: "2.13.0+cpu"
    capability     the instruction set of its CPU kernels
    devices        those that are present
    pads_on_sides  whether its pad_sequence has padding_side
    """

    version: str
    capability: str
    devices: tuple[str, ...]
    pads_on_sides: bool

    @property
    def release(self) -> str:
        """Its major.minor version."""
        begins = _RELEASE.match(self.version)
        return begins.group() if begins else self.version

    def at_least(self, major: int, minor: int) -> bool:
        """Whether it is of that release or a newer one."""
        return not self.has_version or tuple(map(int, self.release.split("."))) >= (major, minor)

    @property
    def has_version(self) -> bool:
        """Whether its version is one; that of a build of one's own may be none, which then is newer than all."""
        return _RELEASE.match(self.version) is not None


@cache
def build() -> Build:
    """The PyTorch of this process."""
    sides = "padding_side" in inspect.signature(torch.nn.utils.rnn.pad_sequence).parameters
    return Build(torch_version(), capability(), devices(), sides)


@cache
def cpu_flags() -> frozenset[str]:
    """What the processor says it can do, where the system tells (Linux on x86); empty elsewhere.

    AMX is left out where oneDNN, which alone uses it, is told to do without.
    """
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    found = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    flags = found.group(1).split() if found else []
    most = os.environ.get("ONEDNN_MAX_CPU_ISA", "ALL").upper()
    has_amx = "AMX" in most or most in ("ALL", "DEFAULT")
    return frozenset(flag for flag in flags if has_amx or not flag.startswith("amx"))


@cache
def processor() -> str:
    """The processor's name as the system tells it, or ""."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    found = re.search(r"^model name\s*:(.*)$", text, re.MULTILINE)
    return found.group(1).strip() if found else python_platform.processor()


def libraries() -> dict[str, str]:
    """The versions of oneDNN, cuDNN and CUDA in PyTorch; "" for one that it does not have."""
    found = re.search(r"(?:MKL-DNN|oneDNN) v(\S+)", torch.__config__.show())
    cudnn = None
    with suppress(Exception):  # whatever a driver that does not fit leads to
        cudnn = torch.backends.cudnn.version()
    return {
        "onednn": found.group(1) if found else "",
        "cudnn": str(cudnn or ""),
        "cuda": str(getattr(torch.version, "cuda", None) or ""),
    }


def describe() -> str:
    """The PyTorch and the machine in a line."""
    git = git_version()[:8]
    machine = f"CPU {capability()}, {python_platform.machine()}, 1 thread, devices {' '.join(devices())}"
    return f"torch {torch_version()} ({git}), {machine}"
