"""Open connectors: one instance a source registration, closed when that changes."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from core.db import Database
from core.errors import InvalidError
from core.secrets import Keyring, resolve_secret, secret_names
from core.settings import Settings
from core.tables import Source
from ingest.connectors.own import own_paths
from ingest.connectors.registry import make
from ingest.model import Connector, ConnectorContext
from policies.model import AccessSpec, parse_access


def root_access(body: dict[str, object]) -> AccessSpec:
    """The registration's access: the root's entries where the source gives none; absent: nobody reads."""
    spec = parse_access(body or {})
    return AccessSpec(mode="break", entries=spec.entries, labels=spec.labels)


class OpenConnectors:
    """Makes connectors from registrations and keeps them while they are used. Thread-safe."""

    def __init__(self, db: Database, settings: Settings, keyring: Keyring) -> None:
        self._db, self._settings, self._keyring = db, settings, keyring
        self._open: dict[int, tuple[str, Connector]] = {}
        self._lock = threading.Lock()

    def open(self, source: Source) -> Connector:
        """The connector of a registration as it stands.

        Raises:
            InvalidError: the configuration does not fit the connector.
            SettingError: a secret it names is missing.
        """
        stamp = json.dumps([source.connector, source.config, source.access, source.base], sort_keys=True)
        with self._lock:
            held = self._open.get(source.id)
            if held is not None and held[0] == stamp:
                return held[1]
            connector = self._make(source)
            self._open[source.id] = (stamp, connector)
        if held is not None:
            held[1].close()
        return connector

    def _make(self, source: Source) -> Connector:
        with self._db.read() as session:
            secrets = {
                name: resolve_secret(session, self._keyring, source.tenant_id, name)
                for name in secret_names(source.config)
            }
        context = ConnectorContext(
            base=Path(source.base),
            root_access=root_access(source.access),
            max_bytes=self._settings.max_file_mb * 1024 * 1024,
            secrets=secrets,
            outbound=self._settings.outbound_allowed,
            own=own_paths(self._settings),
        )
        try:
            return make(source.connector, source.config, context)
        except InvalidError as error:
            raise InvalidError(f"source {source.key!r}: {error.detail}") from error

    def close(self) -> None:
        """Closes every connector."""
        with self._lock:
            for _, connector in self._open.values():
                connector.close()
            self._open.clear()
