"""The page's server: this machine's alone, nothing from elsewhere, and nothing left when it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..errors import UserError
from .events import Events
from .jobs import DONE, Jobs
from .sessions import Sessions
from .studio import Studio

if TYPE_CHECKING:
    from .command import App

POLICY = (  # a browser that keeps to it asks nobody else for anything; Gradio's own scripts are inline, and evaluate
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
OFF = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
OFTEN = 10.0  # seconds between looks for visits that are over
Scope = MutableMapping[str, Any]


def serve(keys: App, said: Sequence[str]) -> None:
    """Until Ctrl-C. Raises UserError for an address that cannot be had, or networks that cannot be loaded."""
    with listening(keys.host, keys.port) as door, opened(keys, said) as page:
        import uvicorn  # arrives with Gradio

        port = door.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(page, log_level="warning", timeout_graceful_shutdown=2))
        print(f"page: http://{keys.host}:{port} (Ctrl-C ends it)", flush=True)
        if hasattr(signal, "SIGHUP"):  # its window was closed: as if it were asked to end
            signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
        with contextlib.suppress(KeyboardInterrupt):  # how a server ends
            server.run(sockets=[door])


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Raises UserError for an address that is taken or not this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind((host, port))
        except (OSError, OverflowError) as error:
            raise UserError(
                f"host={host} port={port}: {error}. Choose another, or port=0 for any that is free."
            ) from error
        yield door


@contextmanager
def opened(keys: App, said: Sequence[str]) -> Iterator[Any]:
    """The page as an ASGI application; what it keeps is gone afterwards, also where a signal ends the server."""
    jobs = Jobs(keys.waiting)
    sessions = Sessions(keys.minutes, keys.visitors, keys.per_minute, jobs.cancel)
    over = threading.Event()

    def close() -> None:
        if not over.is_set():
            over.set()
            jobs.close()
            sessions.close()

    def tidy() -> None:
        while not over.wait(min(OFTEN, keys.minutes * 60)):
            sessions.end_the_unused()

    with environment(OFF | {"GRADIO_TEMP_DIR": str(sessions.root / "uploads")}):
        try:
            studio = Studio(said, keys.device, keys.cores)
            examples = _done(jobs, lambda: studio.warm_up(sessions.root))
            threading.Thread(target=tidy, daemon=True).start()
            yield application(keys, Events(jobs, sessions, studio, examples), close)
        finally:
            close()


def _done(jobs: Jobs, work: Callable[[], list[Path]]) -> list[Path]:
    """Work of the jobs' thread, awaited. Raises UserError."""
    job = jobs.submit("load", "", work)
    while not job.over:
        time.sleep(0.02)
    if job.state != DONE:
        raise UserError(job.problem or "interrupted")
    found: list[Path] = job.result
    return found


@contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def application(keys: App, events: Events, close: Callable[[], None]) -> Any:
    """Gradio's page, with the files of visits beside it. Those are sent to who knows their address, and kept by nobody."""
    import gradio as gr
    from fastapi import FastAPI, Request
    from fastapi.responses import FileResponse, PlainTextResponse, Response

    from .layout import CSS, build, theme

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        close()

    site = FastAPI(lifespan=lifespan, openapi_url=None)

    async def file(request: Request) -> Response:
        path = events.sessions.file(request.path_params["token"], request.path_params["name"])
        if path is None:
            return PlainTextResponse("This is no longer here.", 404)
        saved = {"filename": path.name} if "save" in request.query_params else {}
        return FileResponse(path, headers={"Cache-Control": "no-store"}, **saved)

    site.add_route("/visit/{token}/{name:path}", file)
    gr.mount_gradio_app(
        site, build(events, keys.minutes), "/", server_name=keys.host, footer_links=[], run_history=False,
        show_error=True, max_file_size=keys.megabytes * 2**20, ssr_mode=False, enable_monitoring=False, pwa=False,
        mcp_server=False, theme=theme(), css=CSS.read_text(), allowed_paths=[str(path) for path in events.examples],
    )  # fmt: skip
    return guarded(site, keys.names)


def guarded(site: Any, names: Sequence[str]) -> Any:
    """With HEADERS in each answer; only for who calls the page by one of `names`, since a website whose own name leads
    here (DNS rebinding) is another's; and only for the page itself, not for what another site sends here."""

    async def guard(scope: Scope, receive: Any, send: Callable[[Scope], Awaitable[None]]) -> None:
        if scope["type"] != "http":
            await site(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        address, origin = headers.get(b"host", ""), headers.get(b"origin", "")

        async def answer(message: Scope) -> None:
            if message["type"] == "http.response.start":
                more = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        refused = (
            (421, b"The page has another name here; app.names says which.")
            if _name_in(address) not in names
            else (403, b"Another site asks for this.")
            if origin and origin.rpartition("//")[2] != address
            else None
        )
        if refused:
            await answer({"type": "http.response.start", "status": refused[0], "headers": []})
            await send({"type": "http.response.body", "body": refused[1]})
            return
        await site(scope, receive, answer)

    return guard


def _name_in(address: str) -> str | None:
    """Of a Host header, without its port; None for what is no address."""
    try:
        return urlsplit(f"//{address}").hostname
    except ValueError:
        return None
