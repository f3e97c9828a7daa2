"""Secrets: values under the installation's Fernet keys, API keys as keyed digests, MACs for the audit."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import SettingError
from core.tables import StoredSecret

KEY_PREFIX = "ambit"


class Keyring:
    """The installation's keys, in `<data_dir>/keys`: one Fernet key a line, the first one seals.

    The file is made with mode 0600 at first use. Losing it loses every sealed secret and every API key.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _keys(self) -> list[bytes]:
        if not self.path.exists():
            self._create()
        lines = self.path.read_bytes().split()
        if not lines:
            raise SettingError(f"{self.path} holds no key; restore it from a backup")
        return lines

    def _create(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(f".{os.getpid()}.{secrets.token_hex(4)}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as out:
            out.write(Fernet.generate_key() + b"\n")
            out.flush()
            os.fsync(out.fileno())
        try:
            os.link(draft, self.path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()

    def derive(self, purpose: str) -> bytes:
        """A key of its own for each purpose, from the oldest key, so that adding keys changes none."""
        return hmac.new(self._keys[-1], purpose.encode(), hashlib.sha256).digest()

    def seal(self, value: str) -> str:
        """`value` encrypted and authenticated."""
        return self._fernet.encrypt(value.encode()).decode()

    def open(self, sealed: str) -> str:
        """What `seal` was given.

        Raises:
            SettingError: none of the keys opens it.
        """
        try:
            return self._fernet.decrypt(sealed.encode()).decode()
        except InvalidToken:
            raise SettingError(f"no key in {self.path} opens a stored secret; restore the key file") from None

    @cached_property
    def _fernet(self) -> MultiFernet:
        return MultiFernet([Fernet(key) for key in self._keys])


def new_api_key() -> tuple[str, str]:
    """A fresh API key and the prefix that finds it: `ambit_<prefix>_<secret>`, 256 random bits."""
    prefix = secrets.token_hex(6)
    return f"{KEY_PREFIX}_{prefix}_{secrets.token_urlsafe(32)}", prefix


def prefix_of(key: str) -> str | None:
    """The prefix of something shaped like an API key; None for anything else."""
    parts = key.split("_", 2)
    return parts[1] if len(parts) == 3 and parts[0] == KEY_PREFIX else None


def key_digest(pepper: bytes, key: str) -> bytes:
    """HMAC-SHA256 of a random key; a slow hash would add nothing to 256 random bits."""
    return hmac.new(pepper, key.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()


def resolve_secret(session: Session, keyring: Keyring, tenant: int, name: str) -> str:
    """The value of `{secret: NAME}`: `AMBIT_SECRET_<NAME>` in the environment, else the tenant's stored one.

    Raises:
        SettingError: it is in neither place.
    """
    variable = f"AMBIT_SECRET_{name}"
    if variable in os.environ:
        return os.environ[variable]
    sealed = session.scalars(
        select(StoredSecret.sealed).where(StoredSecret.tenant_id == tenant, StoredSecret.key == name)
    ).one_or_none()
    if sealed is None:
        raise SettingError(f"secret {name!r} is neither in {variable} nor stored; set one of them")
    return keyring.open(sealed)


def secret_names(value: Any) -> set[str]:
    """Names of the secrets that a configuration refers to as `{secret: NAME}`, at any depth."""
    if isinstance(value, Mapping):
        if set(value) == {"secret"} and isinstance(value["secret"], str):
            return {value["secret"]}
        return set().union(*(secret_names(one) for one in value.values())) if value else set()
    if isinstance(value, list):
        return set().union(*(secret_names(one) for one in value)) if value else set()
    return set()
