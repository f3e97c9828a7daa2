"""What a site's robots.txt allows us (RFC 9309)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

MAX_BYTES = 512 * 1024
MOST_DELAY_S = 30.0


@dataclass(frozen=True)
class Robots:
    """The rules that hold for one crawler.

    Attributes:
        rules: path patterns with whether they allow.
        delay_s: seconds to leave between requests.
        sitemaps: addresses of sitemaps it names.
    """

    rules: Sequence[tuple[bool, str]] = ()
    delay_s: float = 0.0
    sitemaps: Sequence[str] = ()

    def allows(self, path: str) -> bool:
        """Whether a path with its query may be read: the longest pattern decides, and allows where two are as long."""
        found = [(len(text), allow) for allow, text, match in self._patterns if match.match(path)]
        return max(found)[1] if found else True

    @cached_property
    def _patterns(self) -> list[tuple[bool, str, re.Pattern[str]]]:
        return [(allow, text, _pattern(text)) for allow, text in self.rules if text]


@dataclass
class _Group:
    agents: list[str] = field(default_factory=list)
    rules: list[tuple[bool, str]] = field(default_factory=list)
    delay_s: float = 0.0
    open: bool = True


def parse_robots(text: str, agent: str) -> Robots:
    """The rules of `text` for the crawler `agent`: those of its own groups, else those for everybody."""
    groups, sitemaps = _read(text)
    name = agent.lower()
    mine = [group for group in groups if name in group.agents] or [group for group in groups if "*" in group.agents]
    return Robots(
        [rule for group in mine for rule in group.rules],
        min(max((group.delay_s for group in mine), default=0.0), MOST_DELAY_S),
        sitemaps,
    )


def _read(text: str) -> tuple[list[_Group], list[str]]:
    groups: list[_Group] = []
    sitemaps: list[str] = []
    for line in text.lstrip("\ufeff").splitlines():
        key, colon, value = line.partition("#")[0].partition(":")
        key, value = key.strip().lower(), value.strip()
        if not colon:
            continue
        if key == "sitemap":
            sitemaps.append(value)
        elif key == "user-agent":
            if not groups or not groups[-1].open:
                groups.append(_Group())
            groups[-1].agents.append(value.lower().partition("/")[0])
        elif groups:
            _rule(groups[-1], key, value)
    return groups, sitemaps


def _rule(group: _Group, key: str, value: str) -> None:
    if key in ("allow", "disallow"):
        group.open = False
        group.rules.append((key == "allow", value))
    elif key == "crawl-delay":
        group.open = False
        group.delay_s = float(value) if re.fullmatch(r"\d+(\.\d+)?", value) else 0.0


def _pattern(text: str) -> re.Pattern[str]:
    """`*` stands for anything, a last `$` for the end."""
    end = text.endswith("$")
    body = ".*?".join(map(re.escape, re.sub(r"\*+", "*", text[:-1] if end else text).split("*")))
    return re.compile(body + (r"\Z" if end else ""), re.DOTALL)
