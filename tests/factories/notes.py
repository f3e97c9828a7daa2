"""A folder of notes that change, and a reader who questions every answer about them while they do."""

from __future__ import annotations

import random
import re
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import httpx

PARTS = 3
_TEXT = re.compile(r"n(?P<number>\d{3})x part (?P<part>\d) (?P<revision>\d+|as ever)")
_WORDS = "which goes on for a while so that no two of these paragraphs fit into one chunk together."


class Notes:
    """Notes by number, each of three paragraphs: the first and the last name its revision, the second never changes.

    The first `coming` of them come and go; the others are only edited.
    """

    def __init__(self, folder: Path, count: int, *, coming: int = 5) -> None:
        self.folder, self.count, self.coming = folder, count, coming
        self.revisions = dict.fromkeys(range(count), 0)
        folder.mkdir(exist_ok=True)
        for number in range(count):
            self.write(number)

    def path(self, number: int) -> Path:
        return self.folder / f"{number % 7}" / f"note-{number:03d}.txt"

    def write(self, number: int) -> None:
        """The next revision; in one step, as an editor saves."""
        self.revisions[number] += 1
        revision = self.revisions[number]
        path = self.path(number)
        path.parent.mkdir(exist_ok=True)
        draft = path.with_name(f".{path.name}.new")
        draft.write_text("\n\n".join(self.paragraphs(number, revision)))
        draft.replace(path)

    @staticmethod
    def paragraphs(number: int, revision: int) -> list[str]:
        told = [str(revision), "as ever", str(revision)]
        return [f"n{number:03d}x part {part} {what} {_WORDS}" for part, what in enumerate(told, start=1)]

    def change(self, chance: random.Random, edits: int) -> None:
        """Edits some; of those that come and go, lets one go and one come."""
        for number in chance.sample(range(self.coming, self.count), edits):
            self.write(number)
        if self.coming:
            self.path(chance.randrange(self.coming)).unlink(missing_ok=True)
            self.write(chance.randrange(self.coming))

    def truth(self) -> dict[str, str]:
        """What the source holds: text by external id."""
        found = self.folder.rglob("note-*.txt")
        return {str(path.relative_to(self.folder)): path.read_text() for path in found}


class Reader:
    """Asks about one note after another over HTTP, and notes every answer that is a mixture, a gap or a step back.

    A server that is away, or that says it cannot answer now, gives no answer and so no wrong one; both are counted.
    """

    def __init__(self, url: str, key: str, notes: Notes, *, refused: tuple[int, ...] = (503,)) -> None:
        self.refused = refused
        self.notes, self.answers, self.unanswered = notes, 0, 0
        self.wrong: list[str] = []
        self.seen: dict[int, int] = defaultdict(int)
        self._stop = threading.Event()
        headers = {"Authorization": f"Bearer {key}", "X-Ambit-User": "ana"}
        self._client = httpx.Client(base_url=url, headers=headers, timeout=20, trust_env=False)
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)
        self._client.close()

    def check(self, least: int) -> None:
        """No answer was wrong, and there were enough of them for that to mean something."""
        assert not self.wrong, self.wrong[:5]
        assert self.answers >= least, f"{self.answers} answers, {self.unanswered} without"

    def _run(self) -> None:
        chance = random.Random(7)
        while not self._stop.is_set():
            self._ask(chance.randrange(self.notes.count))
            self._stop.wait(0.01)

    def _ask(self, number: int) -> None:
        try:
            body = {"query": f"n{number:03d}x part", "top_k": 20}
            answer = self._client.post("/v1/retrieve", json=body)
        except httpx.TransportError:
            self.unanswered += 1
            time.sleep(0.05)
            return
        if answer.status_code in self.refused:
            self.unanswered += 1
            return
        if answer.status_code != 200:
            self.wrong.append(f"status {answer.status_code}: {answer.text[:200]}")
            return
        self.answers += 1
        self._judge(number, answer.json()["results"])

    def _judge(self, asked: int, results: Iterable[dict[str, Any]]) -> None:
        parts: dict[int, list[str]] = defaultdict(list)
        revisions: dict[int, set[int]] = defaultdict(set)
        for result in results:
            found = _TEXT.match(result["text"])
            if found is None:
                self.wrong.append(f"no text of ours: {result['text'][:80]}")
                continue
            number = int(found["number"])
            parts[number].append(found["part"])
            if found["revision"] != "as ever":
                revisions[number].add(int(found["revision"]))
        for number, told in revisions.items():
            if len(told) > 1:
                self.wrong.append(f"note {number} is a mixture of revisions {sorted(told)}")
            self._in_order(number, max(told))
        self._whole(asked, sorted(parts[asked]))

    def _in_order(self, number: int, revision: int) -> None:
        if revision < self.seen[number]:
            self.wrong.append(f"note {number} went back from {self.seen[number]} to {revision}")
        if revision > self.notes.revisions[number]:
            self.wrong.append(f"note {number} has no revision {revision} yet")
        self.seen[number] = revision

    def _whole(self, number: int, parts: list[str]) -> None:
        whole = [str(part) for part in range(1, PARTS + 1)]
        gone = number < self.notes.coming and not parts
        if parts != whole and not gone:
            self.wrong.append(f"note {number} was answered with parts {parts}")
