"""What `ambit doctor` tries of token issuers and directories."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from cli.checks import Finding

if TYPE_CHECKING:
    from api.runtime import Runtime

Guard = Callable[[str, Callable[[], Finding], str], Finding]


def issuers(runtime: Runtime, guard: Guard) -> Iterator[Finding]:
    """Every issuer's keys can be had."""
    for one in runtime.settings.oidc:

        def check(url: str = one.issuer) -> Finding:
            return Finding(f"issuer {url}", "ok", f"{runtime.tokens.reach(url)} keys")

        mend = "mend its table in ambit.toml, or let outbound_allow hold its name"
        yield guard(f"issuer {one.issuer}", check, mend)


def directories(runtime: Runtime, guard: Guard) -> Iterator[Finding]:
    """Every directory can be read, and what it brought is not too old."""
    from api.directory_copies import directory_views
    from ingest.directories.sync import check_directory
    from policies.directory import tenant_id

    with runtime.db.read() as session:
        tenant = tenant_id(session, runtime.settings.tenant)
        views = directory_views(session, tenant)
    for one in views:
        name = f"directory {one['id']}"
        if not one["access"]["fresh"]:
            mend = f"`ambit directories sync {one['id']}`, and see that a worker keeps its schedule"
            yield Finding(name, "fail", "its data is too old, so it gives nothing", mend)

        def check(key: str = one["id"], name: str = name) -> Finding:
            found = check_directory(runtime.pipeline.directories, tenant, key)
            return Finding(name, "ok", f"{found['users']} users and {found['groups']} groups")

        yield guard(name, check, "mend what is named in its YAML document, then `ambit apply`")
