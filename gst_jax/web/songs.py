"""Convert what was uploaded: the first seconds at once, then all of it, to be played and downloaded."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from gst_jax import data, sound
from gst_jax.config import ConfigError
from gst_jax.conversion import jobs, planning
from gst_jax.conversion.accompaniment import Band
from gst_jax.conversion.translator import Translator, check_strength
from gst_jax.presentation import listening
from gst_jax.presentation.player import Version, entry, player
from gst_jax.runs.directory import RunDirectory
from gst_jax.sound import AudioError, streams
from gst_jax.types import Array
from gst_jax.web.models import Models
from gst_jax.web.queue import Queue, Ticket

LONGEST = 15 * 60.0  # seconds of a song that a browser holds several versions of
_KEPT = 3600.0  # seconds after the last use
_FIRST, _AFTER = 10.0, 2.0  # seconds that are heard at once, and those after them that the model hears, too
_SEEN_AT = 32_000  # Hz of what waveform and spectrogram are drawn of
_MP3_BIT_RATE = 192_000
_LARGEST = 1e6  # that is understood as a number; a page may send one of a thousand digits


@dataclass(eq=False)
class Conversion:
    """One conversion of a song."""

    run: str  # by its name in `Models.find`
    source: str
    to: str
    strength: float
    band: float
    folder: Path
    ticket: Ticket = field(default_factory=Ticket)
    first: dict[str, Any] | None = None  # for the player, of the first seconds
    whole: dict[str, Any] | None = None


@dataclass(eq=False)
class Song:
    """What was uploaded, or lent by a run."""

    id: str
    name: str
    folder: Path
    source: Path  # the file
    header: sound.Header | None  # None: not there yet
    used: float
    lent: Ticket | None = None  # that looks for it
    first: dict[str, Any] | None = None  # the original, for the player
    whole: dict[str, Any] | None = None
    conversions: list[Conversion] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Return how long it is; 0 where that is not known yet."""
        return self.header.frames / self.header.sample_rate if self.header else 0.0

    def url(self, name: str) -> str:
        """Return where a page finds one of its files."""
        return f"/api/songs/{self.id}/{name}"


class Songs:
    """The songs that are there, each in a folder of its own until it was not used for an hour."""

    def __init__(self, folder: Path, models: Models, queue: Queue) -> None:
        """Begin with none.

        Args:
            folder: an empty one.
            models: that convert.
            queue: that does so, one after the other.
        """
        self._folder, self._models, self._queue = folder, models, queue
        self._songs: dict[str, Song] = {}

    def make_folder(self) -> Path:
        """Return a new folder, for a song to be."""
        folder = self._folder / secrets.token_urlsafe(12)
        folder.mkdir()
        return folder

    def add(self, path: Path, name: str) -> Song:
        """Take a file in a folder of `make_folder` as a song; where it is none, the folder is removed.

        Raises:
            AudioError: when it cannot be used; the message calls it by its name.
        """
        try:
            header = sound.read_header(path)
            if header.frames / header.sample_rate > LONGEST:
                raise AudioError(
                    f"{path} is over {LONGEST / 60:.0f} minutes long; gst_jax convert takes songs of any length"
                )
        except AudioError as error:
            shutil.rmtree(path.parent)
            raise AudioError(str(error).replace(str(path), name)) from error
        return self._keep(Song(path.parent.name, name, path.parent, path, header, time.monotonic()))

    def lend(self, run: RunDirectory, genre: str) -> Song:
        """Return a song to be: some seconds of a track that a run did not learn from."""
        folder = self.make_folder()
        source = folder / "song.wav"
        song = self._keep(Song(folder.name, f"Held-out {genre}", folder, source, None, time.monotonic()))

        def find(ticket: Ticket) -> None:
            ticket.what = "looking for a song that it did not learn from"
            lent = listening.song(song.name, genre, genre, data.sample_tracks(run, 1)[genre][0])
            sound.write_wave(source, lent.samples, lent.sample_rate, "FLOAT")
            song.header = sound.read_header(source)

        song.lent = self._queue.add(find)
        return song

    def get(self, id: str) -> Song:
        """Return a song, which is kept for another hour.

        Raises:
            KeyError: when it is gone.
        """
        song = self._songs[id]
        song.used = time.monotonic()
        return song

    def remove_old(self) -> None:
        """Remove the songs that nobody used for an hour, with all that was made of them."""
        for song in list(self._songs.values()):
            waits = any(part.ticket.state in ("waiting", "running") for part in song.conversions)
            if time.monotonic() - song.used > _KEPT and not waits:
                del self._songs[song.id]
                shutil.rmtree(song.folder)

    def convert(self, song: Song, run: str, to: object, strength: object, band: object) -> Conversion:
        """Put a conversion into the queue.

        Args:
            song: to be converted.
            run: name of the run that converts.
            to: genre.
            strength: 0 to 1.
            band: how loud musicians play along; 0: not at all.

        Raises:
            ConfigError, ValueError: when it cannot be done so.
        """
        found = self._models.open(run)
        if to not in found.pair:
            raise ConfigError(f"{run} converts to {' or '.join(found.pair)}, not to {to}")
        if not isinstance(band, (int, float)) or not isinstance(strength, (int, float)):
            raise ConfigError("strength and band are numbers")
        if not max(abs(band), abs(strength)) <= _LARGEST:
            raise ConfigError("strength and band are small numbers")
        target = str(to)
        source = found.pair[1 - found.pair.index(target)]
        players = Band(target, float(band)) if band else None
        number = len(song.conversions)
        made = Conversion(run, source, target, check_strength(strength), float(band), song.folder / str(number))
        song.conversions.append(made)
        made.ticket = self._queue.add(lambda ticket: self._convert(song, made, found, players, ticket))
        return made

    def player(self, song: Song) -> dict[str, Any] | None:
        """Return what the player plays of a song: all that is whole, else the first seconds, else None."""
        for part in ("whole", "first"):
            original = getattr(song, part)
            made = [one for one in song.conversions if getattr(one, part)]
            if original and made:
                entries = [getattr(one, part) | {"name": _title(one, song.conversions)} for one in made]
                entries[-1] |= {"chosen": True}
                return player(song.name, [original, *entries]) | {"whole": part == "whole"}
        return None

    def download(self, song: Song, number: int, kind: str) -> tuple[Path, str]:
        """Return a file of a conversion, made when first asked for, and how to call it.

        Args:
            song: that was converted.
            number: of the conversion.
            kind: "mp3", or "same": as the song's file.
        """
        made, header = song.conversions[number], song.header
        assert header is not None
        same = sound.best_suffix(song.source, header)
        suffix = ".mp3" if kind == "mp3" else same
        path = made.folder / f"download{suffix}"
        if not path.exists():
            how = sound.kind_like(path, header, 0 if suffix == same else _MP3_BIT_RATE)
            tags = sound.read_tags(song.source, header)
            sound.write_blocks(path, sound.read_blocks(_master(made)), *_shape(song), how, tags)
        band = "-band" if made.band else ""
        strength = "" if made.strength == 1 else f"-{made.strength:g}"
        return path, f"{Path(song.name).stem}.{made.to}{band}{strength}{suffix}"

    def _keep(self, song: Song) -> Song:
        self._songs[song.id] = song
        return song

    def _convert(self, song: Song, made: Conversion, run: RunDirectory, band: Band | None, ticket: Ticket) -> None:
        """Do all that the queue does of one conversion; messages call the song by its name."""
        try:
            if song.header is None:
                raise AudioError(f"no song was found: {song.lent.error if song.lent else ''}")
            ticket.what = "loading the model"
            made.folder.mkdir(exist_ok=True)
            translator = self._models.translator(run, made.to)
            if song.seconds > 2 * _FIRST:
                self._convert_first(song, made, translator)
            players = band and band.from_run(run, ticket.progress)
            plan = planning.plan([song.source], made.folder, made.to, "flac")
            failed = plan.refused or jobs.convert(
                plan.jobs, translator, made.folder, made.strength, progress=ticket.progress, band=players
            )
            if failed:
                raise AudioError(failed[0])
            ticket.what = "drawing"
            (job,) = plan.jobs
            job.target.rename(_master(made))
            if song.whole is None:
                original = song.folder / "original.flac"
                sound.write_blocks(original, sound.read_blocks(song.source), *_shape(song), job.kind)
                song.whole = _drawn(original, _ORIGINAL, song.url(original.name)) | {"links": []}
            place = song.url(str(song.conversions.index(made)))
            made.whole = _drawn(_master(made), _version(made), f"{place}/whole.flac") | {"links": _links(song, place)}
        except ValueError as error:
            raise AudioError(str(error).replace(str(song.source), song.name)) from error
        finally:
            song.used = time.monotonic()

    def _convert_first(self, song: Song, made: Conversion, translator: Translator) -> None:
        """Convert the first seconds, without a band, which has to hear the whole song first."""
        rate, channels = _shape(song)
        heard, needed = round(_FIRST * rate), round((_FIRST + _AFTER) * rate)
        blocks = list(_until(sound.read_blocks(song.source), needed))
        samples = np.concatenate(blocks)[:needed]
        if len(samples) < heard:
            return
        number = song.conversions.index(made)
        converted = translator(samples, rate, made.strength)
        if song.first is None:
            song.first = self._keep_first(song, song.folder / "first.flac", samples[:heard], _ORIGINAL)
        made.first = self._keep_first(
            song, made.folder / "first.flac", converted[:heard], _version(made), f"{number}/"
        )

    def _keep_first(
        self, song: Song, path: Path, samples: Array, version: Version, place: str = ""
    ) -> dict[str, Any]:
        rate = _shape(song)[0]
        sound.write_wave(path, samples, rate)
        shown = entry(replace(version, samples=samples, sample_rate=rate), "", song.url(f"{place}first.flac"))
        return shown | {"links": []}


_ORIGINAL = Version("Original", "as it was", np.zeros(0, np.float32), 1)


def _shape(song: Song) -> tuple[int, int]:
    assert song.header is not None
    return song.header.sample_rate, song.header.channels


def _until(blocks: Iterator[Array], samples: int) -> Iterator[Array]:
    """Yield the blocks that hold the first samples."""
    count = 0
    for block in blocks:
        yield block
        count += len(block)
        if count >= samples:
            return


def _drawn(path: Path, version: Version, url: str) -> dict[str, Any]:
    """Return a whole file as the player takes it; two channels are held at most, at a low rate."""
    header = sound.read_header(path)
    rate, seen = header.sample_rate, min(header.sample_rate, _SEEN_AT)

    def channel(number: int) -> Iterator[Array]:
        return (block[:, number] for block in sound.read_blocks(path))

    pair = [channel(number) for number in range(header.channels)]
    alone = pair if len(pair) <= 2 else [streams.mixed(sound.read_blocks(path), rate)]
    channels = [np.concatenate(list(streams.resampled(one, rate, seen))) for one in alone]
    return entry(replace(version, samples=np.stack(channels, axis=1), sample_rate=seen), "song", url)


def _version(made: Conversion) -> Version:
    name = made.run.removesuffix(" (bundled)")
    return Version("", f"by {name}", np.zeros(0, np.float32), 1, made.strength, bool(made.band))


def _links(song: Song, place: str) -> list[dict[str, str]]:
    """Return what the player offers to download: a file like the song's own, and an MP3."""
    assert song.header is not None
    same = sound.best_suffix(song.source, song.header)
    kinds = [("same", same), *([] if same == ".mp3" else [("mp3", ".mp3")])]
    return [
        {"text": f"Download {suffix[1:].upper()}", "href": f"{place}/download/{kind}", "download": ""}
        for kind, suffix in kinds
    ]


def _title(made: Conversion, all: list[Conversion]) -> str:
    """Name a conversion by its genre, and by its run where several convert to that."""
    runs = {other.run for other in all if other.to == made.to}
    return made.to.capitalize() + (f" by {made.run}" if len(runs) > 1 else "")


def _master(made: Conversion) -> Path:
    return made.folder / "whole.flac"
