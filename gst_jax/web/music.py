"""Take in the music to train on, and look it over as `gst_jax prepare` does."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncIterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gst_jax import config, data, sound
from gst_jax.config import Config
from gst_jax.data.folders import composed, find_folders
from gst_jax.runs.atomic import sweep, write_text
from gst_jax.runs.directory import RunDirectory
from gst_jax.sound import AudioError
from gst_jax.web import uploads
from gst_jax.web.guard import Refused
from gst_jax.web.queue import Queue, Ticket

_NAMES = "names.json"  # how the senders call the files
_DEEPEST, _MOST = 4, 200  # levels of folders that are offered, and how many
SETTINGS = {"usual": None, "trial": "smoke"}  # by what the page calls them
OVERRIDES = ("data.skip_damaged=true",)  # damaged files are listed, and left out


@dataclass(frozen=True)
class Pair:
    """Two genres to be learned."""

    genres: tuple[str, str]
    audio_dirs: tuple[str, ...]
    settings: str  # of SETTINGS


@dataclass(eq=False)
class Look:
    """What was found in the music of a pair."""

    id: str
    pair: Pair
    ticket: Ticket = field(default_factory=Ticket)
    found: dict[str, Any] | None = None  # the table
    seconds: float | None = None  # that training will take, at most


class Music:
    """The folders that music is taken from, and the looks at it."""

    def __init__(self, folders: tuple[Path, ...], queue: Queue) -> None:
        """Offer folders.

        Args:
            folders: that may be read; into `music` in the first one goes what is uploaded.
            queue: that looks.
        """
        self.folders, self._queue = folders, queue
        for folder in (folders[0] / "music").glob("*/*/"):
            sweep(folder)  # where a killed studio was taking something in
        self._looks: dict[str, Look] = {}

    def offered(self) -> list[dict[str, Any]]:
        """List the folders that hold sound, with how many files lie right in them."""
        found: list[dict[str, Any]] = []
        for top in self.folders:
            waiting = [(top, 0)]
            while waiting and len(found) < _MOST:
                folder, depth = waiting.pop(0)
                inside = _readable(folder)
                count = sum(path.suffix.lower() in sound.SUFFIXES for path in inside)
                if count and depth:
                    name = str(folder.relative_to(top)) if top == self.folders[0] else str(folder)
                    found.append({"folder": name, "genre": folder.name, "files": count})
                deeper = [path for path in inside if path.is_dir() and not path.is_symlink()]
                waiting += [(path, depth + 1) for path in deeper if depth < _DEEPEST]
        return found

    async def receive(self, body: AsyncIterable[bytes], batch: str, genre: str, name: str) -> None:
        """Keep a file to train on.

        Args:
            body: from `guard.limited`.
            batch: what one page sends belongs together; from `new_batch`.
            genre: of the music.
            name: of the sender's file.

        Raises:
            Refused: when it cannot be taken.
        """
        folder = self._batch(batch) / uploads.genre_name(genre)
        folder.mkdir(parents=True, exist_ok=True)
        number = sum(1 for path in folder.iterdir() if path.stem.isdigit()) + 1
        path = await uploads.receive(body, name, folder, f"{number:04}")
        place = folder / _NAMES
        names = json.loads(place.read_text(encoding="utf-8")) if place.exists() else {}
        write_text(place, json.dumps(names | {path.name: uploads.title(name)}, ensure_ascii=False))

    def new_batch(self) -> str:
        """Return a name for what one page will send."""
        return f"{time.strftime('%Y-%m-%d')}-{secrets.token_hex(3)}"

    def look(self, sides: object, settings: object) -> Look:
        """Look over two genres, in the queue.

        Args:
            sides: for each `{"folder"}` that holds its music, or `{"batch", "genre"}` of what was sent.
            settings: of SETTINGS.

        Raises:
            Refused: when they are not two genres with music.
        """
        if not isinstance(sides, list) or len(sides) != 2 or not all(isinstance(side, dict) for side in sides):
            raise Refused("two genres are needed")
        if not isinstance(settings, str) or settings not in SETTINGS:
            raise Refused(f"settings are {' or '.join(SETTINGS)}")
        places = [self._place(side) for side in sides]
        a, b = (place.name for place in places)
        if composed(a) == composed(b):
            raise Refused(f"both genres are called {a}; give one another name")
        audio_dirs = data.find_audio_dirs(sorted({str(place.parent) for place in places}))
        if any(
            len(find_folders(genre, audio_dirs)) > 1 for genre in (a, b)
        ):  # one would be taken from elsewhere, too
            audio_dirs = data.find_audio_dirs([self._linked(places)])
        look = Look(secrets.token_hex(6), Pair((a, b), audio_dirs, settings))
        self._looks[look.id] = look
        look.ticket = self._queue.add(lambda ticket: _look(look, ticket))
        return look

    def get(self, id: object) -> Look:
        """Return a look by its id.

        Raises:
            KeyError: when there is none.
        """
        return self._looks[str(id)]

    def _linked(self, places: list[Path]) -> Path:
        """Return a new folder that leads to the folders of two genres, and to nothing else."""
        folder = self._batch(self.new_batch())
        folder.mkdir(parents=True)
        for place in places:
            (folder / place.name).symlink_to(place, target_is_directory=True)
        return folder

    def _batch(self, batch: object) -> Path:
        """Return the folder of what a page sent."""
        if not isinstance(batch, str) or not batch.replace("-", "").isalnum() or not batch.isascii():
            raise Refused("there is no such batch")
        return self.folders[0] / "music" / batch

    def _place(self, side: dict[str, Any]) -> Path:
        """Return the folder of a genre."""
        if side.get("folder"):
            return uploads.within(side["folder"], self.folders)
        folder = self._batch(side.get("batch")) / uploads.genre_name(side.get("genre"))
        if not folder.is_dir():
            raise Refused(f"there is no music of {folder.name} yet: drop some, or name a folder")
        return folder


def load_settings(pair: Pair) -> Config:
    """Return the settings that a pair is trained with."""
    return data.settings_for(pair.audio_dirs, config.load(SETTINGS[pair.settings], OVERRIDES))


def renamed(text: str, audio_dirs: tuple[str, ...]) -> str:
    """Call files in a message by the names that their senders gave them, or by their names in the music's folder."""
    for place in audio_dirs:
        for names in sorted(Path(place).glob(f"*/{_NAMES}")):
            for file, name in json.loads(names.read_text(encoding="utf-8")).items():
                text = text.replace(f"{names.parent.name}/{file}", f"{names.parent.name}/{name}")
        text = text.replace(f"{place}/", "")
    return text


def _look(look: Look, ticket: Ticket) -> None:
    """Fill in the table, then how long training will take."""
    pair = look.pair
    settings = load_settings(pair)
    try:
        genres = data.load_pair(pair.genres, pair.audio_dirs, settings, ticket.progress)
    except AudioError as error:
        raise AudioError(renamed(str(error), pair.audio_dirs)) from error
    rows = [
        {
            "genre": genre.name,
            "tracks": len(genre.recordings),
            "minutes": round(genre.minutes, 1),
            "held_out": len(genre.held_out),
            "skipped": [_left_out(genre.name, path, reason, pair) for path, reason in genre.skipped],
        }
        for genre in genres
    ]
    said = [renamed(text, pair.audio_dirs) for text in data.cautions(*genres, settings.audio)]
    look.found = {"rows": rows, "cautions": said}

    from gst_jax.speed import estimate  # JAX starts only once the audio is known to be good

    batches = data.Batches(*genres, settings)
    pace = estimate.measure_pace(batches, settings, ticket.progress)
    look.seconds = pace.training_seconds(batches, settings)


def _left_out(genre: str, path: Path, reason: str, pair: Pair) -> str:
    """Say why a file is left out, calling it by its genre and name."""
    name = f"{genre}/{path.name}"
    text = reason.replace(str(path.resolve()), name).replace(str(path), name)
    return renamed(text if name in text else f"{name}: {text}", pair.audio_dirs)


def _readable(folder: Path) -> list[Path]:
    """List what a folder holds, without hidden files, runs, and what cannot be read."""
    try:
        inside = sorted(folder.iterdir())
    except OSError:
        return []
    return [path for path in inside if not path.name.startswith(".") and not RunDirectory.exists(path)]
