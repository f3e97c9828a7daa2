"""Asks everyone who must agree about a world - the decision, the scope, the oracle - and lists where they differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
from sqlalchemy.orm import Session

from core.db import Database
from core.ids import chunk_hash, point_id
from embed.index.base import CollectionSpec, Payload, Point, SearchRequest, SparseVector, VectorIndex
from policies import decide, scope, subject
from policies.claims import claims_of
from tests.factories import oracle
from tests.factories.world import Built, WDoc, World, build


def callers(world: World) -> Iterator[tuple[str, str | None]]:
    """Every person through every app and none; by address, somebody unknown, and through an unknown app."""
    for person in world.users:
        yield person, None
        yield from ((person, app) for app in world.apps)
    yield from ((address, None) for address in sorted({one.email for one in world.users.values() if one.email}))
    yield "stranger", None
    yield "ana", "no-such-app"


def caller_of(world: World, built: Built, person: str, app: str | None) -> subject.Caller:
    """The person with the token by which the world says they ask."""
    user = world.users.get((oracle.email_owner(world, person) or "") if "@" in person else person)
    claims = claims_of(user.claimed, {}, overage=user.overage) if user else None
    return subject.Caller(built.tenant, person, app, world.address, claims)


def found(selected: scope.ReadScope, node: int, source: int) -> bool:
    """Whether the filter that a scope stands for lets a point of this node and source pass."""
    if selected.empty or source not in selected.sources:
        return False
    return (node in selected.nodes) != selected.complement


def plain(world: World, document: str) -> World:
    """The world with the document live and not waiting, which is as much as a point can say of it."""
    doc = world.documents[document]
    return replace(world, documents={**world.documents, document: WDoc(doc.node)})


def check(db: Database, world: World, *, directory_first: bool = True) -> list[str]:
    """Writes the world and returns every disagreement in it, in words; none when all agree."""
    with db.write() as session:
        built = build(session, world, directory_first=directory_first)
    return differences(db, world, built)


def differences(
    db: Database,
    world: World,
    built: Built,
    cache: scope.ScopeCache | None = None,
    *,
    asking: Iterable[tuple[str, str | None]] | None = None,
    at: int = 0,
) -> list[str]:
    """Where decide, scope and oracle differ about a world already written, `at` seconds after it was."""
    with db.read() as session:
        asked = callers(world) if asking is None else asking
        return [line for one in asked for line in _one(session, world, built, one, cache, at=at)]


def _one(
    session: Session,
    world: World,
    built: Built,
    caller: tuple[str, str | None],
    cache: scope.ScopeCache | None,
    *,
    at: int,
) -> Iterator[str]:
    person, app = caller
    who = subject.resolve_subject(session, caller_of(world, built, person, app))
    verdicts: Mapping[int, decide.Verdict] = decide.decide(session, who, built.documents.values())
    selected = scope.readable(session, who, cache)
    for key, id_ in built.documents.items():
        case = f"{person} through {app}: {key}"
        expected = oracle.allowed(world, person, app, key, at)
        if verdicts[id_].allowed != expected:
            yield f"{case}: decide says {verdicts[id_].reason}, the oracle {expected}"
        if key in world.foreign:
            continue
        node = world.documents[key].node
        passes = found(selected, built.nodes[node], built.sources[world.nodes[node].source])
        if expected and not passes:
            yield f"{case}: readable, but not in the scope"
        of_place = expected if plain(world, key) == world else oracle.allowed(plain(world, key), person, app, key, at)
        if passes != of_place:
            yield f"{case}: the scope says {passes} of the place"


class PointsOf:
    """A real index with one point a document, to search under a scope without a limit that matters."""

    _COLLECTION = "documents"
    _DIMENSION = 4

    def __init__(self, index: VectorIndex) -> None:
        self._index = index
        index.ensure(CollectionSpec(self._COLLECTION, self._DIMENSION))

    def put(self, world: World, built: Built) -> None:
        """One point for each document of the world's own tenant, at its current node."""
        own = [key for key in built.documents if key not in world.foreign]
        self._index.upsert(self._COLLECTION, [self._point(world, built, key) for key in own])

    def found(self, selected: scope.ReadScope) -> set[int]:
        """Ids of all documents that a search under the scope finds."""
        dense = np.zeros(self._DIMENSION, dtype=np.float32)
        dense[0] = 1.0
        request = SearchRequest(dense=dense, sparse=None, limit=10_000, candidates=10_000)
        return {hit.document for hit in self._index.search(self._COLLECTION, request, selected)}

    def _point(self, world: World, built: Built, key: str) -> Point:
        node = world.documents[key].node
        document = built.documents[key]
        dense = np.zeros(self._DIMENSION, dtype=np.float32)
        dense[document % self._DIMENSION] = 1.0
        payload = Payload(
            tenant=built.tenant,
            source=built.sources[world.nodes[node].source],
            document=document,
            chunk=document,
            acl=built.nodes[node],
        )
        return Point(point_id(1, document, chunk_hash(key), 0), dense, SparseVector((), ()), payload)
