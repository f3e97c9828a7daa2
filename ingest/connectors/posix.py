"""Access from a file system's own permissions: owner, group and other bits, and POSIX ACLs where a file has one.

A file may be read by whom it allows to read (`r`) and who may pass every folder above it (`x`), up to the source's
root. Whatever cannot be mapped or read gives nothing; a refusal that cannot be mapped closes the place.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from core.errors import InvalidError
from ingest.connectors.access_yaml import FolderAccess
from ingest.connectors.rules import Principal
from policies.model import CLOSED, AccessSpec, Entry, Mode, check_principal

READ, PASS = 4, 1
_ACL = "system.posix_acl_access"
_HEADER, _ENTRY = struct.Struct("<I"), struct.Struct("<HHI")
_VERSION = 2
_OWNER, _USER, _GROUP, _NAMED_GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_FIELDS = frozenset(("name", "id"))


def _template(value: str) -> str:
    names = {name for _, name, _, _ in Formatter().parse(value) if name is not None}
    if not names or not names <= _FIELDS:
        raise ValueError(f"{value!r} names no {{name}} and no {{id}}")
    if _principal_or_none(value.format(name="x", id=1)) is None:
        raise ValueError(f"{value!r} makes no principal; write user:{{name}} or group:{{name}}")
    return value


def _principal_or_none(text: str) -> str | None:
    try:
        return check_principal(text)
    except InvalidError:
        return None


Template = Annotated[str, AfterValidator(_template)]


class PosixMapping(BaseModel):
    """Whom the owners and groups of files are. What neither a map nor a template names is nobody."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    users: dict[int, Principal] = Field({}, description="Principals by user id (uid); they win over the template.")
    groups: dict[int, Principal] = Field({}, description="Principals by group id (gid); they win over the template.")
    user_template: Template | None = Field(
        None, description="For other uids, as in `user:{name}` or `user:{id}`; `{name}` needs an account here."
    )
    group_template: Template | None = Field(None, description="For other gids, as in `group:{name}`.")
    other: Principal | None = Field(
        None, description="Whom the bits of `other` mean, as in `everyone` or `group:staff`; absent: nobody."
    )


@dataclass(frozen=True, slots=True)
class _Grant:
    """One line of permissions: of which kind, for whom (None: `other`), and with which bits."""

    tag: int
    who: int | None
    bits: int


class Permissions:
    """Reads permissions and says them in principals."""

    def __init__(self, mapping: PosixMapping) -> None:
        self._mapping = mapping
        self._known: dict[tuple[int, int | None], str | None] = {}

    def read(
        self, folder: int, *, root: AccessSpec | None, files: Sequence[tuple[str, os.stat_result]]
    ) -> FolderAccess:
        """The access of an open folder and of files in it; never raises. What fails is closed.

        Args:
            root: what the registration states, for the source's root; None: it is a folder below.
        """
        try:
            spec = self._spec(os.fstat(folder), _acl(folder), PASS, "break" if root else "narrow")
        except OSError:
            return FolderAccess(CLOSED, complete=False, otherwise=CLOSED)
        if root is not None:
            refused = {entry for entry in root.entries if entry.effect == "deny"}
            spec = AccessSpec(spec.mode, spec.entries | refused, root.labels, spec.closed)
        exact, complete = {}, True
        for name, state in files:
            exact[name], read = self._file(folder, name, state)
            complete = complete and read
        return FolderAccess(spec, exact=exact, otherwise=CLOSED, complete=complete)

    def _file(self, folder: int, name: str, state: os.stat_result) -> tuple[AccessSpec, bool]:
        try:
            return self._spec(state, _acl(f"/proc/self/fd/{folder}/{name}"), READ, "narrow"), True
        except OSError:
            return CLOSED, False

    def _spec(self, state: os.stat_result, acl: bytes | None, bit: int, mode: Mode) -> AccessSpec:
        entries: set[Entry] = set()
        for effect, one in _decided(list(_grants(state, acl)), bit):
            principal = self._principal(one)
            if principal is not None:
                entries.add(Entry(principal, effect))  # type: ignore[arg-type]
            elif effect == "deny":
                return CLOSED
        return AccessSpec(mode, frozenset(entries))

    def _principal(self, one: _Grant) -> str | None:
        kind = _OWNER if one.tag in (_OWNER, _USER) else _GROUP if one.who is not None else _OTHER
        key = (kind, one.who)
        if key not in self._known:
            self._known[key] = self._mapped(kind, one.who)
        return self._known[key]

    def _mapped(self, kind: int, who: int | None) -> str | None:
        mapping = self._mapping
        if who is None:
            return mapping.other
        known, template = (
            (mapping.users, mapping.user_template) if kind == _OWNER else (mapping.groups, mapping.group_template)
        )
        return known.get(who) or (_filled(template, kind, who) if template else None)


def _filled(template: str, kind: int, who: int) -> str | None:
    """The template with the account's name and id; None where it asks for a name that no account has."""
    import grp
    import pwd

    name = ""
    if "{name" in template:
        try:
            name = pwd.getpwuid(who).pw_name if kind == _OWNER else grp.getgrgid(who).gr_name
        except KeyError:
            return None
    return _principal_or_none(template.format(name=name, id=who))


def _acl(place: int | str) -> bytes | None:
    """The ACL of an open folder, or of what stands at a path, of a link itself; None: it has none.

    Raises:
        OSError: it cannot be read.
    """
    if not hasattr(os, "getxattr"):
        return None
    try:
        return os.getxattr(place, _ACL) if isinstance(place, int) else os.getxattr(place, _ACL, follow_symlinks=False)
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP):
            return None
        raise


def _grants(state: os.stat_result, acl: bytes | None) -> Iterator[_Grant]:
    """The lines of permissions, those of an ACL within its mask.

    Raises:
        OSError: the ACL is of a form that is not known.
    """
    if acl is None:
        mode = stat.S_IMODE(state.st_mode)
        yield _Grant(_OWNER, state.st_uid, mode >> 6 & 7)
        yield _Grant(_GROUP, state.st_gid, mode >> 3 & 7)
        yield _Grant(_OTHER, None, mode & 7)
        return
    lines = _lines(acl)
    mask = next((bits for tag, bits, _ in lines if tag == _MASK), 7)
    owners: Mapping[int, Any] = {_OWNER: state.st_uid, _GROUP: state.st_gid, _OTHER: None}
    for tag, bits, who in lines:
        if tag != _MASK:
            held = bits if tag in (_OWNER, _OTHER) else bits & mask
            yield _Grant(tag, owners.get(tag, who), held)


def _lines(acl: bytes) -> list[tuple[int, int, int]]:
    if len(acl) < _HEADER.size or _HEADER.unpack_from(acl)[0] != _VERSION or (len(acl) - _HEADER.size) % _ENTRY.size:
        raise OSError(errno.EINVAL, "an ACL of a form that is not known")
    lines = [_ENTRY.unpack_from(acl, at) for at in range(_HEADER.size, len(acl), _ENTRY.size)]
    if any(tag not in (_OWNER, _USER, _GROUP, _NAMED_GROUP, _MASK, _OTHER) for tag, _, _ in lines):
        raise OSError(errno.EINVAL, "an ACL of a form that is not known")
    return lines


def _decided(grants: Sequence[_Grant], bit: int) -> Iterable[tuple[str, _Grant]]:
    """Allows, and a denial where a line refuses what a broader one would give.

    The system asks the owner's line alone for the owner, then the line of a named user, then those of groups, then
    `other`. Denials win here whatever the order, so that nobody is let through whom the system refuses; somebody whom
    it lets through by the narrower line of two may be refused.
    """
    order = {_OWNER: 0, _USER: 1, _GROUP: 2, _NAMED_GROUP: 2, _OTHER: 3}
    broadest = max((order[one.tag] for one in grants if one.bits & bit), default=-1)
    for one in grants:
        if one.bits & bit:
            yield "allow", one
        elif order[one.tag] < broadest:
            yield "deny", one
