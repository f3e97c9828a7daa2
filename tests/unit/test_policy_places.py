"""Places as statements walk them: what holds at those that state labels, and chains, are what one by one is found."""

from __future__ import annotations

from random import Random

import pytest
from sqlalchemy import select

from core.db import Database
from core.tables import AclNode, Label
from policies import nodes
from policies.anchors import Anchors
from policies.chains import load_chains
from policies.labels import classifications, effective
from policies.model import AccessSpec
from tests.factories.random_world import random_world
from tests.factories.world import Built, WNode, World, build

SEEDS = range(12)


@pytest.mark.parametrize("seed", SEEDS)
def test_anchors_hold_the_labels_that_each_place_has_by_itself(db: Database, seed: int) -> None:
    with db.write() as session:
        built = build(session, random_world(Random(seed)))
    _check(db, built)


def test_an_admins_label_and_the_sources_above_at_and_below_it(sqlite_db: Database) -> None:
    def node(parent: str | None, stated: str | None = None, admin: str | None = None) -> WNode:
        said = [{"classification": one} if one else {} for one in (stated, admin)]
        return WNode("s", parent=parent, labels=said[0], admin_labels=said[1])

    placed = {
        "root": node(None, "restricted"),
        "admin": node("root", None, "public"),
        "both": node("root", "confidential", "public"),
        "lower": node("admin", "internal"),
        "plain": node("lower"),
        "again": node("plain", None, "internal"),
        "deep": node("again", "restricted"),
    }
    with sqlite_db.write() as session:
        built = build(session, World(users={}, groups={}, nodes=placed, documents={}))
    with sqlite_db.read() as session:
        held = {key: effective(session, built.tenant, [id_])[id_] for key, id_ in built.nodes.items()}
    assert {key: one["classification"] for key, one in held.items()} == {
        "root": "restricted", "admin": "public", "both": "confidential", "lower": "internal", "plain": "internal",
        "again": "internal", "deep": "restricted",
    }  # fmt: skip
    _check(sqlite_db, built)


def test_a_label_on_a_place_that_moves_goes_with_it(db: Database) -> None:
    with db.write() as session:
        built = build(session, random_world(Random(3)))
        found = session.scalars(select(AclNode).where(AclNode.tenant_id == built.tenant).order_by(AclNode.id)).all()
        nodes.state(session, found[0], AccessSpec(labels={"classification": "restricted"}), origin="admin")
        nodes.state(session, found[-1], AccessSpec(labels={"department": "hr"}), origin="admin")
    _check(db, built)
    with db.write() as session:
        session.get_one(AclNode, found[-1].id).parent_id = found[0].id
    _check(db, built)


def _check(db: Database, built: Built) -> None:
    with db.read() as session:
        order = classifications(session, built.tenant)
        told = {
            one: (dict(labels), source)
            for (labels, source), ids in Anchors(session, built.tenant, order).alike().items()
            for one in ids
        }
        stating = select(Label.node_id).where(Label.tenant_id == built.tenant, Label.epoch_to.is_(None))
        rows = session.execute(
            select(AclNode.id, AclNode.source_id).where(
                AclNode.tenant_id == built.tenant, AclNode.parent_id.is_(None) | AclNode.id.in_(stating)
            )
        )
        sources = {row.id: row.source_id for row in rows}
        labels = effective(session, built.tenant, sources)
    assert told == {one: (labels[one], source) for one, source in sources.items()}


def test_chains_go_to_the_root_however_many_are_asked_for(db: Database) -> None:
    placed = {f"n{at}": WNode("s", parent=f"n{at - 1}" if at else None) for at in range(40)}
    with db.write() as session:
        built = build(session, World(users={}, groups={}, nodes=placed, documents={}))
    ids = list(built.nodes.values())
    with db.read() as session:
        chains = load_chains(session, [*ids, ids[-1] + 1000])
    assert {start: [node.id for node in chain] for start, chain in chains.items()} == {
        start: ids[at::-1] for at, start in enumerate(ids)
    }
