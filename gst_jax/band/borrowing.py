"""Play along with a song with bars of other recordings: what is percussive in them, and what is below 200 Hz."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.fft
import scipy.ndimage
import soxr

from gst_jax import sound
from gst_jax.band import choosing
from gst_jax.band.choosing import PASSAGE, UNIT, Choice, bass_shift
from gst_jax.band.lead_sheet import LeadSheet
from gst_jax.band.recordings import Recording
from gst_jax.sound.spectrum import OVERLAP, TINY, istft, stft
from gst_jax.types import Array

Take = Callable[[Array, int, float], Array]  # sound [N, 2], its rate, semitones for its bass -> [N, 2]

LOW = 200.0  # Hz; the bass, which is taken whole
_SLOPE = 4  # of the crossover there, an order of Butterworth's
_WINDOW = 0.064  # seconds
_HELD, _WIDE = 0.29, 270.0  # seconds and Hz of the medians that tell what is held from what is struck
_STRUCK = 2.0  # times as strong as what is held, or it is not taken
_SLOW_RATE = 4000  # Hz; enough for the bass
_SLOW_WINDOW = 512  # samples of it
_MARGIN = 0.5  # seconds around what is taken, so that the medians have no edge
_EARLY, _FADE = 0.02, 0.01  # seconds before a bar line where it is cut, and on either side of the cut
_OUT = -20.0  # dB below the song's loud bars at which nobody plays
_BREATH = 0.5  # dB for each dB of the song's bars
_LEVEL = 0.1  # RMS of a recording's loud parts, as they are borrowed from
_REMEMBERED = 8  # passages, for a song whose sections come again


@dataclass(frozen=True)
class Passage:
    """Bars of a recording in a row, for bars of a song in a row."""

    recording: Recording
    first: int  # bar of the song
    lines: tuple[float, ...]  # seconds in the recording, of its bar lines and the end
    semitones: float  # by which the bass is shifted before it is played at the song's pace


def play(sheet: LeadSheet, recordings: Sequence[Recording], sample_rate: int, length: int) -> Iterator[Array]:
    """Play along with a song, as `playing.play` does, with the bars that `choosing.choose` finds."""
    return perform(sheet, choosing.choose(sheet, recordings), sample_rate, length)


def perform(
    sheet: LeadSheet,
    choices: Sequence[Choice | None],
    sample_rate: int,
    length: int,
    take: Take | None = None,
) -> Iterator[Array]:
    """Play what was chosen, bar by bar, so that memory does not grow with the song's length.

    Each bar is played as a tape is, as fast as its bar of the song; its bass was shifted so that it is then in tune.

    Args:
        sheet: the song.
        choices: for each two of its bars.
        sample_rate: Hz of the song.
        length: of the song, in samples.
        take: what to take of the recordings; None: `accompaniment`.

    Yields:
        float32 [n, 2], together exactly so long; silent where nothing was chosen, and in the song's pauses.
    """
    return _joined(_pieces(sheet, choices, sample_rate, length, take or accompaniment), length)


def passages(sheet: LeadSheet, choices: Sequence[Choice | None]) -> Iterator[Passage]:
    """Gather choices that go on where the one before ends."""
    lines = sheet.beats[:: sheet.meter]
    last: Choice | None = None
    row: list[tuple[int, Choice]] = []
    for place, choice in enumerate([*choices, None]):
        goes_on = last is not None and choice is not None and last.goes_on_with(choice)
        if row and (not goes_on or len(row) == PASSAGE):
            yield _passage(sheet.tuning, lines, row)
            row = []
        if choice is not None:
            row.append((place, choice))
        last = choice


def _passage(tuning: float, lines: Array, row: Sequence[tuple[int, Choice]]) -> Passage:
    first, (_, choice) = UNIT * row[0][0], row[0]
    recording = choice.recording
    bars = min(UNIT * len(row), len(lines) - 1 - first)
    beats = choice.start + np.arange(bars + 1) * choice.beats / UNIT
    taken = np.interp(beats, np.arange(len(recording.beats)), recording.beats)
    pace = (taken[-1] - taken[0]) / (lines[first + bars] - lines[first])
    shift = float(bass_shift(np.array(choice.semitones), pace, tuning - recording.tuning))
    return Passage(recording, first, tuple(taken.tolist()), shift)


def _pieces(
    sheet: LeadSheet, choices: Sequence[Choice | None], sample_rate: int, length: int, take: Take
) -> Iterator[tuple[int, Array]]:
    """Yield for each bar the sample at which it begins and what is played, float32 [n, 2]."""
    lines = sheet.beats[:: sheet.meter] - _EARLY
    edges = np.clip(np.round(lines * sample_rate).astype(int), 0, length)
    fade = max(1, round(_FADE * sample_rate))
    cut = functools.lru_cache(maxsize=_REMEMBERED)(functools.partial(_cut, take))
    for passage in passages(sheet, choices):
        taken = cut(passage.recording.path, passage.lines, round(passage.semitones, 1))
        for bar, (start, end) in enumerate(itertools.pairwise(passage.lines), passage.first):
            first, size, level = int(edges[bar]) - fade, int(edges[bar + 1] - edges[bar]), float(sheet.levels[bar])
            if level < _OUT or not size:
                yield first, np.zeros((0, 2), np.float32)
                continue
            pace = (end - start) * sample_rate / size
            gain = _LEVEL / max(passage.recording.level, 1e-6) * 10 ** (_BREATH * level / 20)
            played = taken.played(start - _EARLY * pace, pace, sample_rate, fade, size)
            yield first, np.float32(gain) * _faded(played, fade)


@dataclass(frozen=True, eq=False)
class _Cut:
    """What is taken of a passage."""

    samples: Array  # float32 [N, 2]
    sample_rate: int
    start: float  # second of the recording at which the samples begin

    def played(self, second: float, pace: float, sample_rate: int, fade: int, size: int) -> Array:
        """Return what comes from a second of the recording on, and a fade before and after: [size + 2 * fade, 2]."""
        spare = fade  # where the resampler begins and ends
        begin = round((second - self.start - (fade + spare) / sample_rate * pace) * self.sample_rate)
        count = round((size + 2 * (fade + spare)) / sample_rate * pace * self.sample_rate) + 2
        part = self.samples[max(begin, 0) : max(begin + count, 0)]
        part = np.pad(part, ((max(-begin, 0), 0), (0, 0)))
        made = soxr.resample(_padded(part, count), self.sample_rate * pace, sample_rate)
        return _padded(made[spare:], size + 2 * fade)[: size + 2 * fade]


def _cut(take: Take, path: Path, lines: tuple[float, ...], semitones: float) -> _Cut:
    """Read a passage and take of it what is wanted."""
    rate = sound.read_header(path).sample_rate
    first, last = (round((second + margin) * rate) for second, margin in ((lines[0], -_MARGIN), (lines[-1], _MARGIN)))
    stereo = _padded(_read(path, max(first, 0), last), last - max(first, 0))
    return _Cut(take(stereo, rate, semitones), rate, max(first, 0) / rate)


def accompaniment(stereo: Array, rate: int, semitones: float) -> Array:
    """Take what is percussive and what is below `LOW` out of sound.

    What is percussive, medians tell from what is held (Fitzgerald 2010), with a margin (Driedger et al. 2014).

    Args:
        stereo: float32 [N, 2].
        rate: Hz.
        semitones: by which what is low is shifted.

    Returns:
        float32 [N, 2].
    """
    n_fft = OVERLAP * scipy.fft.next_fast_len(round(_WINDOW * rate / OVERLAP), real=True)
    spectrum = stft(np.ascontiguousarray(stereo.T), n_fft)
    magnitude = np.abs(spectrum).mean(axis=0)
    held = _median(magnitude.T, round(_HELD * rate / n_fft * OVERLAP)).T
    struck = np.square(_median(magnitude, round(_WIDE * n_fft / rate)))
    struck /= np.maximum(struck + np.square(_STRUCK * held), np.float32(TINY))
    low = 1 / (1 + (np.arange(n_fft // 2 + 1, dtype=np.float32) * rate / n_fft / LOW) ** (2 * _SLOPE))
    low = low.astype(np.float32)
    drums, bass = (istft(spectrum * kept, n_fft, len(stereo)) for kept in (struck * (1 - low), low))
    return (drums + _shifted(bass, rate, semitones)).T


def _median(rows: Array, size: int) -> Array:
    """Return running medians along rows [n, m]: all rows as one, five times as fast, and wrong at their ends."""
    return scipy.ndimage.median_filter(rows.ravel(), size).reshape(rows.shape)


def _shifted(bass: Array, rate: int, semitones: float) -> Array:
    """Shift what is low, float32 [2, N], by a phase vocoder."""
    from librosa.effects import pitch_shift

    if not semitones:
        return bass
    slow = soxr.resample(bass.T, rate, _SLOW_RATE).T
    higher = pitch_shift(slow, sr=_SLOW_RATE, n_steps=semitones, n_fft=_SLOW_WINDOW)
    return _padded(soxr.resample(higher.T, _SLOW_RATE, rate), bass.shape[1])[: bass.shape[1]].T


def _read(path: Path, first: int, last: int) -> Array:
    """Read samples of a file, float32 [n, 2]: fewer where it ends sooner."""
    parts, passed = [np.zeros((0, 2), np.float32)], 0
    for block in sound.read_blocks(path):
        part = block[max(first - passed, 0) : max(last - passed, 0), :2]
        parts.append(np.broadcast_to(part, (len(part), 2)))
        passed += len(block)
        if passed >= last:
            break
    return np.concatenate(parts)


def _joined(pieces: Iterable[tuple[int, Array]], length: int) -> Iterator[Array]:
    """Add pieces [n, 2] up, each from its first sample on, which rises, to a stream of exactly a length."""
    done, ringing = 0, np.zeros((0, 2), np.float32)
    for first, piece in pieces:
        piece, first = piece[max(-first, 0) :], max(first, 0)
        yield _padded(ringing, first - done)[: first - done]
        ringing = ringing[first - done :]
        size = max(len(ringing), len(piece))
        ringing, done = _padded(ringing, size) + _padded(piece, size), first
    yield _padded(ringing, length - done)[: length - done]


def _faded(piece: Array, fade: int) -> Array:
    """Let a piece [n, 2] rise and fall over twice a fade, so that pieces that overlap so add up to one."""
    rise = (np.arange(2 * fade, dtype=np.float32) + 0.5) / (2 * fade)
    piece = piece.copy()
    piece[: 2 * fade] *= rise[:, None]
    piece[-2 * fade :] *= rise[::-1, None]
    return piece


def _padded(rows: Array, size: int) -> Array:
    """Return at least so many rows."""
    return np.pad(rows, ((0, max(size - len(rows), 0)), (0, 0)))
