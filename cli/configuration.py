"""Reads the settings, and says of a wrong one where its value came from."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from core.errors import SettingError
from core.settings import Settings

_PLACES = "the environment, .env and ambit.toml (in that order)"


def read_settings(**options: Any) -> Settings:
    """The settings; an option that is None is not given.

    Raises:
        SettingError: a value is wrong, a name unknown, or a file cannot be read.
    """
    return _read({name: value for name, value in options.items() if value is not None})


def embedded_settings(data_dir: Path) -> Settings:
    """The settings of an installation of its own in that folder, whatever servers are configured.

    Raises:
        SettingError: as `read_settings`.
    """
    servers = ("database_url", "index_url", "broker_url", "url", "key")
    settings = _read({**dict.fromkeys(servers), "data_dir": data_dir, "tenant": "default"})
    if settings.encoder_cache is None and settings.encoder_backend == "auto":
        # Exporting the model to the fastest backend takes longer than encoding a few documents with the plain one.
        return settings.model_copy(update={"encoder_backend": "torch"})
    return settings


def _read(stated: dict[str, Any]) -> Settings:
    try:
        return Settings(**stated)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise _wrong(str(first["loc"][0]), first["type"], first["msg"], stated) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingError(f"{Path('ambit.toml').absolute()} is not TOML: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"the settings cannot be read: {type(error).__name__} in .env or ambit.toml") from None


def _wrong(name: str, kind: str, message: str, stated: dict[str, Any]) -> SettingError:
    plain = name.lower().removeprefix("ambit_")
    if kind == "extra_forbidden":
        return SettingError(
            f"there is no setting {plain!r}, named in {_origin(plain, stated)}; docs/settings.md lists all"
        )
    said = message.removeprefix("Value error, ")
    return SettingError(
        f"setting {plain!r} is wrong: {said}; its value comes from {_origin(plain, stated)}; looked for it in {_PLACES}"
    )


def _origin(name: str, stated: dict[str, Any]) -> str:
    variable = f"AMBIT_{name.upper()}"
    if name in stated:
        return f"the option --{name.replace('_', '-')}"
    if any(one.upper() == variable for one in os.environ):
        return f"the environment variable {variable}"
    if variable in _text(".env").upper():
        return f"{variable} in {Path('.env').absolute()}"
    return f"{name} in {Path('ambit.toml').absolute()}"


def _text(file: str) -> str:
    try:
        return Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
