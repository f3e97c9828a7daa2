"""The encoder that the settings name."""

from __future__ import annotations

from core.settings import Settings
from embed.encoders.base import Encoder
from embed.encoders.files import find_model
from embed.encoders.torch import TorchEncoder


def make_encoder(settings: Settings) -> Encoder:
    """The encoder in force; its weights load at `warm_up`.

    Raises:
        SettingError: the model is not on this machine.
    """
    return TorchEncoder(find_model(settings.encoder), threads=settings.encoder_threads)
