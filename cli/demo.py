"""The demo: a small company is ingested, asked, and loses a right. `python -m cli.demo`; exit status 0 if all held."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.context import Context, guarded

if TYPE_CHECKING:
    from cli.counting import CountingIndex
    from cli.demo_script import Expected, Script, Told
    from cli.store import Store

COMPANY = Path(__file__).resolve().parent.parent / "examples" / "company"


def run(context: Context) -> int:
    """Plays the whole demo; 0 only if every answer was as `demo.yaml` says and the right was gone at once."""
    from cli.demo_script import read_script
    from cli.memory import PeakMemory
    from core.errors import NotFoundError

    if not (COMPANY / "demo.yaml").is_file():
        raise NotFoundError(f"{COMPANY} is not there; the demo needs the project's folder, not only the package")
    began = time.perf_counter()
    with PeakMemory() as memory, tempfile.TemporaryDirectory(prefix="ambit-demo-") as folder:
        demo = _Demo(context, read_script(COMPANY / "demo.yaml"))
        demo.play(Path(folder) / "data")
    return demo.end(time.perf_counter() - began, memory.peak_mb)


class _Demo:
    """Collects what happened and what did not hold."""

    def __init__(self, context: Context, script: Script) -> None:
        self._context, self._script = context, script
        self._out = context.out
        self._faults: list[str] = []
        self._data: dict[str, Any] = {"answers": []}

    def play(self, data_dir: Path) -> None:
        """Everything, in a fresh folder."""
        from api.runtime import Runtime
        from cli.configuration import embedded_settings
        from cli.counting import CountingIndex
        from cli.store import Store, log_little
        from ingest.runner import Runner

        settings = embedded_settings(data_dir)
        log_little(settings)
        runtime = Runtime(settings)
        try:
            store = Store(runtime, runtime.prepare())
            self._apply(store)
            counting = CountingIndex.around(runtime.stack)
            runtime.stack.warm_up(weights=False)
            runner = Runner(runtime.pipeline)
            runner.start()
            try:
                self._ingest(store, counting)
                self._questions(store)
                self._revoke(store, counting)
            finally:
                runner.stop()
        finally:
            runtime.close()

    def end(self, seconds: float, peak_mb: float) -> int:
        """The summary; returns the exit status."""
        held = not self._faults
        self._data |= {"held": held, "faults": self._faults, "seconds": round(seconds, 2), "peak_mb": round(peak_mb)}
        self._heading("Summary")
        for fault in self._faults:
            self._say(f"did not hold: {fault}", "red")
        if held:
            self._say(f"All {len(self._data['answers'])} answers and the taken right were as they should be.", "green")
        self._say(f"{seconds:.1f} s, at most {peak_mb:.0f} MiB of memory with all child processes", "dim")
        self._context.emit(self._data, lambda out: None)
        return 0 if held else 1

    def _apply(self, store: Store) -> None:
        from api import declare

        began = time.perf_counter()
        with store.db.write() as session:
            declared = declare.load(COMPANY)
            done = declare.apply(session, store.tenant, declared, audit=store.runtime.audit)
        kinds = {kind: sum(one.kind == kind for one in done) for kind in dict.fromkeys(one.kind for one in done)}
        told = ", ".join(f"{number} {kind.lower()}{'' if number == 1 else 's'}" for kind, number in kinds.items())
        self._heading("A company")
        self._say(f"{COMPANY}: {told}, applied in {_ms(began)}")

    def _ingest(self, store: Store, counting: CountingIndex) -> None:
        from cli.progress import follow
        from cli.report import report, told
        from cli.sync import all_names, start

        began = time.perf_counter()
        runs = start(store, all_names(store))
        follow(self._context, store, runs, title="Ingesting")
        with store.db.read() as session:
            reports = report(session, runs)
        seconds = time.perf_counter() - began
        for one in reports:
            self._say(f"{one.source}: {one.state} {told(one)}")
            if one.state != "succeeded":
                self._faults.append(f"the sync of {one.source} is {one.state}: {one.error_detail or one.items[:3]}")
        documents = sum(one.counts.get("done", 0) for one in reports)
        self._say(f"{documents} documents, {counting.vectors} vectors written in {seconds:.1f} s", "dim")
        self._data["ingest"] = {"documents": documents, "vectors": counting.vectors, "seconds": round(seconds, 2)}

    def _questions(self, store: Store) -> None:
        for text, expected in self._script.questions:
            self._heading(text)
            for who in self._script.people:
                self._check(store, who, text, expected[who])

    def _revoke(self, store: Store, counting: CountingIndex) -> None:
        from cli.groups import change_membership

        revoke = self._script.revoke
        text = self._script.questions[revoke.question][0]
        self._heading(f"{revoke.user} leaves {revoke.group}, and asks again: {text}")
        vectors, touched = counting.vectors, counting.touched
        began = time.perf_counter()
        changed = change_membership(store, revoke.group, f"user:{revoke.user}", joined=False)
        took = _ms(began)
        if not changed:
            self._faults.append(f"{revoke.user} was not in {revoke.group}")
        told = self._check(store, revoke.user, text, revoke.then)
        if revoke.hides in told.read:
            self._faults.append(f"{revoke.hides} was still found after the right was taken")
        vectors, touched = counting.vectors - vectors, counting.touched - touched
        if vectors or touched:
            self._faults.append(f"taking the right wrote {vectors} vectors and touched {touched} points")
        self._say(f"taken in {took}; vectors rewritten: {vectors}, points touched: {touched}", "bold")
        self._data["revoke"] = {"hidden": revoke.hides not in told.read, "vectors_rewritten": vectors}
        self._data["revoke"]["points_touched"] = touched

    def _check(self, store: Store, who: str, text: str, expected: Expected) -> Told:
        """Asks as one person, shows the answer, and holds it against what is expected."""
        from cli.ask import show_answer
        from cli.asking import Asked, answer
        from cli.demo_script import faults

        told = _with_paths(store, answer(store.runtime, store.tenant, Asked(text, who)))
        wrong = faults(told, expected)
        self._faults += [f"{who}, {text!r}: {one}" for one in wrong]
        self._say(f"{who}:", "bold red" if wrong else "bold")
        show_answer(self._out, told.answer)
        paths = list(dict.fromkeys(path for path, _ in told.cited))
        self._say(f"  answered from: {', '.join(paths) or 'nothing, and no model was called'}", "dim")
        kept = {name: told.answer[name] for name in ("user", "answer", "model", "took_ms")}
        self._data["answers"].append({**kept, "question": text, "from": paths, "faults": wrong})
        return told

    def _heading(self, text: str) -> None:
        self._say("")
        self._say(text, "bold blue")

    def _say(self, text: str, style: str = "") -> None:
        from rich.text import Text

        self._out.print(Text(text, style=style))


def _with_paths(store: Store, answer: dict[str, Any]) -> Told:
    """The answer with the place in its source of every document that it names."""
    from sqlalchemy import select

    from cli.demo_script import Told
    from core.tables import Document

    names = {one["document_id"] for one in [*answer["citations"], *answer["passages"]]}
    with store.db.read() as session:
        rows = session.execute(select(Document.public_id, Document.external_id).where(Document.public_id.in_(names)))
        paths = {public: external for public, external in rows}  # noqa: C416 - rows are not pairs to a type checker
    cited = tuple((paths[one["document_id"]], one["text"]) for one in answer["citations"])
    return Told(answer, cited, frozenset(paths[one["document_id"]] for one in answer["passages"]))


def _ms(began: float) -> str:
    return f"{(time.perf_counter() - began) * 1000:.0f} ms"


def main() -> int:
    """The demo by itself, as `make demo` runs it."""
    import typer

    context, status = Context(json=False), [2]
    try:
        guarded(context, lambda: status.__setitem__(0, run(context)))
    except typer.Exit as error:
        return error.exit_code
    return status[0]


if __name__ == "__main__":
    sys.exit(main())
