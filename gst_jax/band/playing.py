"""Play along with a song: a genre's players, without its lead, on the song's beats, in its key and tuning."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
import soxr

from gst_jax.band.lead_sheet import LeadSheet
from gst_jax.band.rendering import RATE, Players
from gst_jax.corpus import folk, jazz, rock
from gst_jax.corpus.arrangement import HIGHEST_VELOCITY, Arrangement, Hit, Note
from gst_jax.corpus.composition import LEAD_IN, Tune
from gst_jax.corpus.orchestra import Orchestration, draw_seats, orchestrate
from gst_jax.types import Array

Event = TypeVar("Event", Note, Hit)

GENRES: dict[str, ModuleType] = {"folk": folk, "jazz": jazz, "rock": rock}
SEED = 0  # the same song gets the same band each time
_PART_BARS = 32  # rendered at a time, so that memory does not grow with the song
_OUT = -20.0  # dB below the song's loud bars at which the band does not play: an intro, a break
_BREATH = 1 / 60  # of a song's level in dB, as the exponent of a velocity: 6 dB softer are 21 % less
_MARGIN = 0.05  # seconds before a part, for a player who is early


def arrange(sheet: LeadSheet, genre: str) -> Arrangement:
    """Write what the players of a genre play along with a song, timed as the song is.

    Args:
        sheet: the song.
        genre: one of `GENRES`.
    """
    # A tune without a melody leaves the arrangers nothing to give a lead or a second voice.
    minutes = (sheet.beats[-1] - sheet.beats[0]) / 60
    tune = Tune(
        tonic=sheet.tonic,
        mode=sheet.mode,
        meter=sheet.meter,
        tempo=(len(sheet.beats) - 1) / minutes,
        chords=sheet.chords,
        phrases=sheet.phrases,
        melody=(),
    )
    written = GENRES[genre].arrange(tune, np.random.default_rng(SEED))
    grid = LEAD_IN + tune.beat_seconds * np.arange(len(sheet.beats))
    return Arrangement(
        seconds=sheet.seconds,
        tonic=sheet.tonic,
        parts={role: _on_the_beats(notes, grid, sheet) for role, notes in written.parts.items()},
        drums=_on_the_beats(written.drums, grid, sheet),
    )


def seat(genre: str) -> Orchestration:
    """Choose who plays."""
    rng = np.random.default_rng(SEED)
    return orchestrate(genre, draw_seats(rng), rng)


def play(sheet: LeadSheet, genre: str, sample_rate: int, length: int) -> Iterator[Array]:
    """Play along with a song, part by part, so that memory does not grow with its length.

    Args:
        sheet: the song.
        genre: one of `GENRES`.
        sample_rate: Hz of the song.
        length: of the song, in samples; the sheet's seconds are rounded where it was heard at another rate.

    Yields:
        float32 [n, 2], together exactly so long; silent where the band does not play.
    """
    lines = sheet.beats[:-1][:: sheet.meter * _PART_BARS] - _MARGIN
    edges = [*(min(max(round(line * sample_rate), 0), length) for line in lines), length]
    yield np.zeros((edges[0], 2), np.float32)
    # Played slower by as much as it then sounds higher, as a tape is, it is in the song's tuning.
    pitch = 2 ** (sheet.tuning / 1200)
    players = Players(_slower(arrange(sheet, genre), pitch), seat(genre), SEED)
    ringing = np.zeros((0, 2), np.float32)
    for first, last in itertools.pairwise(edges):
        tape = players.play(first / sample_rate * pitch, last / sample_rate * pitch)
        sound = soxr.resample(tape, RATE * pitch, sample_rate)
        total = np.zeros((max(len(sound), len(ringing), last - first), 2), np.float32)
        total[: len(sound)] += sound
        total[: len(ringing)] += ringing
        yield total[: last - first]
        ringing = total[last - first :]


def _slower(whole: Arrangement, factor: float) -> Arrangement:
    def moved(note: Note) -> Note:
        return dataclasses.replace(note, onset=note.onset * factor, duration=note.duration * factor)

    return dataclasses.replace(
        whole,
        seconds=whole.seconds * factor,
        parts={role: tuple(map(moved, notes)) for role, notes in whole.parts.items() if notes},
        drums=tuple(dataclasses.replace(hit, onset=hit.onset * factor) for hit in whole.drums),
    )


def _on_the_beats(events: tuple[Event, ...], grid: Array, sheet: LeadSheet) -> tuple[Event, ...]:
    """Move notes from an even grid to the song's beats, as loud as its bars; in its pauses nobody plays."""
    played = []
    for event in events:
        onset = _warped(event.onset, grid, sheet.beats)
        level = sheet.levels[_bar_at(onset, sheet)]
        if onset < 0 or level < _OUT:
            continue
        velocity = int(np.clip(round(event.velocity * 10 ** (level * _BREATH)), 1, HIGHEST_VELOCITY))
        changes: dict[str, Any] = {"onset": onset, "velocity": velocity}
        if isinstance(event, Note):
            changes["duration"] = _warped(event.onset + event.duration, grid, sheet.beats) - onset
        played.append(dataclasses.replace(event, **changes))
    return tuple(played)


def _warped(seconds: float, grid: Array, beats: Array) -> float:
    """Return when a moment of the even grid comes in the song; beyond its beats time goes on at its mean pace."""
    if grid[0] <= seconds <= grid[-1]:
        return float(np.interp(seconds, grid, beats))
    end = 0 if seconds < grid[0] else -1
    pace = (beats[-1] - beats[0]) / (grid[-1] - grid[0])
    return float(beats[end] + pace * (seconds - grid[end]))


def _bar_at(seconds: float, sheet: LeadSheet) -> int:
    """Return the bar in which a moment lies, the first or last one outside; a little early is still in time."""
    lines = sheet.beats[:: sheet.meter]
    return int(np.clip(np.searchsorted(lines, seconds + _MARGIN, side="right") - 1, 0, sheet.bars - 1))
