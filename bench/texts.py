"""Generated documents: English-like pages, the same for the same seed."""

from __future__ import annotations

import random
from pathlib import Path

SUBJECTS = (
    "the calibration team", "our northern warehouse", "the quarterly audit", "a senior engineer", "the supplier",
    "every regional office", "the migration plan", "this maintenance window", "the review board", "a new customer",
)  # fmt: skip
VERBS = (
    "reviewed", "postponed", "approved", "documented", "measured", "replaced", "explained", "rejected", "compared",
    "repaired", "scheduled", "inspected",
)  # fmt: skip
OBJECTS = (
    "the pressure sensor readings", "an updated travel policy", "the invoice for the second delivery",
    "the backup of the telemetry database", "a list of open incidents", "the draft of the framework agreement",
    "the training plan for new colleagues", "several spare parts from the old line", "the forecast for the next year",
    "the access rights of the shared folder", "a report about the failed gateway", "the minutes of the last meeting",
)  # fmt: skip
TAILS = (
    "before the end of the month", "because the figures did not agree", "after a long discussion with finance",
    "although nobody had asked for it", "so that the release could go ahead", "while the system was offline",
    "in the hope of saving some money", "and wrote the result into the register", "as the contract demands",
)  # fmt: skip


def sentence(chance: random.Random) -> str:
    """One sentence, with a number now and then."""
    words = [chance.choice(SUBJECTS), chance.choice(VERBS), chance.choice(OBJECTS), chance.choice(TAILS)]
    if chance.random() < 0.4:
        words.insert(3, f"({chance.randint(2, 9800)} units, order {chance.randint(10000, 99999)})")
    text = " ".join(words)
    return text[0].upper() + text[1:] + "."


def page(chance: random.Random, *, words: int = 420) -> str:
    """About one printed page: a title and paragraphs of three to seven sentences."""
    paragraphs: list[str] = []
    count = 0
    while count < words:
        paragraph = " ".join(sentence(chance) for _ in range(chance.randint(3, 7)))
        paragraphs.append(paragraph)
        count += len(paragraph.split())
    return "\n\n".join(paragraphs) + "\n"


def manual(chance: random.Random, *, sections: int, words: int = 420) -> str:
    """A Markdown document with headings, about a page of text below each."""
    title = f"# {sentence(chance)[:60]}\n"
    pages = (
        f"## {n + 1} {chance.choice(OBJECTS).capitalize()}\n\n{page(chance, words=words)}" for n in range(sections)
    )
    return "\n".join([title, *pages])


def write_manuals(folder: Path, count: int, *, sections: int, seed: int = 7) -> None:
    """`count` Markdown documents of that many sections, of three to four chunks each."""
    chance = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"manual-{number:04d}.md").write_text(manual(chance, sections=sections), encoding="utf-8")


def write_pages(folder: Path, count: int, *, seed: int = 7, words: int = 420) -> None:
    """`count` one-page text files in subfolders of a hundred."""
    chance = random.Random(seed)
    for number in range(count):
        path = folder / f"{number // 100:03d}" / f"page-{number:05d}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page(chance, words=words), encoding="utf-8")


def questions(count: int, *, seed: int = 5) -> list[str]:
    """Questions in the words of the corpus."""
    chance = random.Random(seed)
    return [" ".join(sentence(chance).split()[:9]) + "?" for _ in range(count)]
