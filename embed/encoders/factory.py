"""The encoder that the settings name."""

from __future__ import annotations

from importlib.util import find_spec

from core.errors import SettingError
from core.settings import Settings
from embed.encoders.base import Encoder
from embed.encoders.device import choose_device
from embed.encoders.fallback import FallbackEncoder
from embed.encoders.files import ModelFiles, find_model
from embed.encoders.llama import LlamaIndexEncoder
from embed.encoders.openai import OpenAiEncoder
from embed.encoders.openvino import OpenVinoEncoder
from embed.encoders.spec import EncoderSpec
from embed.encoders.torch import TorchEncoder


def make_encoder(settings: Settings, model: str | None = None) -> Encoder:
    """The encoder in force, or that of `model`, named as the setting names one; weights load at `warm_up`.

    Raises:
        SettingError: the model is not on this machine, the backend that is set cannot run it, or no address is set.
    """
    spec = EncoderSpec.parse(model or settings.encoder)
    if spec.kind == "llamaindex":
        return LlamaIndexEncoder(spec)
    if spec.kind == "openai":
        return _endpoint(settings, spec)
    return _local(settings, find_model(spec.model, spec.options))


def _endpoint(settings: Settings, spec: EncoderSpec) -> Encoder:
    key = settings.encoder_api_key
    return OpenAiEncoder(
        spec,
        url=settings.encoder_url,
        key=None if key is None else key.get_secret_value(),
        allow=settings.outbound_allowed,
        timeout_s=settings.encoder_timeout_s,
    )


def _local(settings: Settings, files: ModelFiles) -> Encoder:
    backend, device = settings.encoder_backend, choose_device(settings.encoder_device)
    if backend == "openvino" and settings.encoder_device == "cuda":
        raise SettingError("encoder_backend is openvino, which runs on the CPU, and encoder_device is cuda")
    torch = TorchEncoder(files, threads=settings.encoder_threads, device="cpu" if backend == "openvino" else device)
    if backend == "torch" or (backend == "auto" and device == "cuda"):
        return _or_cpu(settings, files, torch)
    obstacle = _obstacle(files)
    if obstacle and backend == "openvino":
        raise SettingError(f"encoder_backend is openvino, and {obstacle}; set it to auto or torch")
    if obstacle:
        return torch
    cache = settings.encoder_cache or settings.data_dir / "encoders"
    fast = OpenVinoEncoder(files, cache.expanduser().absolute(), threads=settings.encoder_threads)
    return fast if backend == "openvino" else FallbackEncoder(fast, torch)


def _or_cpu(settings: Settings, files: ModelFiles, torch: TorchEncoder) -> Encoder:
    """On a GPU that nobody insisted on, with the CPU where it cannot be used after all."""
    if settings.encoder_device != "auto" or torch.device == "cpu":
        return torch
    return FallbackEncoder(torch, TorchEncoder(files, threads=settings.encoder_threads))


def _obstacle(files: ModelFiles) -> str | None:
    """Why OpenVINO cannot run the model, as far as can be told without loading either."""
    if find_spec("openvino") is None:
        return "the package openvino is not installed"
    if files.pooling is None:
        return f"encoder {files.name!r} is more than a transformer with mean or first-token pooling"
    return None
