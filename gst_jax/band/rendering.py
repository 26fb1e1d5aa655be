"""Turn what a band plays into sound: each note of the sound bank is made once, and copied to where it is played."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from scipy import signal

from gst_jax.corpus import bank, percussion, render, strings
from gst_jax.corpus.arrangement import HIGHEST_VELOCITY, Arrangement, Hit, Note
from gst_jax.corpus.composition import TAIL
from gst_jax.corpus.orchestra import Instrument, Kit, Orchestration
from gst_jax.types import Array

Event = TypeVar("Event", Note, Hit)

RATE = render.SAMPLE_RATE
_LEAD = 0.1  # seconds in which the bank is told its place; then its clock is at an edge of its blocks
_BRIEF = 0.2  # seconds of the note that shows how fast an instrument dies
_FRAME = round(0.02 * RATE)  # of which its gain is measured
_GONE = 1e-3  # gain: 60 dB softer
_STROKE = 4.5  # seconds that the longest cymbal rings
_HATS = (42, 44, 46)  # keys of one cymbal: a stroke ends the one before
_CHOKE = np.linspace(1, 0, round(0.01 * RATE), dtype=np.float32)


@dataclass(frozen=True)
class _Sound:
    """A note or a stroke of the bank at the highest velocity."""

    samples: Array  # float32 [n] or [n, 2], held as long as it ever is
    dying: Array  # float32 [m]: its gain after it has been let go


class Players:
    """The musicians of a band, who keep their sounds, places and levels from one part of a song to the next."""

    def __init__(self, whole: Arrangement, orchestration: Orchestration, seed: int) -> None:
        """Seat the players and make each sound of the bank that they will need.

        Args:
            whole: what they play.
            orchestration: their instruments, and how they are mixed.
            seed: of second takes, plucks, and the noise of amplifiers.
        """
        rng = np.random.default_rng(seed)
        self._orchestration, self._seed, self._tonic, self._hits = orchestration, seed, whole.tonic, whole.drums
        self._mirror = rng.choice((-1.0, 1.0))
        self._takes = list(render.takes(whole, orchestration, rng))
        held: dict[tuple[int, int], float] = {}
        for player, notes in self._takes:
            for note in () if player.model else notes:
                key = player.program, note.pitch
                held[key] = max(held.get(key, _BRIEF), note.duration)
        self._sounds = {key: _note(*key, seconds) for key, seconds in held.items()}
        self._faders: dict[Instrument | Kit, float] = {}

    def play(self, start: float, end: float) -> Array:
        """Play what begins from one second to another: float32 [n, 2] at `RATE`, as long as it sounds."""
        takes = [(player, _between(notes, start, end)) for player, notes in self._takes]
        hits = _between(self._hits, start, end)
        ends = [note.onset + note.duration + TAIL for _, notes in takes for note in notes]
        ends += [hit.onset + _STROKE for hit in hits]
        if not ends:
            return np.zeros((0, 2), np.float32)
        seconds = np.ceil(max(ends))  # whole ones are a whole number of samples at any rate
        with ThreadPoolExecutor(2) as pool:  # NumPy and SciPy let another thread work meanwhile
            drums = pool.submit(self._drums, hits, seconds) if hits else None
            stems = [
                (player, pool.submit(self._stem, number, player, notes, seconds))
                for number, (player, notes) in enumerate(takes)
                if notes
            ]
        played = [(player, stem.result()) for player, stem in stems]
        struck = drums.result() if drums else None
        return render.blend(played, struck, round(seconds * RATE), RATE, self._mirror, self._orchestration).T

    def _stem(self, number: int, player: Instrument, notes: tuple[Note, ...], seconds: float) -> Array:
        """Play a take: float32 [N]."""
        rng = np.random.default_rng((self._seed, number))  # the same for each part of the song
        if player.model:
            stem = _at_rate(strings.play(player.model, notes, seconds, bank.RATE, rng))
        else:
            stem = np.zeros(round(seconds * RATE), np.float32)
            for note in notes:
                _copy(stem, self._sounds[player.program, note.pitch], note, note.duration)
        return self._faded(render.treat(stem, RATE, player, notes, rng), player)

    def _drums(self, hits: tuple[Hit, ...], seconds: float) -> Array:
        """Play the drums: float32 [2, N]."""
        kit = self._orchestration.kit
        if kit.model:
            rng = np.random.default_rng(self._seed)
            sound = percussion.play(kit.model, hits, self._tonic, seconds, bank.RATE, rng)
            return self._faded(_at_rate(render.soften(sound, bank.RATE, kit.tone)), kit).T
        drums = np.zeros((round(seconds * RATE), 2), np.float32)
        keys, let_go = dict(kit.keys), seconds
        for hit in sorted(hits, key=lambda hit: -hit.onset):
            key = keys[hit.stroke]
            held = let_go - hit.onset if key in _HATS else _STROKE
            _copy(drums, _stroke(kit.program, key, kit.tone), hit, held)
            let_go = hit.onset if key in _HATS else let_go
        return self._faded(drums, kit).T

    def _faded(self, stem: Array, player: Instrument | Kit) -> Array:
        """Bring a stem to its player's level, found where they first play."""
        if player not in self._faders:
            self._faders[player] = render.fader(player.level, stem, RATE)
        return (self._faders[player] * stem).astype(np.float32)


def _note(program: int, pitch: int, seconds: float) -> _Sound:
    """Make a note that can be let go after any time up to `seconds`.

    How it dies then shows in another that is let go early, against the one that is held.
    """
    held = Note(_LEAD, seconds + TAIL, pitch, HIGHEST_VELOCITY)
    sound, brief = (_alone(program, note, _LEAD + held.duration) for note in (held, replace(held, duration=_BRIEF)))
    start = round(_BRIEF * RATE)
    count = (len(sound) - start) // _FRAME
    kept, left = (each[start:][: count * _FRAME].reshape(count, _FRAME) for each in (sound, brief))
    gain = (kept * left).sum(axis=1) / (np.square(kept).sum(axis=1) + 1e-9)
    gain = np.minimum.accumulate(np.clip(gain, 0, 1))[: round(TAIL * RATE / _FRAME)]
    gain = np.append(gain[gain > _GONE], 0)
    centres = _FRAME * (np.arange(len(gain)) + 0.5)
    dying = np.interp(np.arange(centres[-1]), [0, *centres], [1, *gain])
    return _Sound(sound, dying.astype(np.float32))


def _alone(program: int, note: Note, seconds: float) -> Array:
    """Play one note, from its onset: float32 [N]; of a pair, a little of each would be heard in the other."""
    return _at_rate(bank.play_pair([(program, [note])], seconds)[round(note.onset * bank.RATE) :, 0])


@functools.cache
def _stroke(program: int, key: int, tone: float | None) -> _Sound:
    """Make a stroke of a drum set, softened as the set is."""
    hit = Hit(_LEAD, "stroke", HIGHEST_VELOCITY)
    sound = bank.play_drums(program, {hit.stroke: key}, [hit], _LEAD + _STROKE)
    return _Sound(_at_rate(render.soften(sound, bank.RATE, tone))[round(_LEAD * RATE) :], _CHOKE)


def _copy(out: Array, sound: _Sound, event: Note | Hit, duration: float) -> None:
    """Add a sound to [N] or [N, 2] samples; the bank's amplitude is the square of the velocity."""
    held = round(duration * RATE)
    piece = sound.samples[: held + len(sound.dying)] * np.float32((event.velocity / HIGHEST_VELOCITY) ** 2)
    after = piece[held:]
    after *= sound.dying[: len(after)].reshape(-1, *[1] * (piece.ndim - 1))
    place = out[round(event.onset * RATE) :][: len(piece)]
    place += piece[: len(place)]


def _between(events: tuple[Event, ...], start: float, end: float) -> tuple[Event, ...]:
    """Return the notes or strokes that begin from one second to another, timed from there."""
    return tuple(replace(event, onset=event.onset - start) for event in events if start <= event.onset < end)


def _at_rate(samples: Array) -> Array:
    """Bring samples of the bank's rate, [N] or [N, C], to `RATE`."""
    return signal.resample_poly(samples, RATE, bank.RATE, axis=0).astype(np.float32)
