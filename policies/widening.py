"""How far a change widens access: whom it lets read more, and how much, counted no further than it takes to know.

The world before is one snapshot, the world after the transaction with the change, not committed yet. What a change
opens only later or only through an app counts as if it were open now: entries to come, entries bound to an app, the
access that a source's registration will give its root. What cannot be told (a rule that reads the request) counts as
everything.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from core.db import now
from core.ids import public_id
from core.tables import Ace, AclNode, App, Document, Label, Policy, Principal, Source, Tenant, User
from policies import directory
from policies.difference import differing
from policies.epoch import bumped, current
from policies.model import EVERYONE, AccessSpec, parse_access
from policies.nodes import digest, state, stated
from policies.people import Person
from policies.principals import split
from policies.readers import Place, places
from policies.simulate import Change, Compared, Shift, Shifted, Told, World
from policies.worlds import copied

MOST_CLASSES = 200
ENOUGH = 20
"""Classes of people that are always asked about, so that there is something to show; and after which it is enough."""
_SAMPLES = 5
_NONE = -1
Question = tuple[Sequence[Person], frozenset[int] | None]
_VARIES = ("request", "app.")


@dataclass(frozen=True, slots=True)
class Limits:
    """How many people may gain something, and how many documents somebody; -1: any number."""

    people: int
    documents: int

    def exceeded(self, people: int, documents: int) -> bool:
        """Whether that is more than may be without a second person."""
        return bool(people and documents) and (0 <= self.people < people or 0 <= self.documents < documents)


@dataclass(frozen=True, slots=True)
class Widening:
    """What a change opens.

    Attributes:
        people, documents: how many gain something, and how much; with `at_least`, counting stopped there.
        held: it is more than the limits allow.
        why: what could not be counted and so counts as everything; None: all was counted.
        gains, losses: samples.
        digest: names exactly what was found, so that it can be known again.
    """

    people: int = 0
    documents: int = 0
    at_least: bool = False
    held: bool = False
    why: str | None = None
    gains: tuple[Shift, ...] = ()
    losses: tuple[Shift, ...] = ()
    digest: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def measure(
    before: Session, after: Session, tenant: int, limits: Limits, *, standing: Mapping[int, Place] | None = None
) -> Widening:
    """What the change that `after` holds, not committed, opens against `before`; `after` is left as it was.

    `standing` are the places to ask about by document; None: as they are in `after`.
    """
    if not _can_exceed(before, after, tenant, limits):
        return Widening()
    epoch = current(after, tenant) if bumped(after, tenant) else _NONE
    with after.begin_nested() as trial:
        try:
            alike = standing or {one.document: one for one in places(after, tenant, held=True)}
            return _measured((before, after), tenant, epoch, limits, alike)
        finally:
            trial.rollback()


def would_widen(session: Session, tenant: int, change: Change, limits: Limits) -> Widening:
    """As `measure`, of a change that is made to a copy."""
    at = now(session)
    standing = {one.document: one for one in places(session, tenant, held=True)}
    with copied(session, tenant, standing, at=at) as after:
        change(after)
        after.flush()
        return measure(session, after, tenant, limits, standing=standing)


def _can_exceed(before: Session, after: Session, tenant: int, limits: Limits) -> bool:
    """Whether all people and all documents together are more than the limits; in a small tenant nothing is counted."""
    people = select(func.count()).select_from(User).where(User.tenant_id == tenant, User.active)
    documents = select(func.count()).select_from(Document).where(Document.tenant_id == tenant, Document.state == "live")
    return limits.exceeded(after.scalar(people) or 0, before.scalar(documents) or 0)


def _measured(
    sessions: tuple[Session, Session], tenant: int, epoch: int, limits: Limits, standing: Mapping[int, Place]
) -> Widening:
    before, after = sessions
    at = now(before)
    untold = _untold(after, tenant, epoch, at)
    bare = _bare(after, tenant)
    _as_if_begun(after, tenant, epoch, at)
    _as_if_synced(before, after, tenant)
    after.flush()
    worlds = (World(before, tenant, None), World(after, tenant, None))
    named = worlds[1].people.pop(bare)
    compared = Compared(worlds, standing, at, bare=named)
    found, rest = _asked(compared.questions(_gaining(before, after, tenant)), compared, standing, limits)
    by_apps = list(_app_gains(worlds, standing))
    return _told(worlds, standing, [*found, *by_apps], limits=limits, why=untold, at_least=rest)


def _asked(
    questions: Iterable[Question], compared: Compared, standing: Mapping[int, Place], limits: Limits
) -> tuple[list[Shifted], bool]:
    """What each class of people gains and loses, until it is enough; and whether more remain."""
    found: list[Shifted] = []
    for number, question in enumerate(questions):
        if number >= MOST_CLASSES or (number >= ENOUGH and limits.exceeded(*_count(found, standing))):
            return found, True
        found.append(compared.shift(*question))
    return found, False


def _count(found: Iterable[Shifted], standing: Mapping[int, Place]) -> tuple[int, int]:
    gaining = [one for one in found if _documents(one.gained, standing)]
    people = {person.id for one in gaining for person in one.people}
    return len(people), _documents({key for one in gaining for key in one.gained}, standing)


def _documents(keys: Iterable[int], standing: Mapping[int, Place]) -> int:
    return sum(standing[key].count for key in keys)


def _told(
    worlds: tuple[World, World],
    standing: Mapping[int, Place],
    found: Sequence[Shifted],
    *,
    limits: Limits,
    why: str | None,
    at_least: bool,
) -> Widening:
    people, documents = _count(found, standing)
    if why is not None:
        people, documents = len(worlds[1].people), _documents(standing, standing)
    teller = Told(worlds[1].session, standing, _SAMPLES)
    text = [[[one.key for one in each.people], *map(sorted, (each.gained, each.lost))] for each in found]
    counts = sorted((key, one.count) for key, one in standing.items())
    exactly = json.dumps([people, documents, why, at_least, sorted(text), counts])
    return Widening(
        people=people,
        documents=documents,
        at_least=at_least,
        held=at_least or limits.exceeded(people, documents),
        why=why,
        gains=teller.side([(one.people, one.gained) for one in found]).samples,
        losses=teller.side([(one.people, one.lost) for one in found]).samples,
        digest=hashlib.blake2b(exactly.encode(), digest_size=16).hexdigest(),
    )


def _bare(after: Session, tenant: int) -> int:
    """Somebody new who is in nothing: what they may read, everybody who is known may."""
    return directory.put_user(after, tenant, public_id("nobody")).id


def _untold(after: Session, tenant: int, epoch: int, at: datetime) -> str | None:
    """What changes in a way that cannot be counted."""
    changed = or_(Policy.epoch_from == epoch, Policy.epoch_to == epoch)
    rules = after.scalars(select(Policy).where(Policy.tenant_id == tenant, Policy.enforced, changed)).all()
    for rule in rules:
        if any(one in rule.condition for one in _VARIES):
            return f"rule {rule.key} reads the request or the app"
    ended = (
        select(Ace.id)
        .join(Principal, Principal.id == Ace.principal_id)
        .where(
            Ace.tenant_id == tenant,
            Ace.epoch_to == epoch,
            Ace.effect == "deny",
            or_(Ace.app_id.is_not(None), Ace.not_before > at, Principal.kind == "app"),
        )
    )
    if after.scalars(ended.limit(1)).first() is not None:
        return "a deny of or through one app, or one to come, ends"
    return None


def _gaining(before: Session, after: Session, tenant: int) -> frozenset[int] | None:
    """The principals of which one must be who gains without being somebody else than before; None: anybody may gain.

    An entry gives to whom it names and ends refusing whom it named; a deny of somebody unknown refused everybody.
    """
    epoch = current(after, tenant)
    rules = or_(
        (Policy.epoch_from == epoch) & Policy.epoch_to.is_(None) & (Policy.effect == "permit"),
        (Policy.epoch_to == epoch) & (Policy.effect == "forbid"),
    )
    opened = select(Policy.id).where(Policy.tenant_id == tenant, Policy.enforced, rules).limit(1)
    worlds = (before, after)
    known = set(before.scalars(select(Principal.id).where(Principal.tenant_id == tenant)))
    if (
        after.scalars(opened).first() is not None
        or any(differing(worlds, tenant, one) for one in (AclNode, Source, Tenant))
        or differing(worlds, tenant, Label, key="node_id")
        or differing(worlds, tenant, Principal) & known
        or _moved(worlds, tenant)
    ):
        return None
    entries = or_(
        (Ace.epoch_from == epoch) & Ace.epoch_to.is_(None) & (Ace.effect == "allow"),
        (Ace.epoch_to == epoch) & (Ace.effect == "deny"),
    )
    rows = after.execute(
        select(Ace.principal_id, Ace.effect, Principal.kind, Principal.subject_id)
        .join(Principal, Principal.id == Ace.principal_id)
        .where(Ace.tenant_id == tenant, entries)
    ).all()
    if any(row.effect == "deny" and row.subject_id is None and row.kind != EVERYONE for row in rows):
        return None
    return frozenset(row.principal_id for row in rows)


def _moved(worlds: tuple[Session, Session], tenant: int) -> bool:
    """Whether a document stands elsewhere: its history says since when."""
    after = worlds[1]
    since = select(Document.id).where(Document.tenant_id == tenant, Document.epoch_from == current(after, tenant))
    return after.scalars(since.limit(1)).first() is not None


def _as_if_begun(after: Session, tenant: int, epoch: int, at: datetime) -> None:
    """New allows hold now and through any app; new denies that hold for a time or through one app do not hold."""
    new = (Ace.tenant_id == tenant, Ace.epoch_from == epoch, Ace.epoch_to.is_(None))
    bound = or_(Ace.app_id.is_not(None), Ace.not_before > at)
    after.execute(
        update(Ace).where(*new, Ace.effect == "allow", bound).values(app_id=None, not_before=None),
        execution_options={"synchronize_session": False},
    )
    after.execute(
        update(Ace).where(*new, Ace.effect == "deny", or_(bound, Ace.expires_at.is_not(None))).values(epoch_to=epoch),
        execution_options={"synchronize_session": False},
    )


def _as_if_synced(before: Session, after: Session, tenant: int) -> None:
    """The root of a source whose registration changes its access says what the next sync would make it say."""
    columns = select(Source.id, Source.access).where(Source.tenant_id == tenant)
    old = {row.id: row.access for row in before.execute(columns)}
    for id_, access in after.execute(columns).all():
        if id_ not in old or old[id_] == access:
            continue
        root = after.scalars(select(AclNode).where(AclNode.source_id == id_, AclNode.key == "")).one_or_none()
        if root is not None and root.access_hash == digest(_spec(old[id_])):
            state(after, root, _both(stated(after, root), _spec(access)))


def _both(standing: AccessSpec, coming: AccessSpec) -> AccessSpec:
    """What the sync would bring, where the root is open at all."""
    return AccessSpec(mode=coming.mode, entries=coming.entries, labels=coming.labels, closed=standing.closed)


def _spec(access: Mapping[str, Any]) -> AccessSpec:
    return parse_access(access) if access else AccessSpec()


def _app_gains(worlds: tuple[World, World], standing: Mapping[int, Place]) -> Iterator[Shifted]:
    """Whom apps may newly name, with the sources they may see, and which sources they newly may."""
    before, after = (_apps(world) for world in worlds)
    for key, app in sorted(after.items()):
        old = before.get(key)
        if not app.active or (old is not None and _plain(old) == _plain(app)):
            continue
        held = _reach(worlds[0], old, standing) if old is not None and old.active else {}
        wanted = _reach(worlds[1], app, standing)
        alike: dict[frozenset[int], list[Person]] = {}
        for person in worlds[1].people.values():
            alike.setdefault(wanted.get(person.id, frozenset()) - held.get(person.id, frozenset()), []).append(person)
        yield from (Shifted(people, gained=gained, lost=frozenset()) for gained, people in alike.items() if gained)


def _apps(world: World) -> dict[str, App]:
    return {one.key: one for one in world.session.scalars(select(App).where(App.tenant_id == world.tenant))}


def _plain(app: App) -> tuple[Any, ...]:
    return (app.active, tuple(sorted(app.acts_for)), None if app.sources is None else tuple(sorted(app.sources)))


def _reach(world: World, app: App, standing: Mapping[int, Place]) -> dict[int, frozenset[int]]:
    """The places of the app's sources, for each person it may name: more than they may read, so never too little."""
    columns = select(Source.id, Source.key).where(Source.tenant_id == world.tenant)
    keys = {row.id: row.key for row in world.session.execute(columns)}
    seen = frozenset(
        place for place, one in standing.items() if app.sources is None or keys.get(one.source) in app.sources
    )
    named = _principals(world, app.acts_for)
    return {one.id: seen for one in world.people.values() if one.principals & named}


def _principals(world: World, names: Iterable[str]) -> frozenset[int]:
    wanted = {split(one) for one in names}
    rows = world.session.execute(
        select(Principal.id, Principal.kind, Principal.key).where(
            Principal.tenant_id == world.tenant, Principal.key.in_(sorted(key for _, key in wanted))
        )
    )
    return frozenset(id_ for id_, kind, key in rows if (kind, key) in wanted)
