"""Turn what a band plays into sound: each sound of an instrument is made once, and copied to where it is played."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from scipy import signal

from gst_jax.corpus import bank, percussion, render, strings
from gst_jax.corpus.amplifier import active_level
from gst_jax.corpus.arrangement import HIGHEST_VELOCITY, Arrangement, Hit, Note
from gst_jax.corpus.composition import TAIL
from gst_jax.corpus.orchestra import Instrument, Kit, Orchestration
from gst_jax.types import Array

Event = TypeVar("Event", Note, Hit)
Voice = tuple[int, str]  # what makes the sounds: a program of the bank, or the name of a model

RATE = render.SAMPLE_RATE
_SLOT = 0.004  # seconds: a whole number of the bank's ticks and of its blocks, so that a note begins where it should
_BRIEF = 0.2  # seconds of the note that shows how fast an instrument dies
_STROKE = 4.5  # seconds that the longest cymbal rings
_SILENT = 1e-4  # where a stroke has died
_HATS = (42, 44, 46)  # keys of one cymbal: a stroke ends the one before


@dataclass(frozen=True)
class _Sound:
    """One pitch or stroke at the highest velocity."""

    samples: Array  # float32 [n] or [n, 2], as long as it is ever held, and its end
    fade: Array  # float32 [m]: its gain after it was let go
    law: float  # the power of the velocity to which its amplitude is proportional


class Players:
    """The musicians of a band, who keep their sounds, places and levels from one part of a song to the next."""

    def __init__(self, whole: Arrangement, orchestration: Orchestration, seed: int) -> None:
        """Seat the players and make each sound that they will need.

        Args:
            whole: what they play.
            orchestration: their instruments, and how they are mixed.
            seed: of second takes, plucks, and the noise of amplifiers.
        """
        rng = np.random.default_rng(seed)
        self._tonic, self._orchestration, self._seed = whole.tonic, orchestration, seed
        self._mirror = rng.choice((-1.0, 1.0))
        self._takes = list(render.takes(whole, orchestration, rng))
        self._hits = whole.drums
        self._sounds: dict[tuple[Voice, int], _Sound] = {}
        for voice in sorted({_voice(player) for player, _ in self._takes}):
            notes = [note for player, notes in self._takes if _voice(player) == voice for note in notes]
            self._sounds |= {(voice, pitch): sound for pitch, sound in _sounds(*voice, notes, rng).items()}
        kit = orchestration.kit
        self._strokes = {} if kit.model or not whole.drums else _strokes(kit, {hit.stroke for hit in whole.drums})
        self._faders: dict[Instrument | Kit, float] = {}

    def play(self, start: float, end: float) -> Array:
        """Play what begins from one second to another: float32 [n, 2] at `RATE`, as long as it sounds."""
        takes = [(player, _between(notes, start, end)) for player, notes in self._takes]
        hits = _between(self._hits, start, end)
        ends = [note.onset + note.duration for _, notes in takes for note in notes] + [hit.onset for hit in hits]
        if not ends:
            return np.zeros((0, 2), np.float32)
        length = round((max(ends) + TAIL) * RATE)
        dry, send = np.zeros((2, length), np.float32), np.zeros(length, np.float32)
        with ThreadPoolExecutor(2) as pool:  # NumPy and SciPy let another thread work meanwhile
            drums = pool.submit(self._drums, hits, length)
            stems = [pool.submit(self._stem, number, *take, length) for number, take in enumerate(takes)]
            for (player, _), stem in zip(takes, stems, strict=True):
                angle = (1 + self._mirror * player.pan) * np.pi / 4
                dry[0] += np.cos(angle) * stem.result()
                dry[1] += np.sin(angle) * stem.result()
                send += player.room * stem.result()
            dry += drums.result()
            send += 0.7 * self._orchestration.kit.room * drums.result().sum(axis=0)
        dry += render.reverberate(send, RATE, self._orchestration)[:, :length]
        return dry.T

    def _stem(self, number: int, player: Instrument, notes: tuple[Note, ...], length: int) -> Array:
        """Play one take: float32 [length]."""
        out = np.zeros(length, np.float32)
        if not notes:
            return out
        for note in notes:
            _copy(out, self._sounds[_voice(player), note.pitch], note.onset, note.duration, note.velocity)
        out = render.treat(out, RATE, player, notes, np.random.default_rng((self._seed, number)))
        return self._faded(out, player)

    def _drums(self, hits: tuple[Hit, ...], length: int) -> Array:
        """Play the drums: float32 [2, length]."""
        kit = self._orchestration.kit
        if not hits:
            return np.zeros((2, length), np.float32)
        if kit.model:
            rng = np.random.default_rng(self._seed)
            at_bank = percussion.play(kit.model, hits, self._tonic, length / RATE, bank.RATE, rng)
            out = _at_rate(at_bank)[:length]
        else:
            out = np.zeros((length, 2), np.float32)
            keys, let_go = dict(kit.keys), np.inf
            for hit in reversed(hits):
                hat = keys[hit.stroke] in _HATS
                _copy(out, self._strokes[hit.stroke], hit.onset, let_go - hit.onset if hat else np.inf, hit.velocity)
                let_go = hit.onset if hat else let_go
        return self._faded(render.soften(out, RATE, kit.tone), kit).T

    def _faded(self, stem: Array, player: Instrument | Kit) -> Array:
        """Bring a stem to its player's level, found where they first play."""
        if player not in self._faders:
            self._faders[player] = render.STEM_LEVEL * 10 ** (player.level / 20) / active_level(stem, RATE)
        return (np.float32(self._faders[player]) * stem).astype(np.float32)


def _voice(player: Instrument) -> Voice:
    return player.program, player.model


def _sounds(program: int, model: str, notes: list[Note], rng: np.random.Generator) -> dict[int, _Sound]:
    """Make each pitch that an instrument plays, as long as its longest note."""
    longest = max(1.0, *(note.duration for note in notes))
    pitches = sorted({note.pitch for note in notes})
    if model:
        return {pitch: _modelled(model, Note(0.0, longest, pitch, HIGHEST_VELOCITY), rng) for pitch in pitches}
    slot = _SLOT * round((longest + TAIL) / _SLOT)
    held = [Note(slot * index, longest, pitch, HIGHEST_VELOCITY) for index, pitch in enumerate(pitches)]
    brief = [replace(note, duration=_BRIEF) for note in held]
    both = _at_rate(bank.play_pair([(program, held), (program, brief)], slot * len(pitches)))
    return {pitch: _let_go(*one.T) for pitch, one in zip(pitches, np.split(both, len(pitches)), strict=True)}


def _modelled(model: str, note: Note, rng: np.random.Generator) -> _Sound:
    """Make a note of a modelled instrument, which is faded as `strings.play` does."""
    sound = strings.play(model, (note,), note.duration + 0.3, bank.RATE, rng)
    fade = np.append(np.ones(round(0.13 * RATE)), np.linspace(1, 0, round(0.12 * RATE)))
    return _Sound(_at_rate(sound), fade.astype(np.float32), 1.5)


def _let_go(held: Array, brief: Array) -> _Sound:
    """Find how a sound dies after its note, exponentially, from one that was let go after `_BRIEF`."""
    after = slice(round((_BRIEF + 0.01) * RATE), round((_BRIEF + 0.05) * RATE))
    left = (held[after] @ brief[after]) / max(held[after] @ held[after], 1e-9)
    pace = -np.log(np.clip(left, 1e-3, 0.97)) / 0.03
    gone = 7 / pace  # seconds: 60 dB softer
    return _Sound(held, np.exp(-pace * np.arange(round(gone * RATE)) / RATE).astype(np.float32), 2.0)


def _strokes(kit: Kit, names: set[str]) -> dict[str, _Sound]:
    """Make the strokes of a drum set of the bank."""
    ordered = sorted(names)
    hits = [Hit(_STROKE * index, name, HIGHEST_VELOCITY) for index, name in enumerate(ordered)]
    sound = bank.play_drums(kit.program, dict(kit.keys), hits, _STROKE * len(hits))
    fade = np.linspace(1, 0, round(0.01 * RATE), dtype=np.float32)
    each = np.split(_at_rate(sound), len(hits))
    ends = [np.flatnonzero(np.abs(one).max(axis=1) > _SILENT).max() for one in each]
    return {name: _Sound(one[:end], fade, 2.0) for name, one, end in zip(ordered, each, ends, strict=True)}


def _copy(out: Array, sound: _Sound, onset: float, duration: float, velocity: int) -> None:
    """Add a sound to [N] or [N, 2] samples."""
    start = round(onset * RATE)
    held = min(len(sound.samples), round(min(duration, len(out)) * RATE))
    piece = sound.samples[: held + len(sound.fade)][: len(out) - start]
    piece = np.float32((velocity / HIGHEST_VELOCITY) ** sound.law) * piece
    piece[held:] = (piece[held:].T * sound.fade[: len(piece) - held]).T
    out[start : start + len(piece)] += piece


def _between(events: tuple[Event, ...], start: float, end: float) -> tuple[Event, ...]:
    """Return the notes or strokes that begin from one second to another, timed from there."""
    return tuple(replace(event, onset=event.onset - start) for event in events if start <= event.onset < end)


def _at_rate(samples: Array) -> Array:
    """Bring samples of the bank's rate, [N] or [N, C], to `RATE`."""
    return signal.resample_poly(samples, RATE, bank.RATE, axis=0).astype(np.float32)
