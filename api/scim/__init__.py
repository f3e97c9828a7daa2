"""SCIM 2.0 (RFC 7643, 7644): an identity provider writes its users and groups here, and its alone.

The library of its models takes a seventh of a start and most installations never need it: what uses it loads at the
first SCIM request, as an attribute of this package.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from api.scim import groups, resources, stated, store, users

__all__ = ["groups", "resources", "stated", "store", "users"]


def __getattr__(name: str) -> ModuleType:
    """The module of that name, loaded now."""
    if name not in __all__:
        raise AttributeError(name)
    return import_module(f"{__name__}.{name}")
