"""What a reply quotes below its own text: each earlier mail of the thread, with the line that says who wrote it.

Quotes between lines of the reply itself stay where they are: there a question stands with its answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ingest.model import Element

EARLIER = "Earlier"
"""What the heading of an earlier mail begins with."""
LOOKED_AHEAD = 3
"""Lines over which the line that says who wrote may be wrapped."""
ATTRIBUTION_MOST = 300
"""Its most characters."""

_MARKS = re.compile(r"(?:>[ \t]?)+")
_WROTE = re.compile(
    r"(?:On|Am|Le|El|Il|Op|Em)\s.+\s(?:wrote|schrieb|a écrit|escribió|ha scritto|schreef|escreveu)\b.*:",
    re.IGNORECASE | re.DOTALL,
)
_ORIGINAL = re.compile(
    r"-{2,}\s*(?:original message|forwarded message|urspr(?:ü|ue)ngliche nachricht|weitergeleitete nachricht"
    r"|message d'origine|mensaje original)\s*-{2,}",
    re.IGNORECASE,
)
_FROM = re.compile(r"\*?(?:From|Von|De|Da)\s?:\*?\s*\S", re.IGNORECASE)
_SENT = re.compile(r"\*?(?:Sent|Date|Gesendet|Datum|Envoyé|Enviado|Inviato)\s?:\*?\s*\S", re.IGNORECASE)


@dataclass(slots=True)
class Earlier:
    """One mail that is quoted: who wrote it and when, as far as the quote says, and its text."""

    told: str
    lines: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Without the marks of quoting."""
        return "\n".join(self.lines).strip()


def unquoted(text: str) -> tuple[str, list[Earlier]]:
    """A mail's own text, and the earlier mails that it quotes below it, the latest first."""
    lines = text.replace("\r\n", "\n").split("\n")
    start = _history(lines)
    own = "\n".join(lines[:start]).strip()
    if start == len(lines) or not own:
        return text, []
    return own, [one for one in _mails(lines[start:]) if one.text]


def divided(elements: Sequence[Element], depths: Sequence[int]) -> list[Element]:
    """The elements of a mail, each earlier mail that it quotes below its own text under a heading.

    Args:
        depths: in how many quotes each element stands.
    """
    lines = [line for one, depth in zip(elements, depths, strict=True) for line in _marked(one, depth)]
    start = _history(lines)
    if start == len(lines) or not any(line.strip() for line in lines[:start]):
        return list(elements)
    found, index = [], 0
    for one, depth in zip(elements, depths, strict=True):
        count = len(_marked(one, depth))
        found += _parted(one, lines, range(index, index + count), start)
        index += count
    return [one for one, after in zip(found, [*found[1:], None], strict=True) if not _is_empty(one, after)]


def _marked(one: Element, depth: int) -> list[str]:
    """An element as lines of a mail in plain text; what is no paragraph is one line, since it is never parted."""
    lines = one.text.split("\n") if one.kind == "text" else [" ".join(one.text.split("\n", 1)[:1])]
    mark = "> " if depth else ""  # how deep makes no difference here, and could be made very deep
    return [mark + line for line in lines]


def _parted(one: Element, lines: Sequence[str], indices: range, start: int) -> list[Element]:
    """An element, in two or more where an earlier mail begins in it."""
    if indices.stop <= start:
        return [one]
    opening = [Element("heading", EARLIER, level=1)] if start in indices and not _opens(lines, start) else []
    if one.kind != "text":
        return [*opening, replace(one, level=min(one.level + 1, 6)) if one.kind == "heading" else one]
    found, told = opening, 0
    for index in indices:
        count = _opens(lines, index) if index >= start else 0
        if count:
            said = " ".join(map(_bare, lines[index : index + count])).rstrip(":")
            found.append(Element("heading", EARLIER if _ORIGINAL.match(said) else f"{EARLIER}: {said}", level=1))
            told = index + count - (1 if _FROM.match(_bare(lines[index])) else 0)
        if index < told:
            continue
        text = _bare(lines[index])
        if found and found[-1].kind == "text":
            found[-1] = replace(found[-1], text=f"{found[-1].text}\n{text}")
        elif text:
            found.append(replace(one, text=text))
    return found


def _is_empty(one: Element, after: Element | None) -> bool:
    """Whether a heading of an earlier mail has another right after it, which says more."""
    headings = one.kind == "heading" and after is not None and after.kind == "heading"
    return headings and one.text == EARLIER and after is not None and after.text.startswith(f"{EARLIER}: ")


def _history(lines: Sequence[str]) -> int:
    """Index of the line from which all that follows is quoted."""
    marked, plain = _since(lines, marked=True), _since(lines, marked=False)
    for index in range(len(lines)):
        count = _opens(lines, index)
        # a quote that the reply takes up again stays in it; one without marks never is taken up
        if count and (not _wrote(lines, index) or index + count >= min(marked, plain)):
            return index
    return marked if any(line.startswith(">") for line in lines[marked:]) else len(lines)


def _since(lines: Sequence[str], *, marked: bool) -> int:
    """Index from which every line that says something is marked as quoted, or none is."""
    start = len(lines)
    while start and (not lines[start - 1].strip() or lines[start - 1].startswith(">") == marked):
        start -= 1
    return start


def _opens(lines: Sequence[str], index: int) -> int:
    """How many lines from `index` on say that an earlier mail follows; 0: none."""
    line = _bare(lines[index])
    if _ORIGINAL.match(line):
        return 1
    if _FROM.match(line) and any(_SENT.match(_bare(one)) for one in lines[index + 1 : index + 1 + LOOKED_AHEAD]):
        return 1
    return _wrote(lines, index)


def _wrote(lines: Sequence[str], index: int) -> int:
    """Lines of an "On … wrote:" that begins at `index`."""
    for count in range(1, LOOKED_AHEAD + 1):
        told = " ".join(map(_bare, lines[index : index + count]))
        if len(told) > ATTRIBUTION_MOST or not told.strip():
            return 0
        if _WROTE.fullmatch(told):
            return count
    return 0


def _mails(lines: Sequence[str]) -> list[Earlier]:
    found: list[Earlier] = []
    index = 0
    while index < len(lines):
        count = _opens(lines, index)
        if count:
            told = " ".join(map(_bare, lines[index : index + count]))
            found.append(Earlier("" if _ORIGINAL.match(told) else told.rstrip(":")))
        elif not found:
            found.append(Earlier(""))
        if _FROM.match(_bare(lines[index])) or not count:
            found[-1].lines.append(_bare(lines[index]))
        index += max(count, 1)
    return found


def _bare(line: str) -> str:
    """A line without the marks of quoting."""
    marks = _MARKS.match(line)
    return line[marks.end() :].strip() if marks else line.rstrip()
