"""The crawl of a source's access data alone."""

from __future__ import annotations

from collections.abc import Iterator

from ingest.model import (
    AccessChange,
    Change,
    Checkpoint,
    Connector,
    Delete,
    JsonObject,
    PermissionConnector,
    Problem,
    SourceError,
    Upsert,
)


def tells_access(connector: Connector) -> bool:
    """Whether the connector has a crawl of its own for access data."""
    return isinstance(connector, PermissionConnector)


def crawl(connector: Connector, cursor: JsonObject | None) -> Iterator[Change]:
    """Access data since `cursor`, from the connector's own crawl, else from a whole listing of which the rest is left.

    Raises:
        SourceError: the source cannot be read, or its crawl sends what is no access data.
    """
    if isinstance(connector, PermissionConnector):
        for change in connector.permissions(cursor):
            if isinstance(change, (Upsert, Delete)):
                raise SourceError("the permission crawl sent an object; it may send access data alone")
            yield change
    else:
        yield from access_only(connector.changes(cursor))


def access_only(changes: Iterator[Change]) -> Iterator[Change]:
    """A listing as a permission crawl would send it."""
    for change in changes:
        if isinstance(change, Upsert):
            item = change.item
            yield AccessChange(item.id, item.node, item.version, item.access)
        elif isinstance(change, Checkpoint):
            yield Checkpoint(change.cursor, change.complete, full=False, access_complete=change.access_complete)
        elif not isinstance(change, Delete) and not (isinstance(change, Problem) and not _of_access(change)):
            yield change


def _of_access(problem: Problem) -> bool:
    return problem.code.startswith("access_")
