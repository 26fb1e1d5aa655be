"""Let a band of the target genre play along with a converted song."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np

from gst_jax.band import borrowing, choosing, hearing, playing, recordings
from gst_jax.band.features import RATE as HEARD_AT
from gst_jax.band.lead_sheet import LeadSheet
from gst_jax.band.recordings import Recording
from gst_jax.config import ConfigError
from gst_jax.conversion import room
from gst_jax.data.sources import recordings_of
from gst_jax.runs.directory import RunDirectory
from gst_jax.sound import AudioWarning, loudness, streams
from gst_jax.types import Array, Progress

BELOW = -8.0  # dB of the band against the song where it plays, at level 1: by the outside judge, on validation
LOUDEST = 2.0  # level
_BLOCK = 0.5  # seconds of which loudness is taken at a time
_SILENT = 1e-6  # of its loudest half second: there the band does not play


def hear(source: Iterable[Array], sample_rate: int) -> LeadSheet:
    """Hear a song, float32 [n, C] blocks, as its accompanist does; it is held in memory as mono at `HEARD_AT`."""
    mono = streams.resampled(streams.mixed(source, sample_rate), sample_rate, HEARD_AT)
    return hearing.hear(np.concatenate(list(mono)), HEARD_AT)


@dataclass(frozen=True)
class Band:
    """Musicians of a genre who play along: what an arranger writes for them or, of any genre, bars of recordings."""

    genre: str
    level: float = 1.0  # 0 is silence, 1 as loud as measured best, 2 twice that
    recordings: tuple[Recording, ...] = ()  # to borrow bars from; none: an arranger writes for this genre

    def __post_init__(self) -> None:
        """Refuse a level that is out of range with a ConfigError."""
        if not 0 <= self.level <= LOUDEST:
            raise ConfigError(f"--band must lie in 0 to {LOUDEST:g}, not {self.level}")

    @property
    def label(self) -> str:
        """Return what the names of files add for this band."""
        return "-band" if self.level == 1 else f"-band{self.level:g}"

    @property
    def is_arranged(self) -> bool:
        """Whether there are notes that the band plays from."""
        return not self.recordings

    def from_run(self, run: RunDirectory, progress: Progress | None = None) -> Band:
        """Return the band with the recordings that a run learned from, where no arranger writes for its genre.

        Raises:
            ConfigError: when the recordings are gone.
            AudioError: when none has a steady beat, or one cannot be read that the run did not skip.
        """
        if self.genre in playing.GENRES:
            return self
        skip_damaged = run.config.data.skip_damaged
        heard = recordings.hear(recordings_of(run, self.genre), self.genre, progress, skip_damaged=skip_damaged)
        return replace(self, recordings=heard)

    def why_silent(self, sheet: LeadSheet) -> str | None:
        """Say in a sentence why the band does not play along with a song, or nothing where it does."""
        return hearing.why_silent(sheet) or (
            None if self.is_arranged else choosing.why_silent(sheet, self.recordings)
        )

    def play(self, sheet: LeadSheet, sample_rate: int, length: int) -> Iterator[Array]:
        """Play alone: float32 [n, 2] blocks, together `length` samples, from a song's sheet.

        Raises:
            ConfigError: when no arranger writes for the genre, and there are no recordings.
        """
        if self.recordings:
            return borrowing.play(sheet, self.recordings, sample_rate, length)
        if self.genre in playing.GENRES:
            return playing.play(sheet, self.genre, sample_rate, length)
        names = ", ".join(playing.GENRES)
        raise ConfigError(f"there is no band for {self.genre!r}, only for {names}, or with recordings of it")

    def along(
        self,
        song: Iterable[Array],
        sheet: LeadSheet,
        sample_rate: int,
        ceiling: float | None = None,
        stems: tuple[streams.Spool, streams.Spool] | None = None,
        shown: Callable[[Iterable[Array]], Iterable[Array]] = iter,
    ) -> Iterator[Array]:
        """Add the band to a song, which stays as loud as it was.

        Args:
            song: blocks float32 [n, C].
            sheet: what the band plays from.
            sample_rate: Hz.
            ceiling: that no true peak shall exceed; None: the usual one, or the song's own peak where that is higher.
            stems: get song and band as they are in the mix, before its peaks are limited.
            shown: passes on what the band plays while the song is made, [n, 2] each, as a progress bar does.

        Yields:
            float32 [n, C], together as long as the song.
        """
        with closing(streams.Spool()) as alone, closing(streams.Spool()) as band, closing(streams.Spool()) as back:
            peak = loudness.CEILING
            with closing(streams.ahead(self.play(sheet, sample_rate, round(sheet.seconds * sample_rate)))) as coming:
                for block, part in _beside(song, shown(coming)):
                    alone.append(block)
                    peak = max(peak, float(np.abs(block).max(initial=0)))
                    band.append(_placed(part, block.shape[1]))
            ours, theirs = streams.mapped(lambda each: _energies(each, sample_rate), (alone, band), threads=2)
            gain = self._gain(ours, theirs)
            heard, still = alone, ours
            if self.genre == "folk" and gain:  # tabla and drone take the place of the song's drums
                quieter = (gain * part for part in band.blocks())
                for part in room.step_back(alone.blocks(), quieter, sample_rate, min(self.level, 1.0)):
                    back.append(part)
                heard, still = back, _energies(back, sample_rate)
            # What plays together adds its energies: the whole stays as loud as the song was.
            both = still.sum() + gain**2 * theirs.sum()
            whole = np.float32(np.sqrt(ours.sum() / both) if gain else 1)

            def mixed() -> Iterator[Array]:
                for parts in zip(heard.blocks(), band.blocks(), strict=True):
                    parts = whole * parts[0], whole * gain * parts[1]
                    for stem, part in zip(stems or (), parts, strict=False):
                        stem.append(part)
                    yield parts[0] + parts[1]

            yield from streams.limited(mixed(), sample_rate, ceiling or peak)

    def over(self, song: Array, source: Array, sample_rate: int) -> Array:
        """Add the band to a whole song, as `along` does; where it stays silent, a warning says why.

        Args:
            song: float32 [N] or [N, C].
            source: what it was converted from, of the same shape, which the band listens to.
            sample_rate: Hz.

        Returns:
            float32 of the same shape.
        """
        source = np.asarray(source, np.float32)
        sheet = hear([source.reshape(len(source), -1)], sample_rate)
        if reason := self.why_silent(sheet):
            warnings.warn(reason, AudioWarning, stacklevel=2)
            return song
        blocks = self.along([song.reshape(len(song), -1)], sheet, sample_rate)
        return np.concatenate(list(blocks)).reshape(song.shape)

    def _gain(self, ours: Array, theirs: Array) -> np.float32:
        """Return what to multiply the band by, from the energies of song and band, half second by half second."""
        playing_now = theirs > _SILENT * theirs.max()
        if not ours[playing_now].any():
            return np.float32(0)
        ratio = ours[playing_now].sum() / theirs[playing_now].sum()
        return np.float32(self.level * 10 ** (BELOW / 20) * np.sqrt(ratio))


def _beside(song: Iterable[Array], band: Iterable[Array]) -> Iterator[tuple[Array, Array]]:
    """Pass on the blocks of a song, [n, C], each with as much of the band, [n, 2]: silence after its end.

    The sheet that the band plays from is of sound at another rate, so its length is not quite the song's.
    """
    parts, tape, done = iter(band), streams.Tape(), 0
    tape.append(next(parts))  # before the song's first block, so that both are made at the same time
    for block in song:
        end = done + len(block)
        while tape.end < end and (part := next(parts, None)) is not None:
            tape.append(part)
        yield block, tape.read_padded(done, end)
        tape.forget(end)
        done = end


def _energies(sound: streams.Spool, sample_rate: int) -> Array:
    """Return how much is heard of each half second, float64 [blocks]."""
    blocks = streams.reblocked(sound.blocks(), round(_BLOCK * sample_rate))
    return np.array([loudness.energy(block, sample_rate) for block in blocks])


def _placed(stereo: Array, channels: int) -> Array:
    """Give a band [n, 2] the channels of a song: both in one, or left and right in the first two of [n, C]."""
    if channels == 1:
        return stereo.mean(axis=1, keepdims=True)
    return np.pad(stereo, ((0, 0), (0, channels - 2)))
