"""The text around a passage in its document's current version, up to a budget.

Read in the re-check's own snapshot and only for documents it let through; a chunk's rights are its document's, so
what stands beside a readable passage is readable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from core.tables import Chunk, VersionChunk
from retrieve.shaping import Candidate

REACH = 8
"""Chunks looked at on either side."""
_JOINT = "\n\n"

Around = dict[tuple[int, int], tuple[str, int]]
"""Text and tokens by version and position."""


def widen(session: Session, tenant: int, chosen: Sequence[Candidate], budget: int) -> list[Candidate]:
    """Each passage joined with its neighbours while it stays within `budget` tokens; no text is shown twice."""
    wanted = [one for one in chosen if one.tokens < budget]
    if not wanted:
        return list(chosen)
    around = _around(session, tenant, wanted)
    for one in chosen:
        around.pop((one.version, one.passage.position), None)
    return [_widened(one, around, budget) for one in chosen]


def _around(session: Session, tenant: int, chosen: Sequence[Candidate]) -> Around:
    near = or_(
        *(
            and_(
                VersionChunk.version_id == one.version,
                VersionChunk.position.between(one.passage.position - REACH, one.passage.position + REACH),
            )
            for one in chosen
        )
    )
    statement = (
        select(VersionChunk.version_id, VersionChunk.position, Chunk.text, Chunk.tokens)
        .join(Chunk, Chunk.id == VersionChunk.chunk_id)
        .where(Chunk.tenant_id == tenant, near)
    )
    return {(version, position): (text, tokens) for version, position, text, tokens in session.execute(statement)}


def _widened(one: Candidate, around: Around, budget: int) -> Candidate:
    """Grows by what follows, then by what stands before, in turn, until neither fits. What it takes is gone."""
    after, before = one.passage.position, one.passage.position
    texts, tokens = [one.passage.text], one.tokens
    grew = True
    while grew:
        grew = False
        for step in (1, -1):
            at = (one.version, after + 1 if step > 0 else before - 1)
            if at not in around or tokens + around[at][1] > budget:
                continue
            text, more = around.pop(at)
            texts.insert(len(texts) if step > 0 else 0, text)
            tokens, grew = tokens + more, True
            after, before = max(after, at[1]), min(before, at[1])
    return replace(one, passage=replace(one.passage, text=_JOINT.join(texts)), tokens=tokens)
