"""Evil files in a source, through the whole pipeline: each ends as it must, its neighbours are answered from, no
limit is passed and nobody is reached.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.settings import Settings
from ingest.model import Content, EmptyError, ItemError
from ingest.parsing import Limits
from ingest.parsing.limits import MIB
from ingest.parsing.sandbox import ParserPool, PoolSettings
from tests.factories import evil, files
from tests.factories.installation import Installation
from tests.factories.loopback import Listener

MEMORY_MB = 512
MARGIN = 32 * MIB
"""Pages that a process shares with others count for its peak, and not for its address space above its start."""
GOOD = 8


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path / "data", parse_memory_mb=MEMORY_MB, max_pages=1000, worker_threads=1, max_attempts=1)
    made.add_user("ana")
    yield made
    made.close()


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    with Listener(tmp_path) as made:
        yield made


def source(place: Installation, tmp_path: Path) -> Path:
    """A folder source that holds some good files."""
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(GOOD):
        (folder / f"good-{number}.txt").write_text(f"Duck number {number} swims.")
    place.add_folder(folder)
    return folder


def check_good(place: Installation) -> None:
    found = {passage.text for passage in place.search("ana", "duck swims", top_k=50)}
    assert found >= {f"Duck number {number} swims." for number in range(GOOD)}


def peak(pool: ParserPool) -> int:
    """Most bytes that a parser process had in memory above what it had at its start."""
    return max((_high_water(child.process.pid) - child.resident_at_start for child in pool._all), default=0)


def _high_water(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def outcomes(place: Installation, run: int) -> dict[str, str]:
    return {name: item.error_code or item.state for name, item in place.items(run).items()}


def test_each_ends_as_it_must_and_its_neighbours_are_unaffected(
    place: Installation, listener: Listener, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    folder = source(place, tmp_path)
    wanted = {f"good-{number}.txt": "done" for number in range(GOOD)}
    for name, (make, outcome) in evil.collection(listener.url, outside).items():
        (folder / name).write_bytes(make())
        wanted[name] = outcome
    run = place.sync()
    assert outcomes(place, run.id) == wanted
    assert run.state == "partial"
    check_good(place)
    assert listener.nobody_came()
    assert list(outside.iterdir()) == []
    assert not list(tmp_path.rglob("slip*.txt"))
    assert peak(place.runtime.pipeline.parsers) <= MEMORY_MB * MIB + MARGIN
    texts = " ".join(place.documents().values())
    assert "root:" not in texts
    assert "lollol" not in texts


def test_names_that_deceive_or_break(place: Installation, tmp_path: Path) -> None:
    folder = source(place, tmp_path)
    names = [
        "line\nbreak.txt",
        "\u202etxt.exe.txt",
        "-rf.txt",
        "tab\tand 'quotes\".txt",
        "é" * 120 + ".txt",
        "%2e%2e%2fup.txt",
        "a..txt",
        "\ud800".encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape") + ".txt",
        "CON.txt",
        "a.txt.",
        "🦆.txt",
    ]
    for name in names:
        (folder / name).write_text("A goose of its own.")
    run = place.sync()
    found = outcomes(place, run.id)
    assert len(found) == GOOD + len(names)
    told = [name for name, outcome in found.items() if outcome != "done"]
    assert len(told) <= 1, "only the name that is no text at all may fail"
    check_good(place)
    for item in place.items(run.id).values():
        (item.error_detail or "").encode("utf-8")


def test_a_name_with_a_nul_is_an_item_error_or_a_document() -> None:
    with ParserPool(Limits(), PoolSettings(processes=1)) as pool:
        assert pool.parse(Content(name="a\0b\n.txt", body=b"text")).title == "ab"


def test_zeros_are_refused_by_their_size_or_by_their_content(place: Installation, tmp_path: Path) -> None:
    folder = source(place, tmp_path)
    evil.zeros(folder / "zeros.txt", 1 << 30)
    evil.zeros(folder / "fewer-zeros.txt", 32 * MIB)
    found = outcomes(place, place.sync().id)
    assert found["zeros.txt"] == "file_too_large"
    assert found["fewer-zeros.txt"] == "type_unsupported"
    check_good(place)
    assert peak(place.runtime.pipeline.parsers) <= MEMORY_MB * MIB + MARGIN


WHOLE = (
    files.make_pdf([["# Heading", "Some text of the page"], ["Another page 1 2 3"]]),
    evil.many_pages(20),
    evil.calling_pdf("http://127.0.0.1:9"),
)

PDF_ENDS = {"done", "skipped", "file_broken", "file_encrypted", "too_many_pages", "parser_crashed"}


def mutate_pdfs(count: int, *, seed: int) -> None:
    """Every one parses or ends in an item error; none takes the pool, or the file after it, along."""
    limits = Limits(max_pages=100)
    with ParserPool(limits, PoolSettings(processes=1, memory=MEMORY_MB * MIB), timeout_s=30) as pool:
        for number in range(count):
            body = evil.mutated(WHOLE[number % len(WHOLE)], seed + number)
            assert ended(pool, Content(name=f"{number}.pdf", body=body)) in PDF_ENDS, number
            assert peak(pool) <= MEMORY_MB * MIB + MARGIN
        assert pool.parse(Content(name="a.txt", body=b"next")).elements[0].text == "next"


def test_malformed_pdfs() -> None:
    mutate_pdfs(150, seed=1)


@pytest.mark.full
@pytest.mark.timeout(1200)
def test_many_malformed_pdfs() -> None:
    mutate_pdfs(5000, seed=1_000_000)


@pytest.mark.full
@pytest.mark.timeout(1200)
def test_the_real_sizes(tmp_path: Path) -> None:
    """A gigabyte that limits would let in, a million blank rows, a gigabyte inside two kilobytes of PDF."""
    zeros = tmp_path / "zeros.txt"
    evil.zeros(zeros, 1 << 30)
    limits = Limits(max_bytes=2 << 30)
    with ParserPool(limits, PoolSettings(processes=1, memory=MEMORY_MB * MIB), timeout_s=300) as pool:
        for name, body, codes in (
            ("zeros.txt", zeros, {"parse_memory"}),
            ("blank.xlsx", evil.blank_rows(), {"done"}),
            ("stream.pdf", evil.stream_bomb(1024), {"skipped", "parse_memory", "parser_crashed"}),
            ("pages.pdf", evil.many_pages(1_000_000), {"too_many_pages"}),
            ("attached.eml", evil.many_attachments(100_000), {"done"}),
        ):
            assert ended(pool, Content(name=name, body=body)) in codes, name
            assert peak(pool) <= MEMORY_MB * MIB + MARGIN
            assert pool.parse(Content(name="a.txt", body=b"next")).elements[0].text == "next"


def ended(pool: ParserPool, content: Content) -> str:
    try:
        pool.parse(content)
    except EmptyError:
        return "skipped"
    except ItemError as error:
        return error.item_code
    return "done"


def test_the_limits_of_the_settings_are_those_of_the_parsers(place: Installation) -> None:
    assert Settings(_env_file=None).max_file_mb * MIB == Limits().max_bytes
    assert place.runtime.pipeline.parsers._settings.memory == MEMORY_MB * MIB
