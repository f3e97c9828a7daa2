"""Access review: who can read what, why and since when unused; and what an admin should look at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session, aliased

from core.db import now
from core.errors import InvalidError, NotFoundError
from core.tables import Ace, AclNode, BreakGlass, Document, Group, Membership, Principal, Source, User
from policies.chains import EntryView, NodeView, load_chains, load_entries
from policies.cycles import cycles
from policies.decide import decide
from policies.epoch import current
from policies.labels import CLASSIFICATION, classifications, effective, rank
from policies.model import EVERYONE
from policies.people import Memberships, Person, classes, load_both, rule_trait
from policies.readers import Place, Teller, named_on, places, stamp, subject_of, visible
from policies.usage import Usage, load_usage

DAYS = 90
OPEN_TO_ALL = "internal"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a review; what does not apply is empty.

    Attributes:
        kind: `access` (a person may read the documents of a place), `unused_grant` (an allow by which nobody was shown
            anything), `exposed` (everyone may read what is labelled higher than that), `orphan` (a name that entries
            or groups speak of and that means nobody, or nobody active), `no_entry` (a place whose documents nothing
            allows to anybody), `break_glass` (emergency access in the time looked at; `by` opened it).
        documents: how many live documents stand at the place.
        by: the principal, or `rule <id>`, that lets the person in.
        last_used: when the person (for a grant: anyone) was last shown a document of the place.
    """

    kind: str
    person: str = ""
    source: str = ""
    place: str = ""
    documents: int | None = None
    by: str = ""
    path: str = ""
    label: str = ""
    expires_at: datetime | None = None
    last_used: datetime | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Review:
    """A review of a group's members, or of all people. `since`: usage is known from then on."""

    group: str | None
    people: int
    since: datetime
    epoch: int
    at: datetime
    lines: tuple[Line, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON; times in ISO 8601."""
        lines = [
            {**asdict(one), "expires_at": stamp(one.expires_at), "last_used": stamp(one.last_used)}
            for one in self.lines
        ]
        about = {"group": self.group, "people": self.people, "epoch": self.epoch}
        return {**about, "since": self.since.isoformat(), "at": self.at.isoformat(), "lines": lines}


def review(
    session: Session, tenant: int, *, group: str | None = None, days: int = DAYS, highest: str = OPEN_TO_ALL
) -> Review:
    """The review of `group` (None: everybody) over the last `days`; `highest` is what everyone may be shown.

    Raises:
        NotFoundError: there is no such group.
        InvalidError: `highest` is none of the tenant's classifications.
    """
    at = now(session)
    made = _Review(session, tenant, at, at - timedelta(days=days))
    goal = made.principal_of(group)
    members = [one for one in made.people.values() if goal is None or goal in one.principals]
    lines = [
        *made.access(members),
        *made.unused(goal),
        *made.exposed(highest),
        *orphans(session, tenant),
        *_cyclic(session, tenant),
        *made.without_entry(),
        *emergencies(session, tenant, made.since),
    ]
    return Review(group, len(members), made.since, current(session, tenant), at, tuple(lines))


def emergencies(session: Session, tenant: int, since: datetime) -> list[Line]:
    """Emergency access that was open at some time since then."""
    rows = session.scalars(
        select(BreakGlass).where(BreakGlass.tenant_id == tenant, BreakGlass.ends_at > since).order_by(BreakGlass.id)
    )
    return [
        Line(
            "break_glass",
            person=row.user_key,
            source=place.partition(":")[0],
            place=place.partition(":")[2],
            by=row.opened_by,
            expires_at=row.ended_at or row.ends_at,
            note=f"{row.public_id}: {row.reason}",
        )
        for row in rows
        for place in row.places
    ]


class _Review:
    """What every part of a review looks at, read once."""

    def __init__(self, session: Session, tenant: int, at: datetime, since: datetime) -> None:
        self.since = since
        self._session, self._tenant, self._at = session, tenant, at
        self._memberships: Memberships
        self._memberships, self.people = load_both(session, tenant)
        self._places = {one.document: one for one in places(session, tenant)}
        self._chains = load_chains(session, {one.node for one in self._places.values()})
        self._usage: Usage = load_usage(session, tenant, since)
        self._names = _names(session, tenant)
        self._teller = Teller(session, self._memberships)

    def principal_of(self, group: str | None) -> int | None:
        """The group's principal."""
        if group is None:
            return None
        found = self._session.scalar(
            select(Principal.id)
            .join(Group, Group.id == Principal.subject_id)
            .where(Principal.tenant_id == self._tenant, Principal.kind == "group", Group.key == group)
        )
        if found is None:
            raise NotFoundError(f"there is no group {group!r}; `ambit groups list` shows them")
        return found

    def access(self, people: Sequence[Person]) -> Iterator[Line]:
        """What each person may read, a line for each place."""
        named = named_on(self._session, self._tenant, {one.node for one in self._places.values()})
        found = classes(people, named, rule_trait(self._session, self._tenant)).values()
        lines = [line for same in found for line in self._of_class(same)]
        yield from sorted(lines, key=lambda one: (one.person, one.source, one.place))

    def _of_class(self, same: Sequence[Person]) -> Iterator[Line]:
        subject = subject_of(self._session, self._tenant, same[0])
        nodes, sources = visible(self._session, subject)
        asked = [key for key, one in self._places.items() if one.node in nodes and one.source in sources]
        for key, verdict in decide(self._session, subject, asked, at=self._at).items():
            place = self._places[key]
            for reader, person in zip(
                self._teller.readers(same, verdict) if verdict.allowed else (), same, strict=False
            ):
                yield self._line(
                    "access",
                    place,
                    person=reader.user,
                    by=reader.by or f"rule {reader.rule}",
                    path=" > ".join(reader.path),
                    expires_at=reader.expires_at,
                    last_used=self._usage.last(person.id, place.node),
                )

    def unused(self, goal: int | None) -> Iterator[Line]:
        """Allow entries (that reach the group, where one is named) through which nobody was shown anything."""
        reach = None if goal is None else self._memberships.closure([goal])
        used = self._used_entries()
        for entry in self._open_allows():
            if (reach is None or entry.principal in reach) and (entry.node, entry.principal, entry.origin) not in used:
                source, name = self._names.get(entry.node, ("", ""))
                note = f"no document shown through it since {self.since.date().isoformat()}"
                yield Line("unused_grant", "", source, name, None, entry.name, expires_at=entry.expires_at, note=note)

    def _used_entries(self) -> set[tuple[int, int, str]]:
        """Nodes, principals and origins of which somebody who is that principal was shown a document that such an
        entry reaches.
        """
        chains = load_chains(self._session, self._usage.nodes())
        return {
            (above, principal, origin)
            for person, node in self._usage.pairs()
            if person in self.people
            for above, origin in _reaching(chains.get(node, ()))
            for principal in self.people[person].principals
        }

    def _open_allows(self) -> list[EntryView]:
        nodes = self._session.scalars(
            select(Ace.node_id)
            .where(Ace.tenant_id == self._tenant, Ace.epoch_to.is_(None), Ace.effect == "allow")
            .distinct()
        ).all()
        entries = load_entries(self._session, self._tenant, nodes, None, self._at)
        return [one for found in entries.values() for one in found if one.effect == "allow"]

    def exposed(self, highest: str) -> Iterator[Line]:
        """Places that everyone may read, by whatever lets them, although they are labelled higher than `highest`."""
        ordered = classifications(self._session, self._tenant)
        if highest not in ordered:
            raise InvalidError(f"there is no classification {highest!r}; there are {', '.join(ordered)}")
        labels = effective(self._session, self._tenant, {one.node for one in self._places.values()})
        held = {key: labels[one.node][CLASSIFICATION] for key, one in self._places.items() if one.node in labels}
        high = [key for key, label in held.items() if rank(label, ordered) > rank(highest, ordered)]
        for key, (by, readers) in sorted(self._open_to_all(high).items()):
            note = f"{readers} of {len(self.people)} people may read it"
            yield self._line("exposed", self._places[key], by=by, label=held[key], note=note)

    def _open_to_all(self, keys: Sequence[int]) -> dict[int, tuple[str, int]]:
        """Of these places, those that an entry for everyone opens, or that each person of several may read: by what,
        and how many people that lets in.
        """
        named = named_on(self._session, self._tenant, {self._places[key].node for key in keys})
        all_people = self._everyone()
        found: dict[int, tuple[str, int]] = {}
        read_by_each = dict.fromkeys(keys, "") if len(self.people) > 1 else {}
        for same in classes(self.people.values(), named, rule_trait(self._session, self._tenant)).values():
            if not read_by_each and not named & all_people:
                break
            subject = subject_of(self._session, self._tenant, same[0])
            for key, verdict in decide(self._session, subject, keys, at=self._at).items():
                if not verdict.allowed:
                    read_by_each.pop(key, None)
                elif verdict.entry and verdict.entry.principal in all_people:
                    found[key] = (verdict.entry.name, found.get(key, ("", 0))[1] + len(same))
                elif key in read_by_each:
                    read_by_each[key] = (
                        verdict.entry.name if verdict.entry else f"rule {verdict.rule and verdict.rule.key}"
                    )
        return {key: (by, len(self.people)) for key, by in read_by_each.items()} | found

    def _everyone(self) -> frozenset[int]:
        own = self._session.scalars(
            select(Principal.id).where(Principal.tenant_id == self._tenant, Principal.kind == EVERYONE)
        ).all()
        return self._memberships.closure(own)

    def without_entry(self) -> Iterator[Line]:
        """Places with documents to which nothing allows anybody."""
        on_chains = {node.id for chain in self._chains.values() for node in chain}
        entries = load_entries(self._session, self._tenant, on_chains, None, self._at)
        for place in self._places.values():
            chain = self._chains.get(place.node, [])
            if not any(one.effect == "allow" for one in _in_reach(chain, entries)):
                yield self._line("no_entry", place, note="no allow entry holds here")

    def _line(self, kind: str, place: Place, **told: Any) -> Line:
        source, name = self._names.get(place.node, ("", ""))
        return Line(kind, source=source, place=name, documents=place.count, **told)


def _cyclic(session: Session, tenant: int) -> Iterator[Line]:
    """Groups that hold one another."""
    for groups in cycles(session, tenant):
        yield Line("cycle", by=", ".join(groups), note="each is in all of them")


def orphans(session: Session, tenant: int) -> Iterator[Line]:
    """Names in entries or groups that mean nobody, or somebody who is not active."""
    member = aliased(Membership)
    in_entries = exists().where(Ace.principal_id == Principal.id, Ace.epoch_to.is_(None))
    in_groups = exists().where(member.member_id == Principal.id, member.epoch_to.is_(None))
    rows = session.execute(
        select(Principal.kind, Principal.key, Principal.subject_id, User.active, in_entries, in_groups)
        .outerjoin(User, (User.id == Principal.subject_id) & (Principal.kind == "user"))
        .where(Principal.tenant_id == tenant, Principal.kind != EVERYONE, in_entries | in_groups)
        .order_by(Principal.kind, Principal.key)
    )
    for kind, key, subject, active, entries, groups in rows:
        if subject is None or active is False:
            where = " and ".join(word for word, named in (("entries", entries), ("groups", groups)) if named)
            note = "means nobody known" if subject is None else "is not active"
            yield Line("orphan", by=f"{kind}:{key}", note=f"{note}; named in {where}")


def _in_reach(chain: Sequence[NodeView], entries: Mapping[int, Sequence[EntryView]]) -> Iterable[EntryView]:
    """Entries that count at the first node of a chain, as `policies.decide.judge` takes them."""
    reach = next((at for at, node in enumerate(chain) if node.mode != "inherit"), len(chain) - 1)
    for at, node in enumerate(chain):
        yield from (one for one in entries.get(node.id, ()) if at <= reach or one.origin == "admin")


def _reaching(chain: Sequence[NodeView]) -> Iterator[tuple[int, str]]:
    """Nodes of a chain with the origins whose entries there reach its first node."""
    cut = False
    for node in chain:
        yield node.id, "admin"
        if not cut:
            yield node.id, "source"
        cut = cut or node.mode == "break"


def _names(session: Session, tenant: int) -> dict[int, tuple[str, str]]:
    """For each node its source's key and its name for people: its key, as `SOURCE:KEY` names it elsewhere, with its
    title where that says more; of the place of single documents, which of them stand there.
    """
    rows = session.execute(
        select(AclNode.id, Source.key, AclNode.title, AclNode.key)
        .join(Source, Source.id == AclNode.source_id)
        .where(AclNode.tenant_id == tenant)
    )
    single = _single(session, tenant)
    return {id_: (source, single.get(id_) or _name(title, key)) for id_, source, title, key in rows}


def _name(title: str, key: str) -> str:
    return (key if title in key else f"{key} ({title})") if key else "(root)"


def _single(session: Session, tenant: int) -> dict[int, str]:
    """The documents of places that are no container."""
    rows = session.execute(
        select(Document.node_id, func.min(Document.external_id), func.count())
        .join(AclNode, AclNode.id == Document.node_id)
        .where(Document.tenant_id == tenant, Document.state == "live", AclNode.key.startswith("="))
        .group_by(Document.node_id)
    )
    return {node: first if count == 1 else f"{first} and {count - 1} more" for node, first, count in rows}
