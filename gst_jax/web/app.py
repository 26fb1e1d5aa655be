"""Answer what the studio's page asks: each address, and what it leads to."""

from __future__ import annotations

import asyncio
import contextlib
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import resources
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

import gst_jax.presentation
import gst_jax.web
from gst_jax.web import models, uploads
from gst_jax.web.guard import REPORT_POLICY, Guard, Refused, limited, read_form
from gst_jax.web.models import Models
from gst_jax.web.music import Music
from gst_jax.web.queue import UNFORESEEN, Queue, Ticket
from gst_jax.web.songs import Conversion, Song, Songs
from gst_jax.web.trainings import Trainings

_SWEEP = 60.0  # seconds between looks for songs that are too old
_PARTS = {  # of the page, by name: the package that holds them, and what they are
    "": (gst_jax.web, "studio.html", "text/html"),
    "studio.css": (gst_jax.web, "studio.css", "text/css"),
    "studio.js": (gst_jax.web, "studio.js", "text/javascript"),
    "convert.js": (gst_jax.web, "convert.js", "text/javascript"),
    "train.js": (gst_jax.web, "train.js", "text/javascript"),
    "runs.js": (gst_jax.web, "runs.js", "text/javascript"),
    "shared.js": (gst_jax.web, "shared.js", "text/javascript"),
    "page.css": (gst_jax.presentation, "page.css", "text/css"),
    "player.css": (gst_jax.presentation, "player.css", "text/css"),
    "player.js": (gst_jax.presentation, "player.js", "text/javascript"),
}


class Studio:
    """What the addresses share; its methods are named after them."""

    def __init__(self, folders: tuple[Path, ...], scratch: Path) -> None:
        """Begin with what lies in the folders.

        Args:
            folders: that may be read; runs and music that is sent go into the first one.
            scratch: a folder for songs, removed by the caller in the end.
        """
        self.queue = Queue()
        self.models = Models(folders[0] / "runs")
        self.songs = Songs(scratch, self.models, self.queue)
        self.music = Music(folders, self.queue)
        self.trainings = Trainings(folders[0] / "runs")

    async def page(self, request: Request) -> Response:
        """Return a part of the page."""
        package, name, kind = _PARTS[request.path_params.get("name", "")]
        content = resources.files(package).joinpath(name).read_bytes()
        return Response(content, media_type=kind)

    async def list_models(self, request: Request) -> Response:
        """List what converts."""
        found = await run_in_threadpool(self.models.find)
        return JSONResponse(
            [
                {
                    "name": name,
                    "pair": run.pair,
                    "bundled": run.is_bundled,
                    "converts": self.models.converts(run),
                    "report": run.report.exists(),
                }
                for name, run in found.items()
            ]
        )

    async def describe_model(self, request: Request) -> Response:
        """Say of what a model learned, and how good it is."""
        name = request.path_params["name"]
        run = await run_in_threadpool(self.models.open, name)
        return JSONResponse(await run_in_threadpool(models.describe, name, run))

    async def report(self, request: Request) -> Response:
        """Return the report of a run."""
        run = self.models.open(request.path_params["name"])
        if not run.report.exists():
            raise Refused(f"{run.path.name} has no report yet", 404)
        return FileResponse(run.report, headers={"Content-Security-Policy": REPORT_POLICY})

    async def upload_song(self, request: Request) -> Response:
        """Take in a song to convert: the body is the file."""
        name = uploads.title(_header(request, "x-file-name"))
        folder = self.songs.make_folder()
        try:
            path = await uploads.receive(limited(request, uploads.MOST_BYTES), name, folder, "song")
        finally:
            with contextlib.suppress(OSError):  # it holds a file now
                folder.rmdir()
        song = await run_in_threadpool(self.songs.add, path, name)
        return JSONResponse(self._song(song))

    async def show_song(self, request: Request) -> Response:
        """Say how far the conversions of a song are; `?player` adds what plays them."""
        song = self.songs.get(request.path_params["id"])
        shown = self._song(song)
        return JSONResponse(
            shown | {"player": self.songs.player(song)} if "player" in request.query_params else shown
        )

    async def convert(self, request: Request) -> Response:
        """Put a conversion into the queue."""
        form, song = await read_form(request), self.songs.get(request.path_params["id"])
        wanted = (
            form.get(name, usual) for name, usual in (("run", ""), ("to", ""), ("strength", 1.0), ("band", 0.0))
        )
        await run_in_threadpool(self.songs.convert, song, *wanted)
        return JSONResponse(self._song(song))

    async def cancel(self, request: Request) -> Response:
        """End a conversion."""
        song = self.songs.get(request.path_params["id"])
        song.conversions[request.path_params["number"]].ticket.cancel()
        return JSONResponse(self._song(song))

    async def play(self, request: Request) -> Response:
        """Return the sound of a song or, by its number, of a conversion."""
        song = self.songs.get(request.path_params["id"])
        number = request.path_params.get("number")
        folder = song.folder if number is None else song.conversions[number].folder
        path = folder / f"{request.path_params['part']}.flac"
        if request.path_params["part"] not in ("first", "whole", "original") or not path.exists():
            raise KeyError
        return FileResponse(path, media_type="audio/flac")

    async def download(self, request: Request) -> Response:
        """Return a conversion as a file to keep."""
        song = self.songs.get(request.path_params["id"])
        number = request.path_params["number"]
        if not song.conversions[number].whole:
            raise KeyError
        path, name = await run_in_threadpool(self.songs.download, song, number, request.path_params["kind"])
        return FileResponse(path, filename=name)

    async def compare(self, request: Request) -> Response:
        """Convert one song by two runs, which the page then plays side by side."""
        form = await read_form(request)
        runs, to = form.get("runs"), form.get("to")
        if not isinstance(runs, list) or len(runs) != 2 or runs[0] == runs[1]:
            raise Refused("choose two different runs")
        first, second = (self.models.open(name) for name in runs)
        if to not in first.pair or to not in second.pair:
            raise Refused(f"{runs[0]} and {runs[1]} do not both convert to {to}")
        source = first.pair[1 - first.pair.index(str(to))]
        song = self.songs.get(str(form["song"])) if form.get("song") else self.songs.lend(first, source)
        for name in runs:
            self.songs.convert(song, name, to, 1.0, 0.0)
        return JSONResponse(self._song(song))

    async def list_folders(self, request: Request) -> Response:
        """List the folders with sound that may be trained on."""
        return JSONResponse(await run_in_threadpool(self.music.offered))

    async def begin_batch(self, request: Request) -> Response:
        """Name what a page is about to send."""
        return JSONResponse({"batch": self.music.new_batch()})

    async def upload_music(self, request: Request) -> Response:
        """Take in a file to train on: the body is the file."""
        genre, name = _header(request, "x-genre"), _header(request, "x-file-name")
        body = limited(request, uploads.MOST_BYTES)
        await self.music.receive(body, request.path_params["batch"], genre, name)
        return JSONResponse({})

    async def look(self, request: Request) -> Response:
        """Look over the music of two genres."""
        form = await read_form(request)
        look = await run_in_threadpool(self.music.look, form.get("sides", []), form.get("settings"))
        return JSONResponse({"id": look.id})

    async def show_look(self, request: Request) -> Response:
        """Return what was found so far."""
        look = self.music.get(request.path_params["id"])
        return JSONResponse({"found": look.found, "seconds": look.seconds, **self._ticket(look.ticket)})

    async def list_trainings(self, request: Request) -> Response:
        """Say how each training goes."""
        return JSONResponse(await run_in_threadpool(self.trainings.states))

    async def show_training(self, request: Request) -> Response:
        """Return the curve and the ages of a run."""
        return JSONResponse(await run_in_threadpool(self.trainings.shown, request.path_params["name"]))

    async def train(self, request: Request) -> Response:
        """Start, stop or resume a training."""
        form = await read_form(request)
        name = form.get("name")
        if form.get("do") == "start":
            look = self.music.get(form.get("look"))
            name = await run_in_threadpool(self.trainings.start, look.pair)
        elif form.get("do") == "stop":
            await run_in_threadpool(self.trainings.stop, name)
        elif form.get("do") == "resume":
            await run_in_threadpool(self.trainings.resume, name)
        else:
            raise Refused("a training can be started, stopped or resumed")
        return JSONResponse(self.trainings.state(str(name)))

    def _song(self, song: Song) -> dict[str, Any]:
        made = [self._conversion(song, conversion) for conversion in song.conversions]
        ready = [bool(one.first) + bool(one.whole) for one in song.conversions]
        return {"id": song.id, "name": song.name, "seconds": song.seconds, "conversions": made, "ready": ready}

    def _conversion(self, song: Song, made: Conversion) -> dict[str, Any]:
        what = {"run": made.run, "from": made.source, "to": made.to, "strength": made.strength, "band": made.band}
        ticket = self._ticket(made.ticket)
        ticket["notes"] = [note.replace(str(song.source), song.name) for note in made.ticket.notes]
        return what | ticket | {"whole": made.whole is not None}

    def _ticket(self, ticket: Ticket) -> dict[str, Any]:
        place = self.queue.place(ticket)
        parts = {"what": ticket.what, "share": ticket.share, "notes": ticket.notes, "error": ticket.error}
        return {"state": ticket.state, "place": place, **parts}


def create(folders: tuple[Path, ...], scratch: Path, hosts: tuple[str, ...]) -> Starlette:
    """Return the app.

    Args:
        folders: as for a `Studio`.
        scratch: as for a `Studio`.
        hosts: that it answers to, as for a `Guard`.
    """
    studio = Studio(folders, scratch)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        studio.queue.add(studio.models.warm_up)
        sweeping = asyncio.create_task(_sweep(studio.songs))
        yield
        sweeping.cancel()
        await run_in_threadpool(studio.queue.close)
        studio.trainings.stop_all()

    song, made = "/api/songs/{id}", "/api/songs/{id}/{number:int}"
    routes = [
        Route("/", studio.page),
        Route("/parts/{name}", studio.page),
        Route("/reports/{name}", studio.report),
        Route("/api/models", studio.list_models),
        Route("/api/models/{name}", studio.describe_model),
        Route("/api/songs", studio.upload_song, methods=["POST"]),
        Route("/api/comparisons", studio.compare, methods=["POST"]),
        Route(song, studio.show_song),
        Route(song, studio.convert, methods=["POST"]),
        Route(song + "/{part}.flac", studio.play),
        Route(made, studio.cancel, methods=["DELETE"]),
        Route(made + "/{part}.flac", studio.play),
        Route(made + "/download/{kind}", studio.download),
        Route("/api/folders", studio.list_folders),
        Route("/api/music", studio.begin_batch, methods=["POST"]),
        Route("/api/music/{batch}", studio.upload_music, methods=["POST"]),
        Route("/api/looks", studio.look, methods=["POST"]),
        Route("/api/looks/{id}", studio.show_look),
        Route("/api/trainings", studio.list_trainings),
        Route("/api/trainings", studio.train, methods=["POST"]),
        Route("/api/trainings/{name}", studio.show_training),
    ]
    errors: dict[Any, Callable[[Request, Any], Awaitable[Response]]] = {
        ValueError: _mendable,
        OSError: _mendable,
        LookupError: _gone,
        ClientDisconnect: _left,
        HTTPException: _unknown,
        Exception: _unforeseen,
    }
    guard = Middleware(Guard, hosts=hosts)
    return Starlette(routes=routes, middleware=[guard], exception_handlers=errors, lifespan=lifespan)


async def _sweep(songs: Songs) -> None:
    while True:
        await asyncio.sleep(_SWEEP)
        await run_in_threadpool(songs.remove_old)


async def _mendable(request: Request, error: Exception) -> Response:
    """Answer with the message of an error, as the commands print it."""
    return JSONResponse({"error": str(error)}, getattr(error, "status", 400))


async def _gone(request: Request, error: LookupError) -> Response:
    return JSONResponse({"error": "this is not here, or not any more: songs are kept for an hour"}, 404)


async def _unknown(request: Request, error: HTTPException) -> Response:
    """Answer what asks for no address of ours, or in another way than it is asked for."""
    return JSONResponse({"error": f"the studio has nothing there ({error.detail})"}, error.status_code)


async def _unforeseen(request: Request, error: Exception) -> Response:
    """Answer a fault of ours, of which the server prints all on the terminal."""
    return JSONResponse({"error": UNFORESEEN}, 500)


async def _left(request: Request, error: Exception) -> Response:
    """Answer a page that was closed while it sent: nobody hears it."""
    return Response(status_code=400)


def _header(request: Request, name: str) -> str:
    """Return a header that holds any text, as `encodeURIComponent` writes it."""
    return urllib.parse.unquote(request.headers.get(name, ""))
