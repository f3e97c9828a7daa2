"""The encoder that the settings name."""

from __future__ import annotations

from importlib.util import find_spec

from core.errors import SettingError
from core.settings import Settings
from embed.encoders.base import Encoder
from embed.encoders.fallback import FallbackEncoder
from embed.encoders.files import ModelFiles, find_model
from embed.encoders.openvino import OpenVinoEncoder
from embed.encoders.torch import TorchEncoder


def make_encoder(settings: Settings, model: str | None = None) -> Encoder:
    """The encoder in force, or that of `model`, a name or path; its weights load at `warm_up`.

    Raises:
        SettingError: the model is not on this machine, or the backend that is set cannot run it.
    """
    files = find_model(model or settings.encoder)
    backend = settings.encoder_backend
    torch = TorchEncoder(files, threads=settings.encoder_threads)
    obstacle = None if backend == "torch" else _obstacle(files)
    if backend == "torch" or (backend == "auto" and obstacle):
        return torch
    if obstacle:
        raise SettingError(f"encoder_backend is openvino, and {obstacle}; set it to auto or torch")
    cache = settings.encoder_cache or settings.data_dir / "encoders"
    fast = OpenVinoEncoder(files, cache.expanduser().absolute(), threads=settings.encoder_threads)
    return fast if backend == "openvino" else FallbackEncoder(fast, torch)


def _obstacle(files: ModelFiles) -> str | None:
    """Why OpenVINO cannot run the model, as far as can be told without loading either."""
    if find_spec("openvino") is None:
        return "the package openvino is not installed"
    if files.pooling is None:
        return f"encoder {files.name!r} is more than a transformer with mean or first-token pooling"
    return None
