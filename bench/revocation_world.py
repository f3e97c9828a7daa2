"""A small installation in which one person may read a document for each way of losing it, and those ways.

Every way is a pair of changes of SQL: one after which the person must not see the document, and one that undoes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.declare.directories import put_directory
from api.runtime import Runtime
from core.db import now
from core.ids import chunk_hash, point_id, public_id
from core.settings import Settings
from core.tables import (
    AclNode,
    Chunk,
    ChunkPoint,
    Directory,
    Document,
    DocumentVersion,
    Policy,
    Source,
    Tenant,
    VersionChunk,
)
from embed.encoders.base import Tokenizer, Vectors
from embed.index.base import Payload, Point
from ingest.deletion import await_move, hold_documents, move, show_documents
from policies import directory, nodes
from policies.break_glass import end_glass, open_glass, standing_glass
from policies.epoch import bump, remember, source_state
from policies.labels import set_classifications
from policies.model import AccessSpec, Entry, access_spec
from policies.rules_store import put_rule, remove_rule

_MOMENT, _HOUR = timedelta(seconds=1), timedelta(hours=1)
_FED_BEFORE = timedelta(minutes=30)
_FEED: dict[str, Any] = {"config": {}, "schedule": None, "max_age": 24 * 3600}
PERSON, APP, TEXT = "ana", "chat", "the ledger of the northern warehouse"
Change = Callable[[Session, "World"], Any]


class FixedEncoder:
    """One vector for every text: what is found is what may be read, in the engine's order."""

    name, tag, dimension, max_tokens, passage_prompt = "fixed", "fixed/numpy", 8, 512, ""

    @property
    def tokenizer(self) -> Tokenizer:
        raise NotImplementedError

    def warm_up(self) -> None:
        return

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        return np.tile(self.encode_query(""), (len(texts), 1))

    def encode_query(self, text: str) -> Vectors:
        del text
        vector = np.zeros(self.dimension, np.float32)
        vector[0] = 1.0
        return vector


@dataclass
class World:
    """Where the document of one way stands."""

    tenant: int
    way: str
    node: int
    document: int
    source: int
    elsewhere: int
    """A node nobody may read."""


@dataclass(frozen=True)
class Way:
    """How a right is lost and given back, and what the place allows before. `given`: it must be given at first too."""

    lose: Change
    give: Change
    allow: tuple[str, ...] = (f"user:{PERSON}",)
    labels: Mapping[str, str] = field(default_factory=dict)
    given: bool = False


def runtime_of(url: str, folder: Path) -> Runtime:
    """The installation with the fixed encoder."""
    made = Runtime(Settings(_env_file=None, data_dir=folder, database_url=url, log_level="error", encoder="fixed"))
    made.stack.__dict__["_encoder"] = FixedEncoder()
    return made


def build(url: str, folder: Path) -> dict[str, World]:
    """Writes the installation, the index included, and closes it; the worlds by way."""
    runtime = runtime_of(url, folder)
    tenant = runtime.prepare()
    with runtime.db.write() as session:
        _people(session, tenant)
        worlds = {way: _place(session, tenant, way) for way in WAYS}
        for way, world in worlds.items():
            if WAYS[way].given:
                WAYS[way].give(session, world)
    live = runtime.stack.generation()
    runtime.stack.warm_up()
    with runtime.db.write() as session:
        points = [_text(session, live.id, runtime, one) for one in worlds.values()]
    runtime.stack.index.upsert(live.collection, points)
    runtime.close()
    return worlds


def _people(session: Session, tenant: int) -> None:
    for group in ("joined", "outer", "inner", "kept", "loop", "fed"):
        directory.put_group(session, tenant, group)
    _person(session, tenant)
    put_directory(session, tenant, "corp", _FEED)
    session.scalars(select(Directory)).one().synced_at = now(session) - _FED_BEFORE
    directory.put_app(session, tenant, APP)
    directory.set_containers(session, tenant, "group:inner", ["outer", "loop"])
    directory.set_containers(session, tenant, "group:loop", ["inner"])
    _rule(session, tenant, "secret", "document.secret == 'yes'")
    _rule(session, tenant, "order", "source.id == 'order' && rank(document.classification) > rank(principal.clearance)")
    _rule(session, tenant, "clearance", "source.id == 'cleared' && principal.clearance == 'public'")


def _person(session: Session, tenant: int) -> None:
    directory.put_user(session, tenant, PERSON, email="ana@example.com", attributes={"clearance": "internal"})
    directory.set_containers(session, tenant, f"user:{PERSON}", ["joined", "inner", "kept"])
    directory.set_members(session, tenant, "fed", [f"user:{PERSON}"], origin="ldap:corp")


def _order(*first: str) -> Change:
    wanted = [*first, "confidential", "restricted"]
    return lambda session, world: set_classifications(session, world.tenant, wanted)


def _rule(session: Session, tenant: int, key: str, condition: str) -> None:
    """A forbid; the label `secret` is stated nowhere else, so the condition is guarded."""
    guarded = condition.replace("document.secret", "has(document.secret) && document.secret")
    epoch = bump(session, tenant)
    session.add(Policy(tenant_id=tenant, key=key, effect="forbid", condition=guarded, enforced=True, epoch_from=epoch))
    session.flush()


def _says(effect: str, key: str, *, enforced: bool = True) -> Change:
    """A rule over the whole source of a way."""

    def change(session: Session, world: World) -> None:
        condition = f"source.id == '{key}'"
        put_rule(session, world.tenant, key, effect=effect, condition=condition, enforced=enforced)

    return change


def _unsays(key: str) -> Change:
    return lambda session, world: remove_rule(session, world.tenant, key)


def _place(session: Session, tenant: int, way: str) -> World:
    key = "cleared" if way == "attributes" else way.replace(" ", "-")
    source = Source(
        tenant_id=tenant, key=key, connector="push", config={}, access_synced_at=now(session),
        epoch_from=bump(session, tenant),
    )  # fmt: skip
    session.add(source)
    session.flush()
    row = session.get_one(Tenant, tenant)
    spec = access_spec(WAYS[way].allow, labels=WAYS[way].labels)
    root = nodes.put_container(session, row, source.id, key="", parent=None, title="", spec=AccessSpec())
    node = nodes.put_container(session, row, source.id, key="place", parent=root.id, title="", spec=spec)
    shut = nodes.closed_node(session, tenant, source.id)
    document = Document(
        public_id=public_id("doc"), tenant_id=tenant, source_id=source.id, external_id=way, node_id=node.id,
        epoch_from=bump(session, tenant),
    )  # fmt: skip
    session.add(document)
    session.flush()
    return World(tenant, way, node.id, document.id, source.id, shut.id)


def _text(session: Session, generation: int, runtime: Runtime, world: World) -> Point:
    """One version of one chunk, and its point."""
    version = DocumentVersion(
        tenant_id=world.tenant, document_id=world.document, state="current", content_hash="-", title=world.way,
        uri=world.way, mime="text/plain", size=len(TEXT),
    )  # fmt: skip
    text = f"{TEXT}, {world.way}"
    digest = chunk_hash(text)
    chunk = Chunk(
        tenant_id=world.tenant, document_id=world.document, hash=digest, ordinal=0, context="", text=text, tokens=6
    )
    session.add_all([version, chunk])
    session.flush()
    session.add_all(
        [
            VersionChunk(version_id=version.id, position=0, chunk_id=chunk.id),
            ChunkPoint(generation_id=generation, chunk_id=chunk.id),
        ]
    )
    session.get_one(Document, world.document).version_id = version.id
    session.flush()
    dense, sparse = runtime.stack.embed_passages([text])[0]
    payload = Payload(tenant=world.tenant, source=world.source, document=world.document, chunk=chunk.id, acl=world.node)
    return Point(point_id(generation, world.document, digest, 0), dense, sparse, payload)


def _states(**spec: Any) -> Change:
    def change(session: Session, world: World) -> None:
        made = AccessSpec(
            mode=spec.get("mode", "inherit"),
            entries=access_spec(spec.get("allow", ()), spec.get("deny", ())).entries,
            labels=spec.get("labels", {}),
            closed=spec.get("closed", False),
        )
        nodes.state(session, session.get_one(AclNode, world.node), made, origin=spec.get("origin", "source"))

    return change


def _groups(*groups: str) -> Change:
    return lambda session, world: directory.set_containers(session, world.tenant, f"user:{PERSON}", groups)


def _user(**values: Any) -> Change:
    wanted = {"email": "ana@example.com", "attributes": {"clearance": "internal"}, **values}
    return lambda session, world: directory.put_user(session, world.tenant, PERSON, **wanted)


def _source(**values: Any) -> Change:
    def change(session: Session, world: World) -> None:
        row = session.get_one(Source, world.source)
        remember(session, world.tenant, "source", row, source_state(row))
        for name, value in values.items():
            setattr(row, name, value)

    return change


def _old(session: Session, world: World) -> None:
    _source(max_access_age_s=60, access_synced_at=now(session) - timedelta(hours=1))(session, world)


def _parent(session: Session, world: World, parent: int | None) -> None:
    node = session.get_one(AclNode, world.node)
    before = {"parent": node.parent_id, "mode": node.mode, "closed": node.closed}
    remember(session, world.tenant, "node", node, before)
    node.parent_id = parent


def _root(session: Session, world: World) -> int:
    return session.scalars(select(AclNode.id).where(AclNode.source_id == world.source, AclNode.key == "")).one()


def _on_root(**spec: Any) -> Change:
    def change(session: Session, world: World) -> None:
        made = access_spec(spec.get("allow", ()), spec.get("deny", ()))
        nodes.state(session, session.get_one(AclNode, _root(session, world)), made)

    return change


def _bounded(**bounds: timedelta) -> Change:
    """The one entry of the place, with a beginning or an end so far from now."""

    def change(session: Session, world: World) -> None:
        at = now(session)
        entry = Entry(ME, **{name: at + distance for name, distance in bounds.items()})
        nodes.state(session, session.get_one(AclNode, world.node), AccessSpec(entries=frozenset({entry})))

    return change


def _open_glass(session: Session, world: World) -> None:
    place = f"{session.get_one(Source, world.source).key}:place"
    open_glass(session, world.tenant, PERSON, [place], reason="the night shift needs it", seconds=3600, by="user:boss")


def _end_glass(session: Session, world: World) -> None:
    for one in standing_glass(session, world.tenant):
        end_glass(session, world.tenant, one.public_id, by="user:boss")


def _feed(max_age_s: int) -> Change:
    return lambda session, world: put_directory(session, world.tenant, "corp", {**_FEED, "max_age": max_age_s})


def _document(change: Callable[[Session, Document, World], object]) -> Change:
    return lambda session, world: change(session, session.get_one(Document, world.document), world)


ME = f"user:{PERSON}"
ALLOW: dict[str, Any] = {"allow": [ME]}
WAYS: dict[str, Way] = {
    "membership": Way(_groups("inner", "kept"), _groups("joined", "inner", "kept"), ("group:joined",)),
    "nested membership": Way(
        lambda s, w: directory.set_containers(s, w.tenant, "group:inner", ["loop"]),
        lambda s, w: directory.set_containers(s, w.tenant, "group:inner", ["outer", "loop"]),
        ("group:outer",),
    ),
    "group removed": Way(
        lambda s, w: directory.remove(s, w.tenant, "group:kept"),
        lambda s, w: (directory.put_group(s, w.tenant, "kept"), _groups("joined", "inner", "kept")(s, w)),
        ("group:kept",),
    ),
    "user inactive": Way(_user(active=False), _user()),
    "user removed": Way(
        lambda s, w: directory.remove(s, w.tenant, ME), lambda s, w: _person(s, w.tenant)
    ),
    "address": Way(_user(email_verified=False), _user(), ("user:ana@example.com",)),
    "admin deny": Way(_states(origin="admin", deny=[ME]), _states(origin="admin")),
    "deny above": Way(_on_root(deny=["everyone"]), _on_root()),
    "unresolved deny": Way(_states(origin="admin", deny=["user:ghost"]), _states(origin="admin")),
    "deny through the app": Way(_states(origin="admin", deny=[f"app:{APP}"]), _states(origin="admin")),
    "allow taken": Way(_states(), _states(**ALLOW)),
    "closed": Way(_states(**ALLOW, closed=True), _states(**ALLOW)),
    "narrowed": Way(_states(**ALLOW, mode="narrow"), _states(**ALLOW)),
    "break": Way(_states(mode="break"), _states(**ALLOW)),
    "folder moved": Way(
        lambda s, w: _parent(s, w, w.elsewhere), lambda s, w: _parent(s, w, _root(s, w))
    ),
    "entry expired": Way(_bounded(expires_at=-_MOMENT), _bounded()),
    "entry begins later": Way(_bounded(not_before=_HOUR), _bounded(not_before=-_HOUR)),
    "emergency access ended": Way(_end_glass, _open_glass, (), given=True),
    "label": Way(_states(**ALLOW, labels={"secret": "yes"}), _states(**ALLOW)),
    "admin's label": Way(_states(origin="admin", labels={"secret": "yes"}), _states(origin="admin")),
    "rule": Way(_says("forbid", "rule"), _unsays("rule")),
    "rule enforced": Way(
        _says("forbid", "rule-enforced"), _says("forbid", "rule-enforced", enforced=False), given=True
    ),
    "permit ended": Way(_unsays("permit-ended"), _says("permit", "permit-ended"), (), given=True),
    "permit on trial": Way(
        _says("permit", "permit-on-trial", enforced=False), _says("permit", "permit-on-trial"), (), given=True
    ),
    "attributes": Way(_user(attributes={"clearance": "public"}), _user()),
    "order": Way(_order("internal", "public"), _order("public", "internal"), labels={"classification": "public"}),
    "document moved": Way(
        _document(lambda s, d, w: move(s, d, w.elsewhere)), _document(lambda s, d, w: move(s, d, w.node))
    ),
    "document waits": Way(
        _document(lambda s, d, w: await_move(s, d, w.elsewhere)), _document(lambda s, d, w: await_move(s, d, w.node))
    ),
    "document held": Way(
        lambda s, w: hold_documents(s, w.tenant, [w.document]), lambda s, w: show_documents(s, w.tenant, [w.document])
    ),
    "directory too old": Way(_feed(60), _feed(24 * 3600), ("group:fed",)),
    "too old": Way(_old, _source(max_access_age_s=None)),
    "source deleted": Way(_source(state="deleted"), _source(state="active")),
    "app's sources": Way(
        lambda s, w: directory.put_app(s, w.tenant, APP, sources=["label", "rule"]),
        lambda s, w: directory.put_app(s, w.tenant, APP),
    ),
    "app inactive": Way(
        lambda s, w: directory.put_app(s, w.tenant, APP, active=False),
        lambda s, w: directory.put_app(s, w.tenant, APP),
    ),
}  # fmt: skip
