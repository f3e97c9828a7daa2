"""Whether the encoder runs on the CPU or on a GPU, found out without loading PyTorch."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from core.errors import SettingError

Device = Literal["cpu", "cuda"]
_DRIVER = Path("/dev/nvidiactl")
_CUDA = re.compile(r"^cuda\b[^=\n]*=\s*['\"]", re.MULTILINE)


def choose_device(stated: Literal["auto", "cpu", "cuda"], *, usable: Callable[[], bool] | None = None) -> Device:
    """The device in force; `auto`: a GPU where there is one that the installed PyTorch can use.

    Args:
        usable: whether there is such a GPU; absent: looked for.
    """
    if stated != "auto":
        return stated
    return "cuda" if (usable or gpu_usable)() else "cpu"


def gpu_usable() -> bool:
    """Whether NVIDIA's driver is loaded and the installed PyTorch was built for it."""
    return _DRIVER.exists() and built_for_cuda()


def built_for_cuda() -> bool:
    """What the installed PyTorch's `version.py` says, read without importing it, which takes seconds."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return False
    told = Path(spec.origin).with_name("version.py")
    return told.is_file() and _CUDA.search(told.read_text("utf-8")) is not None


def check_device(device: Device) -> None:
    """Whether PyTorch, which this loads, can use the device.

    Raises:
        SettingError: it cannot.
    """
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise SettingError("encoder_device is cuda, and PyTorch finds no GPU that it can use; set it to auto or cpu")
