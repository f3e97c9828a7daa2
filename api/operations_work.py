"""Changes of keys, and of the work of sources: syncs begun, runs steered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy.orm import Session

from api import keys, sources
from api.declare.shapes import ADMIN_APP
from api.directory import key_members, key_views
from api.needs import over
from api.operation import Args, Changed, Doing, Need, Operation
from api.push import refuse_overtaken
from api.schemas.directory import NewKeyView
from api.schemas.runs import RunView
from core.tables import Run, Source
from ingest import runs
from policies.grants import FIRST, grant_bodies

Act = Callable[[Session, Run, Args], int]


def run_view(session: Session, run: Run) -> RunView:
    """The run as it stands, once what changed it is written."""
    session.flush()
    session.refresh(run)
    key = session.get_one(Source, run.source_id).key
    return RunView.of(run, key, runs.counts(session, [run.id])[run.id])


def _create_key(doing: Doing, args: Args) -> Changed:
    """At the machine itself a key of the first app that administers is also the way back for who is locked out."""
    body, expires = args["body"], args["body"].get("expires_at")
    app, rights = body["app"], body["rights"]
    noted: dict[str, Any] = {}
    if doing.actor.trusted and app == ADMIN_APP and "admin" in rights:
        grant = grant_bodies(doing.session, doing.tenant).get(FIRST)
        if keys.restore(doing.session, doing.tenant):
            noted = {"restored": {"before": grant, "after": grant_bodies(doing.session, doing.tenant)[FIRST]}}
    ends = datetime.fromisoformat(expires) if expires else None
    row, key = keys.create(doing.session, doing.runtime.keyring, doing.tenant, app, rights, expires_at=ends)
    doing.session.refresh(row)
    told = NewKeyView(**key_members(row, app), key=key)
    after = told.model_dump(mode="json", exclude={"key"})
    return Changed("admin.key.create", {"made": row.prefix, **noted}, None, after, told)


def _revoke_key(doing: Doing, args: Args) -> Changed:
    (before,) = key_views(doing.session, [keys.find(doing.session, doing.tenant, args["prefix"])])
    (after,) = key_views(doing.session, [keys.revoke(doing.session, doing.tenant, args["prefix"])])
    kind = "admin.key.revoke" if before != after else ""
    told = (before.model_dump(mode="json"), after.model_dump(mode="json"))
    return Changed(kind, {"made": args["prefix"]}, *told, after)


def _of_key(doing: Doing, args: Args) -> Iterable[Need]:
    return [("key.write", f"app:{keys.app_of(doing.session, doing.tenant, args['prefix']) or '*'}")]


def _steer(verb: str, act: Act) -> Operation:
    """What is done to one run, named by its public id."""

    def do(doing: Doing, args: Args) -> Changed:
        run = runs.find_run(doing.session, doing.tenant, args["run"])
        before = _standing(doing.session, run)
        count = act(doing.session, run, args)
        view = run_view(doing.session, run)
        told = {"run": view.model_dump(mode="json"), "count": count}
        about = {"run": run.public_id, "source": view.source, "count": count}
        about |= {"reason": args["reason"]} if args.get("reason") else {}
        return Changed(f"admin.run.{verb}", about, before, _standing(doing.session, run), told)

    return Operation(do, _of_run, reading=False)


def _of_run(doing: Doing, args: Args) -> Iterable[Need]:
    run = runs.find_run(doing.session, doing.tenant, args["run"])
    return [("source.sync", f"source:{doing.session.get_one(Source, run.source_id).key}")]


def _standing(session: Session, run: Run) -> dict[str, Any]:
    """What of a run somebody may change."""
    counts = runs.counts(session, [run.id])[run.id]
    return {"state": run.state, "held_for": run.held_for, "items": counts, "widened": run.widened}


def _retry(session: Session, run: Run, args: Args) -> int:
    refuse_overtaken(session, run)
    return runs.retry(session, run, item=args.get("item"), code=args.get("code"))


def _quietly(act: Callable[[Session, Run], None]) -> Act:
    def done(session: Session, run: Run, _: Args) -> int:
        act(session, run)
        return 0

    return done


def _reject(session: Session, run: Run, args: Args) -> int:
    runs.reject(session, run, args.get("reason", ""))
    return 0


def _sync(doing: Doing, args: Args) -> Changed:
    row = sources.find(doing.session, doing.tenant, args["key"])
    run = runs.start_run(doing.session, row, kind=args["kind"])
    told = run_view(doing.session, run).model_dump(mode="json")
    about = {"source": row.key, "run": run.public_id}
    return Changed("admin.source.sync", about, None, {"kind": run.kind, "state": run.state}, told)


def _retry_source(doing: Doing, args: Args) -> Changed:
    row = sources.find(doing.session, doing.tenant, args["key"])
    count = runs.retry_source(doing.session, row, code=args.get("code"))
    before, after = {"failed": count}, {"pending": count}
    return Changed("admin.source.retry", {"source": row.key, "code": args.get("code")}, before, after, count)


_SYNC = over("source.sync", "source")
WORK: Mapping[str, Operation] = MappingProxyType(
    {
        "key.create": Operation(
            _create_key, lambda _, args: [("key.write", f"app:{args['body']['app']}")], reading=False
        ),
        "key.revoke": Operation(_revoke_key, _of_key, reading=False),
        "run.approve": _steer("approve", lambda session, run, _: runs.approve(session, run)),
        "run.cancel": _steer("cancel", _quietly(runs.cancel)),
        "run.pause": _steer("pause", _quietly(runs.pause)),
        "run.reject": _steer("reject", _reject),
        "run.resume": _steer("resume", _quietly(runs.resume)),
        "run.retry": _steer("retry", _retry),
        "source.retry": Operation(_retry_source, _SYNC, reading=False),
        "source.sync": Operation(_sync, _SYNC, reading=False),
    }
)
