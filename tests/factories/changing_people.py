"""A world that changes: each change is made to SQL by Ambit's own functions, and beside it to plain data by the design.

Here: people, groups, apps, directories, sources, rules. `tests.factories.changing_places` has places and documents.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from random import Random
from typing import Any

from sqlalchemy import select

from core.db import Database
from core.tables import Directory, Source
from policies import directory, labels
from policies.directories import directory_state
from policies.epoch import remember, source_state
from policies.rules_store import put_rule, remove_rule
from tests.factories import oracle
from tests.factories.cedar import TWINS
from tests.factories.random_world import APPS, GROUPS, MEMBERS, PERIOD, USERS, _app, _fed, _user
from tests.factories.stopped_clock import StoppedClock
from tests.factories.world import Built, WDirectory, World, WRule, WUser


def steady(user: WUser) -> WUser:
    """The person with attributes that Cedar's types can hold."""
    kept = {name: value for name, value in user.attributes.items() if name == "level" and isinstance(value, int)}
    return replace(user, attributes={**user.attributes, "level": kept.get("level"), "badge": None})


class ChangingPeople:
    """`world` and `built` say the same at every moment; seconds count from when the world was built."""

    def __init__(self, db: Database, clock: StoppedClock, world: World, built: Built) -> None:
        self.db, self.clock, self.world, self.built = db, clock, world, built
        self._rules = {f"r{at}": rule for at, rule in enumerate(world.rules)}

    @property
    def tenant(self) -> int:
        return self.built.tenant

    def a_user(self, rng: Random) -> None:
        key = rng.choice([*USERS, "dan"])
        old = self.world.users.get(key, WUser())
        new = steady(replace(_user(rng), groups=old.groups, by=old.by))
        with self.db.write(self.tenant) as session:
            directory.put_user(
                session,
                self.tenant,
                key,
                email=new.email,
                active=new.active,
                email_verified=new.verified,
                attributes=dict(new.attributes),
                origin="admin" if new.by is None else f"ldap:{new.by}",
            )
        self._users({**self.world.users, key: new})

    def a_token(self, rng: Random) -> None:
        """What the token says by which somebody asks; nothing is written."""
        key = rng.choice(list(self.world.users) or [""])
        if key:
            new = _user(rng)
            user = replace(self.world.users[key], claimed=new.claimed, overage=new.overage)
            self._users({**self.world.users, key: user})

    def a_user_removed(self, rng: Random) -> None:
        """With the memberships of the person's id and address."""
        if not self.world.users:
            return
        key = rng.choice(list(self.world.users))
        address = self.world.users[key].email
        gone = {f"user:{key}"}
        if address and oracle.email_owner(self.world, address) == key:
            gone.add(f"user:{address.lower()}")
        with self.db.write(self.tenant) as session:
            directory.remove(session, self.tenant, f"user:{key}")
        self._users({name: user for name, user in self.world.users.items() if name != key})
        self._without_members(gone)

    def a_users_groups(self, rng: Random) -> None:
        if not self.world.users:
            return
        key, groups = rng.choice(list(self.world.users)), tuple(rng.sample([*GROUPS, "ghost"], rng.randint(0, 2)))
        with self.db.write(self.tenant) as session:
            directory.set_containers(session, self.tenant, f"user:{key}", groups)
        self._users({**self.world.users, key: replace(self.world.users[key], groups=groups)})

    def a_group(self, rng: Random) -> None:
        key = rng.choice([*GROUPS, "ghost"])
        with self.db.write(self.tenant) as session:
            directory.put_group(session, self.tenant, key)
        self.world = replace(self.world, groups={key: (), **self.world.groups})

    def a_groups_groups(self, rng: Random) -> None:
        if not self.world.groups:
            return
        key, above = rng.choice(list(self.world.groups)), tuple(rng.sample([*GROUPS, "ghost"], rng.randint(0, 2)))
        with self.db.write(self.tenant) as session:
            directory.set_containers(session, self.tenant, f"group:{key}", above)
        self.world = replace(self.world, groups={**self.world.groups, key: above})

    def a_group_removed(self, rng: Random) -> None:
        """With the memberships in it and of it."""
        if not self.world.groups:
            return
        gone = rng.choice(list(self.world.groups))
        with self.db.write(self.tenant) as session:
            directory.remove(session, self.tenant, f"group:{gone}")
        world = self.world
        self._users({key: replace(one, groups=_but(one.groups, {gone})) for key, one in world.users.items()})
        self.world = replace(
            self.world,
            groups={key: _but(above, {gone}) for key, above in world.groups.items() if key != gone},
            members={key: one for key, one in world.members.items() if key != gone},
            fed={key: one for key, one in world.fed.items() if key != gone},
        )
        self._without_members({f"group:{gone}"})

    def members(self, rng: Random) -> None:
        key, members = rng.choice([*GROUPS, "ghost"]), tuple(sorted(set(rng.sample(MEMBERS, rng.randint(0, 2)))))
        with self.db.write(self.tenant) as session:
            directory.set_members(session, self.tenant, key, members, origin="source")
        self.world = replace(self.world, members={**self.world.members, key: members})

    def members_from_a_directory(self, rng: Random) -> None:
        group, key = rng.choice(GROUPS), "corp"
        if key not in self.world.directories:
            return
        members = _fed(rng)
        with self.db.write(self.tenant) as session:
            directory.set_members(session, self.tenant, group, members, origin=f"ldap:{key}")
        self.world = replace(self.world, fed={**self.world.fed, group: {key: members}})

    def a_directory(self, rng: Random) -> None:
        """It is read anew, or may be older or not."""
        for key in self.world.directories:
            told = WDirectory(rng.choice([None, PERIOD, 2 * PERIOD]), -self.clock.at)
            with self.db.write(self.tenant) as session:
                row = session.scalars(select(Directory).where(Directory.tenant_id == self.tenant)).one()
                remember(session, self.tenant, "directory", row, directory_state(row))
                row.max_age_s, row.synced_at = told.max_age, self.clock.now
            self.world = replace(self.world, directories={**self.world.directories, key: told})

    def an_app(self, rng: Random) -> None:
        key, app = rng.choice(APPS), _app(rng)
        with self.db.write(self.tenant) as session:
            sources = None if app.sources is None else list(app.sources)
            directory.put_app(session, self.tenant, key, sources=sources, active=app.active)
        self.world = replace(self.world, apps={**self.world.apps, key: app})

    def an_app_removed(self, rng: Random) -> None:
        if not self.world.apps:
            return
        gone = rng.choice(list(self.world.apps))
        with self.db.write(self.tenant) as session:
            directory.remove(session, self.tenant, f"app:{gone}")
        self.world = replace(self.world, apps={key: app for key, app in self.world.apps.items() if key != gone})

    def a_limit(self, rng: Random) -> None:
        """Of how old a source's access data may be."""
        key, limit = rng.choice(list(self.world.sources)), rng.choice([None, PERIOD, 2 * PERIOD])
        self._source(key, max_age=limit)

    def a_crawl(self, rng: Random) -> None:
        self._source(rng.choice(list(self.world.sources)), crawled=-self.clock.at)

    def a_sources_state(self, rng: Random) -> None:
        self._source(rng.choice(list(self.world.sources)), state=rng.choice(["active", "active", "paused", "deleted"]))

    def a_rule(self, rng: Random) -> None:
        if not self.world.users:
            return  # conditions may speak only of attributes that somebody has
        key, effect = rng.choice(["r0", "r1", "r2"]), rng.choice(["permit", "permit", "forbid"])
        rule = WRule(effect, rng.choice(TWINS).cel, rng.random() < 0.9)
        with self.db.write(self.tenant) as session:
            put_rule(session, self.tenant, key, effect=effect, condition=rule.when, enforced=rule.enforced)
        self._ruled({**self._rules, key: rule})

    def a_rule_removed(self, rng: Random) -> None:
        if not self._rules:
            return
        gone = rng.choice(sorted(self._rules))
        with self.db.write(self.tenant) as session:
            remove_rule(session, self.tenant, gone)
        self._ruled({key: rule for key, rule in self._rules.items() if key != gone})

    def the_order_of_classifications(self, rng: Random) -> None:
        ordered = list(World.classifications)
        rng.shuffle(ordered)
        with self.db.write(self.tenant) as session:
            labels.set_classifications(session, self.tenant, ordered)
        self.world = replace(self.world, classifications=tuple(ordered))

    def _users(self, users: dict[str, WUser]) -> None:
        self.world = replace(self.world, users=users)

    def _ruled(self, rules: dict[str, WRule]) -> None:
        self._rules = rules
        self.world = replace(self.world, rules=tuple(rules.values()))

    def _source(self, key: str, **to: Any) -> None:
        new = replace(self.world.sources[key], **to)
        with self.db.write(self.tenant) as session:
            row = session.get_one(Source, self.built.sources[key])
            remember(session, self.tenant, "source", row, source_state(row))
            row.state, row.max_access_age_s = new.state, new.max_age
            if "crawled" in to:
                row.access_synced_at = self.clock.now
        self.world = replace(self.world, sources={**self.world.sources, key: new})

    def _without_members(self, gone: set[str]) -> None:
        world = self.world
        members = {group: _but(names, gone) for group, names in world.members.items()}
        fed = {group: {one: _but(names, gone) for one, names in stated.items()} for group, stated in world.fed.items()}
        self.world = replace(world, members=members, fed=fed)


def _but(names: Iterable[str], gone: set[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name.lower() not in gone)
