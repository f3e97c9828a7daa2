"""What every command is given: the settings, where output goes, and one way to end on an error."""

from __future__ import annotations

import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, NoReturn, ParamSpec, TextIO

import typer

from core.errors import AmbitError, UnavailableError

if TYPE_CHECKING:
    from rich.console import Console

    from core.settings import Settings

P = ParamSpec("P")
OK, PARTIAL, FAILED, INTERRUPTED = 0, 1, 2, 130


@dataclass
class Given:
    """Options given before the command's name; the same after it win."""

    json: bool = False
    data_dir: Path | None = None
    tenant: str | None = None


given = Given()


@dataclass
class Context:
    """One command's run. Nothing is read before it is asked for."""

    json: bool
    data_dir: Path | None = None
    tenant: str | None = None
    _said: bool = field(default=False, repr=False)

    @cached_property
    def settings(self) -> Settings:
        """The settings in force.

        Raises:
            SettingError: one is wrong; the message names it and where it was looked for.
        """
        from cli.configuration import read_settings

        return read_settings(data_dir=self.data_dir, tenant=self.tenant)

    @cached_property
    def out(self) -> Console:
        """Where people read results."""
        from rich.console import Console

        return Console(quiet=self.json, highlight=False, soft_wrap=True, width=_width(sys.stdout))

    @cached_property
    def err(self) -> Console:
        """Where progress and remarks go."""
        from rich.console import Console

        return Console(stderr=True, quiet=self.json, highlight=False, soft_wrap=True)

    def emit(self, data: Any, show: Callable[[Console], None]) -> None:
        """The command's result: `data` as JSON with `--json`, else what `show` prints."""
        if self.json:
            sys.stdout.write(json.dumps(data, ensure_ascii=False, indent=2, default=str) + "\n")
            sys.stdout.flush()  # `sync --watch` says something after each round
        else:
            show(self.out)

    def note(self, text: str) -> None:
        """A remark beside the result; plain text."""
        self.err.print(text, markup=False)


def command(group: typer.Typer, name: str, **options: Any) -> Callable[[Callable[Concatenate[Context, P], None]], Any]:
    """Registers a function as a command: it gets a `Context` first, and its options gain those of every command.

    Errors end it with a message and status 2, never with a traceback.
    """

    def register(function: Callable[Concatenate[Context, P], None]) -> Callable[Concatenate[Context, P], None]:
        @wraps(function)
        def run(*, json_: bool, data_dir: Path | None, tenant: str | None, **arguments: Any) -> None:
            context = Context(
                json=json_ or given.json, data_dir=data_dir or given.data_dir, tenant=tenant or given.tenant
            )
            guarded(context, lambda: function(context, **arguments))  # type: ignore[call-arg]

        run.__signature__ = _signature(function)  # type: ignore[attr-defined]
        group.command(name, **options)(run)
        return function

    return register


def _width(stream: TextIO) -> int | None:
    """A pipe has no width, and a table must not be folded for a terminal that is not there."""
    return None if stream.isatty() or "COLUMNS" in os.environ else 200


JSON = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
DATA_DIR = Annotated[Path | None, typer.Option("--data-dir", help="Folder of the installation.", show_default=False)]
TENANT = Annotated[str | None, typer.Option("--tenant", help="Tenant to act in.", show_default=False)]


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    common = {"json_": (JSON, False), "data_dir": (DATA_DIR, None), "tenant": (TENANT, None)}
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in common.items()
    ]
    named = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own]
    return inspect.Signature([*named, *added])


def guarded(context: Context, work: Callable[[], None]) -> None:
    """Does `work`; whatever goes wrong ends the command with a message and a status.

    Raises:
        Exit: it went wrong, or `work` chose a status itself.
    """
    try:
        work()
    except AmbitError as error:
        fail(context, error)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        # Whoever read has enough; Python must not complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(OK) from None
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:  # noqa: BLE001 - a person at a terminal is never shown a traceback unasked
        fail(context, _designed(error))


def fail(context: Context, error: AmbitError) -> NoReturn:
    """Prints `error [code]: what, what to do` and ends with status 2; of what is held, and no error, with 1."""
    if context.json:
        body = {"title": error.title, "status": error.status, "detail": error.detail, "code": error.code}
        sys.stdout.write(json.dumps({**error.extra, **body}, default=str) + "\n")
    elif error.status < 400:
        typer.secho(error.detail, err=True, fg="yellow")
    else:
        typer.secho(f"error [{error.code}]: {error.detail}", err=True, fg="red")
    raise typer.Exit(FAILED if error.status >= 400 else PARTIAL)


def _designed(error: Exception) -> AmbitError:
    """An error of ours for one that was not foreseen; what it says may hold a document's text, so its kind alone."""
    if os.environ.get("AMBIT_LOG_LEVEL", "").lower() == "debug":
        traceback.print_exc()
    kind = type(error).__name__
    if type(error).__module__.startswith("sqlalchemy."):
        return UnavailableError(f"the SQL database refused ({kind}); `ambit doctor` says what is wrong")
    if isinstance(error, OSError):
        place = f" {error.filename}" if error.filename else ""
        return UnavailableError(f"{error.strerror or kind}{place}; `ambit doctor` says what is wrong")
    return AmbitError(f"an unforeseen {kind}; run it again with AMBIT_LOG_LEVEL=debug and report what it shows")


def counted(number: int, one: str, many: str) -> str:
    """So many, in words that fit: `1 person`, `3 people`."""
    return f"{number} {one if number == 1 else many}"
