"""A document to chunks: structure first, then size."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from embed.encoders.base import Tokenizer
from embed.encoders.room import CONTEXT_TOKENS
from ingest.model import ChunkDraft, ElementKind, Parsed
from ingest.splitting.naming import told
from ingest.splitting.packing import pack, render
from ingest.splitting.units import Unit, build_units, count, weight_of

SEPARATOR = " > "


def split(
    parsed: Parsed,
    tokenizer: Tokenizer,
    *,
    max_tokens: int = 200,
    context_tokens: int = CONTEXT_TOKENS,
    name: str = "",
    previous: Collection[str] = (),
) -> list[ChunkDraft]:
    """The document's chunks in reading order; nothing is lost and nothing overlaps but repeated table headers.

    Args:
        parsed: the document.
        tokenizer: counts as the encoder does.
        max_tokens: most tokens of a chunk's text.
        context_tokens: most tokens of a chunk's context, its name, title and headings.
        name: the file's, which often says what its title does not: whose it is, and of which year.
        previous: texts of the chunks of the version before. Those that still can stand do, so that an edited paragraph
            changes one or two chunks however long the document is.
    """
    units = build_units(parsed, tokenizer, max_tokens)
    runs = [list(units[start:end]) for start, end in pack(units, max_tokens, previous)]
    fitted = _fitted(runs, tokenizer, max_tokens)
    title = told(name, parsed.title)
    contexts = _contexts(title, {path for _, _, path, _ in fitted}, tokenizer, context_tokens)
    return [
        ChunkDraft(contexts[path], text, tokens, SEPARATOR.join(path), run[0].section.page, _kind(run))
        for run, text, path, tokens in fitted
    ]


Fitted = tuple[list[Unit], str, tuple[str, ...], int]


def _fitted(runs: Iterable[list[Unit]], tokenizer: Tokenizer, size: int) -> list[Fitted]:
    """Each run with its text, path and true count; halved as long as a tokenizer counts more than its parts say."""
    todo = list(runs)
    done: list[Fitted] = []
    while todo:
        rendered = [render(run) for run in todo]
        counts = count(tokenizer, [text for text, _ in rendered])
        todo_next: list[list[Unit]] = []
        passed: list[Fitted | None] = []
        for run, (text, path), tokens in zip(todo, rendered, counts, strict=True):
            if tokens <= size or (len(run) == 1 and len(run[0].text) <= 1):
                passed.append((run, text, path, tokens))
            else:
                passed.append(None)
                todo_next.append(run)
        if not todo_next:
            done.extend(item for item in passed if item is not None)
            break
        todo = [half for run, item in zip(todo, passed, strict=True) for half in ([run] if item else _halves(run))]
    return done


def _halves(run: list[Unit]) -> list[list[Unit]]:
    """Two runs that together hold what one did."""
    if len(run) > 1:
        return [run[: len(run) // 2], run[len(run) // 2 :]]
    unit, middle = run[0], len(run[0].text) // 2
    space = unit.text.rfind(" ", 1, middle + 1)
    at = space if space > 0 else middle
    parts = [unit.text[:at].rstrip(), unit.text[at:].lstrip()]
    return [[Unit(part, unit.section, unit.kind)] for part in parts if part]


def _contexts(
    title: str, paths: Iterable[tuple[str, ...]], tokenizer: Tokenizer, size: int
) -> dict[tuple[str, ...], str]:
    """The context of each path, counted in one call; the few that are too long are shortened one by one."""
    known = list(paths)
    texts = [_joined(_parts(title, path)) for path in known]
    counts = count(tokenizer, texts)
    return {
        path: text if weight_of(text, tokens) <= size else _shortened(_parts(title, path), tokenizer, size)
        for path, text, tokens in zip(known, texts, counts, strict=True)
    }


def _parts(title: str, path: Sequence[str]) -> list[str]:
    """Title and headings; the title once where the first heading repeats it."""
    if path and path[0].casefold() == title.casefold():
        return list(path)
    return [title, *path] if title else list(path)


def _joined(parts: Sequence[str]) -> str:
    return SEPARATOR.join(parts)


def _shortened(parts: list[str], tokenizer: Tokenizer, size: int) -> str:
    """Headings between the title and the innermost go first, then the end of what is left."""
    while len(parts) > 2 and tokenizer.count([_joined(parts)])[0] > size:
        del parts[1]
    text = _joined(parts)
    if tokenizer.count([text])[0] > size:
        text = text[: tokenizer.offsets(text)[size][0]]
    return text[: size * 20].rstrip().removesuffix(">").rstrip()


def _kind(run: Sequence[Unit]) -> ElementKind:
    """The kind of all units, else text."""
    kinds = {unit.kind for unit in run}
    return kinds.pop() if len(kinds) == 1 else "text"
