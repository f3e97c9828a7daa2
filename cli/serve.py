"""`ambit serve` and `ambit worker`."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from cli.context import Context, command
from core.errors import AmbitError, SettingError, UnavailableError

if TYPE_CHECKING:
    from api.runtime import Runtime

HOST = Annotated[str | None, typer.Option("--host", help="Address to listen on.", show_default=False)]
PORT = Annotated[int | None, typer.Option("--port", help="Port to listen on; 0: a free one.", show_default=False)]
QUEUES = Annotated[str | None, typer.Option("--queues", help="Stages to work at, comma-separated; absent: all.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    command(app, "serve")(serve)
    command(app, "worker")(worker)


def serve(
    context: Context,
    host: HOST = None,
    port: PORT = None,
    api_only: Annotated[bool, typer.Option("--api-only", help="No worker threads in this process.")] = False,
) -> None:
    """Run the API, and without a broker the worker, in this process."""
    from api.keys import bootstrap
    from api.runtime import Runtime
    from cli.serving import announced
    from core.telemetry import configure_logging

    settings = context.settings
    configure_logging(settings)
    _end_on_signals()
    work = settings.broker_url is None and not api_only
    if api_only and settings.broker_url is None and settings.embedded_index:
        raise SettingError(
            "--api-only needs work to be done elsewhere, and no other process can write an embedded index: "
            "set index_url (AMBIT_INDEX_URL), or leave --api-only out"
        )
    runtime = Runtime(settings, serving=True)
    with contextlib.ExitStack() as stack:
        stack.callback(runtime.close)
        listener = stack.enter_context(_listening(host or settings.host, _port(port, settings.port)))
        tenant, url = runtime.prepare(), _url(listener)
        serving = stack.enter_context(announced(settings.data_dir, url, works=work, alone=settings.embedded_index))
        with runtime.db.write() as session:
            key = bootstrap(session, runtime)
        _greet(context, url, key)
        _run(runtime, tenant, listener, token=serving.token, work=work)


def _end_on_signals() -> None:
    """A signal unwinds, so that `serve.json` goes and the index is closed; the server raises it again after its own."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)


def _end(number: int, frame: object) -> NoReturn:
    raise SystemExit(0)


def _port(option: int | None, setting: int) -> int:
    return setting if option is None else option


def _greet(context: Context, url: str, key: str | None) -> None:
    """The key goes where results go, so that it is seen once and is in no log."""

    def show(_: object) -> None:
        context.out.print(f"Ambit listens on {url}", markup=False)
        if key is not None:
            context.out.print(f"Admin key, shown this once: {key}", markup=False, soft_wrap=True)

    context.emit({"url": url, "admin_key": key}, show)
    import sys

    sys.stdout.flush()


def _run(runtime: Runtime, tenant: int, listener: socket.socket, *, token: str, work: bool) -> None:
    """Serves until a signal says to stop; the index and the encoder open meanwhile."""
    import uvicorn

    from api.app import create_app
    from cli.local_api import LocalApi

    background = _Background(runtime, work=work)
    application: Any = create_app(runtime, wake=_waker(runtime), ready=background.ready)
    config = uvicorn.Config(
        LocalApi(application, runtime, tenant, token), log_config=None, access_log=False, timeout_graceful_shutdown=20
    )
    background.start()
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        background.stop()


def _waker(runtime: Runtime) -> Callable[[str], None]:
    """How routes tell workers of work: through the broker, else the threads of this process."""
    if runtime.settings.broker_url is None:
        return _Waking(runtime)
    from workers.tasks import waker

    return waker(runtime.settings)


class _Waking:
    """Passes a wake-up on to whoever listens at that moment: the runner does so only once it has started."""

    def __init__(self, runtime: Runtime) -> None:
        self._pipeline = runtime.pipeline

    def __call__(self, stage: str) -> None:
        """Wakes."""
        self._pipeline.wake(stage)


class _Background:
    """Warms up, then works: so that the API answers `/healthz` at once and `/readyz` when it can answer questions."""

    def __init__(self, runtime: Runtime, *, work: bool) -> None:
        self._runtime, self._work = runtime, work
        self._ready = False
        self._stopping = threading.Event()
        self._runner: Any = None
        self._keeper: Any = None
        self._thread = threading.Thread(target=self._start, name="ambit-warm-up", daemon=True)

    def ready(self) -> Mapping[str, bool]:
        """Whether index and encoder are open."""
        return {"index": self._ready, "encoder": self._ready}

    def start(self) -> None:
        """Begins; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Lets the batch in hand end."""
        self._stopping.set()
        self._thread.join(60)
        if self._keeper is not None:
            self._keeper.stop()
        if self._runner is not None:
            self._runner.stop()

    def _start(self) -> None:
        from core.telemetry import logger  # slow to load, and `ambit --help` needs none of it

        while not self._stopping.is_set():
            try:
                self._runtime.warm_up()
                break
            except AmbitError as error:
                logger().error("warm_up.failed", code=error.code, reason=error.detail)
            except Exception as error:  # noqa: BLE001 - a database or an index that is away may come back
                logger().error("warm_up.failed", code="internal", reason=type(error).__name__)
            self._stopping.wait(5)
        else:
            return
        if self._work:
            from ingest.keeper import Keeper
            from ingest.runner import Runner

            self._runner = Runner(self._runtime.pipeline)
            self._runner.start()
            self._keeper = Keeper(self._runtime.pipeline)
            self._keeper.start()
        self._ready = True
        logger().info("ready")


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket bound before anything else is begun, so that a port in use is told at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        try:
            listener.bind((host, port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UnavailableError(f"cannot listen on {host}:{port}: {reason}; choose another with --port") from None
        yield listener
    finally:
        listener.close()


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{shown}:{port}"


def worker(
    context: Context,
    beat: Annotated[
        bool, typer.Option("--beat", help="Also send the wake-ups on a schedule; in one worker only.")
    ] = False,
    queues: QUEUES = None,
    check: Annotated[
        bool, typer.Option("--check", help="Run none; say whether this machine's (with --beat its beat) is well.")
    ] = False,
) -> None:
    """Run a worker that takes wake-ups from the broker."""
    settings = context.settings
    if check:
        _check_worker(context, ["worker", "beat"] if beat else ["worker"])
        return
    if settings.broker_url is None:
        raise SettingError(
            "broker_url is not set: looked for AMBIT_BROKER_URL in the environment and .env, and broker_url in "
            "ambit.toml; without a broker `ambit serve` does the work itself"
        )
    from workers.app import QUEUES as KNOWN
    from workers.run import run_worker

    stages = list(KNOWN) if queues is None else [one.strip() for one in queues.split(",") if one.strip()]
    unknown = sorted(set(stages) - set(KNOWN))
    if unknown or not stages:
        raise SettingError(f"--queues: {(unknown or ['nothing'])[0]!r} is no stage; choose from {', '.join(KNOWN)}")
    run_worker(settings, stages=stages, beat=beat)


def _check_worker(context: Context, roles: list[str]) -> None:
    from core.db import Database
    from ingest.presence import fault

    db = Database(context.settings.sql_url)
    try:
        with db.read() as session:
            faults = [found for role in roles if (found := fault(session, role)) is not None]
    finally:
        db.close()
    context.emit(
        {"well": not faults, "faults": faults}, lambda out: out.print("\n".join(faults) or "well", markup=False)
    )
    if faults:
        raise typer.Exit(1)
