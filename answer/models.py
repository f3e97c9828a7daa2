"""The models a tenant declared, read from SQL at each request."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import select

from core.db import Database
from core.secrets import Keyring, resolve_secret
from core.settings import Settings
from core.tables import ConfigObject
from gateway.config import GatewayConfig, parse_model, parse_route
from gateway.service import Gateway

Similarity = Callable[[str, Sequence[str]], Sequence[float]]


def load_config(db: Database, tenant: int) -> GatewayConfig:
    """Every Model and Route of a tenant as it stands."""
    with db.read(tenant) as session:
        rows = session.scalars(
            select(ConfigObject).where(ConfigObject.tenant_id == tenant, ConfigObject.kind.in_(["Model", "Route"]))
        ).all()
        return GatewayConfig(
            models={row.key: parse_model(row.key, row.body) for row in rows if row.kind == "Model"},
            routes={row.key: parse_route(row.key, row.body) for row in rows if row.kind == "Route"},
        )


def make_gateway(
    settings: Settings, db: Database, keyring: Keyring, tenant: int, similarity: Similarity | None
) -> Gateway:
    """The gateway of one tenant; a changed declaration holds at the next request."""

    def secret(name: str) -> str:
        with db.read(tenant) as session:
            return resolve_secret(session, keyring, tenant, name)

    return Gateway(
        lambda: load_config(db, tenant), secrets=secret, similarity=similarity, timeout_s=settings.model_timeout_s
    )
