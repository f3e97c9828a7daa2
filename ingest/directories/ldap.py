"""Reads an LDAP server: over TLS alone, page by page, whole or not at all."""

from __future__ import annotations

import ssl
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ldap3
from ldap3.core.exceptions import LDAPException
from ldap3.utils.dn import parse_dn

from core.addresses import AllowList, resolve
from core.errors import AmbitError
from ingest.directories.config import LdapConfig
from ingest.directories.snapshot import DirectoryError, DirectoryGroup, DirectoryUser, Snapshot

_SUCCESS = 0
_PAGED = "1.2.840.113556.1.4.319"


class _Tls(ldap3.Tls):
    """TLS whose certificate is checked, the host's name included, by OpenSSL: the library's own check is outdated."""

    def __init__(self, host: str, ca_file: Path | None) -> None:
        super().__init__(validate=ssl.CERT_REQUIRED)
        self._host, self._ca_file = host, ca_file

    def wrap_socket(self, connection: ldap3.Connection, do_handshake: bool = False) -> None:
        """Raises an open connection to TLS."""
        context = ssl.create_default_context(cafile=str(self._ca_file) if self._ca_file else None)
        connection.socket = context.wrap_socket(connection.socket, server_hostname=self._host)


class LdapReader:
    """One server.

    Args:
        allow: addresses that may be reached although they are not public, as in `core.outbound`.
    """

    def __init__(self, config: LdapConfig, allow: Iterable[str]) -> None:
        self._config, self._allow = config, AllowList(allow)

    def check(self) -> dict[str, int]:
        """How many users and groups there are.

        Raises:
            DirectoryError: as `read`.
        """
        found = self.read()
        return {"users": len(found.users), "groups": len(found.groups)}

    def read(self) -> Snapshot:
        """Everything.

        Raises:
            DirectoryError: the server cannot be reached, its certificate does not hold, it refuses, an answer is not
                whole, or an entry has no id.
        """
        config = self._config
        with self._connected() as connection:
            disabled = set()
            if config.disabled:
                disabled = {one["dn"].lower() for one in self._search(connection, config.base, config.disabled, [])}
            wanted = [config.id_attribute, config.email_attribute, *config.attributes.values()]
            people = self._search(connection, config.base, config.users, wanted)
            users = tuple(self._user(one, disabled) for one in people)
            named = [config.id_attribute, config.name_attribute, *config.member_attributes]
            base = config.groups_base or config.base
            groups = tuple(
                self._group(connection, one) for one in list(self._search(connection, base, config.groups, named))
            )
        return Snapshot(users, groups)

    @contextmanager
    def _connected(self) -> Iterator[ldap3.Connection]:
        connection = self._made()
        try:
            self._bind(connection)
            yield connection
        except LDAPException as error:
            raise DirectoryError(f"{self._config.host}: {_told(error)}") from None
        except OSError as error:
            raise DirectoryError(f"{self._config.host}: {type(error).__name__}") from None
        finally:
            _close(connection)

    def _made(self) -> ldap3.Connection:
        config = self._config
        try:
            addresses = self._allow.check(config.host, resolve(config.host, config.port))
        except AmbitError as error:
            raise DirectoryError(error.detail) from None
        server = ldap3.Server(
            addresses[0],
            port=config.port,
            use_ssl=config.scheme == "ldaps",
            tls=_Tls(config.host, config.ca_file),
            get_info=ldap3.NONE,
            connect_timeout=config.timeout_s,
        )
        return ldap3.Connection(
            server,
            user=config.bind_dn,
            password=config.bind_password.get_secret_value() if config.bind_password else None,
            authentication=ldap3.SIMPLE if config.bind_dn else ldap3.ANONYMOUS,
            receive_timeout=max(1, round(config.timeout_s)),
            read_only=True,
            auto_referrals=False,
            raise_exceptions=False,
            check_names=False,
        )

    def _bind(self, connection: ldap3.Connection) -> None:
        config = self._config
        connection.open()
        if config.scheme == "ldap" and config.start_tls and not connection.start_tls():
            raise DirectoryError(f"{config.host} does not begin TLS")
        if not connection.bind():
            raise DirectoryError(f"{config.host} refuses to bind: {connection.result['description']}")

    def _search(
        self, connection: ldap3.Connection, base: str, filter_: str, attributes: list[str]
    ) -> Iterator[dict[str, Any]]:
        """Every entry; a result that is cut short by whatever limit is an error, never a smaller directory."""
        cookie: Any = None
        count = 0
        while True:
            connection.search(
                base,
                filter_,
                attributes=list(dict.fromkeys(attributes)) or ["1.1"],
                paged_size=self._config.page_size,
                paged_cookie=cookie,
                paged_criticality=True,
            )
            result = connection.result
            if result["result"] != _SUCCESS:
                raise DirectoryError(f"{self._config.host}: search below {base!r} ended with {result['description']}")
            for one in connection.response or ():
                if one.get("type") == "searchResEntry":
                    count += 1
                    yield one
            if count > self._config.max_entries:
                raise DirectoryError(f"{self._config.host}: more than {self._config.max_entries} entries (max_entries)")
            cookie = result.get("controls", {}).get(_PAGED, {}).get("value", {}).get("cookie")
            if not cookie:
                return

    def _user(self, entry: dict[str, Any], disabled: set[str]) -> DirectoryUser:
        config = self._config
        emails = _texts(entry, config.email_attribute)
        attributes: dict[str, str | list[str]] = {}
        for name, source in config.attributes.items():
            values = _texts(entry, source)
            if values:
                attributes[name] = values[0] if len(values) == 1 else values
        return DirectoryUser(
            id=self._id(entry),
            dn=normal_dn(entry["dn"]),
            email=emails[0] if emails and "@" in emails[0] else None,
            active=entry["dn"].lower() not in disabled,
            attributes=attributes,
        )

    def _group(self, connection: ldap3.Connection, entry: dict[str, Any]) -> DirectoryGroup:
        names = _texts(entry, self._config.name_attribute)
        members: set[str] = set()
        for name in self._config.member_attributes:
            members.update(normal_dn(one) for one in self._members(connection, entry, name) if one)
        return DirectoryGroup(
            id=self._id(entry),
            dn=normal_dn(entry["dn"]),
            name=names[0] if names else "",
            members=frozenset(members),
        )

    def _members(self, connection: ldap3.Connection, entry: dict[str, Any], name: str) -> list[str]:
        """All members. Active Directory gives a large group in ranges (`member;range=0-1499`), the rest when asked."""
        ranged = [one for one in entry["raw_attributes"] if one.lower().startswith(f"{name.lower()};range=")]
        if not ranged:
            return _texts(entry, name)
        found = _texts(entry, ranged[0])
        last = ranged[0].rpartition("-")[2]
        while last != "*":
            connection.search(
                entry["dn"],
                "(objectClass=*)",
                search_scope=ldap3.BASE,
                attributes=[f"{name};range={int(last) + 1}-*"],
            )
            answers = [one for one in connection.response or () if one.get("type") == "searchResEntry"]
            keys = [key for key in (answers[0]["raw_attributes"] if answers else ()) if ";range=" in key.lower()]
            if connection.result["result"] != _SUCCESS or not keys:
                raise DirectoryError(f"{self._config.host}: a group's members were not given whole")
            found += _texts(answers[0], keys[0])
            last = keys[0].rpartition("-")[2]
        return found

    def _id(self, entry: dict[str, Any]) -> str:
        raw = _raw(entry, self._config.id_attribute)
        if not raw:
            raise DirectoryError(f"an entry has no {self._config.id_attribute}; set id_attribute, or who may read it")
        if self._config.id_attribute.lower() == "objectguid":
            return str(uuid.UUID(bytes_le=raw[0]))
        return raw[0].decode("utf-8", "backslashreplace")


def normal_dn(text: str) -> str:
    """A DN in the one form that is compared: small letters, no space around separators."""
    try:
        parts = parse_dn(text, escape=True, strip=True)
    except LDAPException:
        return text.strip().lower()
    return "".join(f"{name}={value}{end}" for name, value, end in parts).lower()


def _raw(entry: dict[str, Any], name: str) -> list[bytes]:
    for key, values in entry["raw_attributes"].items():
        if key.lower() == name.lower():
            return list(values)
    return []


def _texts(entry: dict[str, Any], name: str) -> list[str]:
    return [one.decode("utf-8", "replace") for one in _raw(entry, name)]


def _told(error: LDAPException) -> str:
    """The class and no text: an exception's text may hold what was sent."""
    return type(error).__name__


def _close(connection: ldap3.Connection) -> None:
    """Says goodbye where it can be said, and closes the socket in any case."""
    opened = connection.socket
    try:
        if not connection.closed:
            connection.unbind()
    except (LDAPException, OSError):
        pass
    finally:
        if opened is not None:
            opened.close()
