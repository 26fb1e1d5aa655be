"""Turn an arrangement into a stereo recording."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import signal

from gst_jax.corpus import bank, percussion, strings
from gst_jax.corpus.amplifier import active_level, amplify, echo, room
from gst_jax.corpus.arrangement import Arrangement, Note
from gst_jax.corpus.orchestra import Instrument, Orchestration

SAMPLE_RATE = 32_000  # samples a second of the corpus
PEAK = 10 ** (-1.2 / 20)
LOUDNESS = 10 ** (-19 / 20)  # RMS of a recording
_STEM_LEVEL = 0.1


def render(arrangement: Arrangement, orchestration: Orchestration, rng: np.random.Generator) -> np.ndarray:
    """Play an arrangement and mix it.

    Args:
        arrangement: the notes of every role.
        orchestration: the instrument of every role.
        rng: second takes, plucks, small differences of the mix.

    Returns:
        Samples at `SAMPLE_RATE`, float32 [N, 2], peaks below -1 dBFS.
    """
    rate = bank.RATE
    dry = np.zeros((round(arrangement.seconds * rate), 2))
    wet = np.zeros_like(dry)
    stems = _play(arrangement, orchestration, rng)
    mirror = rng.choice((-1.0, 1.0))
    for player, stem in stems:
        if player.drive is not None:
            stem = amplify(stem, rate, player.drive)
        if player.echo:
            stem = echo(stem, rate, 0.31, player.echo)
        gain = _STEM_LEVEL * 10 ** ((player.level + rng.normal(0, 0.8)) / 20) / active_level(stem, rate)
        angle = (1 + mirror * player.pan) * np.pi / 4
        placed = gain * stem[:, None] * (np.cos(angle), np.sin(angle))
        dry += placed
        wet += player.room * placed
    drums = _play_drums(arrangement, orchestration, rng)
    dry += drums
    wet += orchestration.kit.room * drums
    response = room(rate, orchestration.room_seconds, orchestration.room_brightness)
    mix = dry + 1.6 * signal.oaconvolve(wet, response, axes=0)[: len(dry)]
    return _master(mix, orchestration.saturation)


def _play(
    arrangement: Arrangement, orchestration: Orchestration, rng: np.random.Generator
) -> list[tuple[Instrument, np.ndarray]]:
    """Return each take of each role as (its instrument, [N] samples)."""
    from_bank, stems = [], []
    for role, notes in arrangement.parts.items():
        player = orchestration.instruments[role]
        notes = _fit(notes, player.low, player.high)
        if player.model:
            stems.append((player, strings.play(player.model, notes, arrangement.seconds, bank.RATE, rng)))
        elif player.takes == 2:
            from_bank.append((dataclasses.replace(player, pan=-0.8, level=player.level - 3), notes))
            from_bank.append((dataclasses.replace(player, pan=0.8, level=player.level - 3), _again(notes, rng)))
        else:
            from_bank.append((player, notes))
    for first in range(0, len(from_bank), 2):
        pair = from_bank[first : first + 2]
        sound = bank.play_pair([(player.program, notes) for player, notes in pair], arrangement.seconds)
        stems += [(player, sound[:, column]) for column, (player, _) in enumerate(pair)]
    return stems


def _play_drums(arrangement: Arrangement, orchestration: Orchestration, rng: np.random.Generator) -> np.ndarray:
    kit, seconds = orchestration.kit, arrangement.seconds
    if kit.model:
        sound = percussion.play(kit.model, arrangement.drums, arrangement.tonic, seconds, bank.RATE, rng)
    else:
        sound = bank.play_drums(kit.program, dict(kit.keys), arrangement.drums, seconds)
    return _STEM_LEVEL * 10 ** ((kit.level + rng.normal(0, 0.8)) / 20) / active_level(sound, bank.RATE) * sound


def _fit(notes: tuple[Note, ...], low: int, high: int) -> tuple[Note, ...]:
    """Move a part by whole octaves to the middle of a range, then the notes still outside."""
    middle = float(np.median([note.pitch for note in notes]))
    shift = 12 * round(((low + high) / 2 - middle) / 12)
    moved = []
    for note in notes:
        pitch = note.pitch + shift
        while pitch < low:
            pitch += 12
        while pitch > high:
            pitch -= 12
        moved.append(dataclasses.replace(note, pitch=pitch))
    return tuple(moved)


def _again(notes: tuple[Note, ...], rng: np.random.Generator) -> tuple[Note, ...]:
    """Return the notes as a second take plays them, a few milliseconds and cents away."""
    onsets = [max(0.0, note.onset + rng.normal(0, 0.009)) for note in notes]
    return tuple(
        dataclasses.replace(note, onset=onset, slide=note.slide, vibrato=note.vibrato)
        for note, onset in zip(notes, onsets, strict=True)
    )


def _master(mix: np.ndarray, saturation: float) -> np.ndarray:
    """Filter rumble, glue with a soft clipper, resample, bring to the common loudness, limit, fade out."""
    mix = signal.sosfilt(signal.butter(2, 35.0, "highpass", fs=bank.RATE, output="sos"), mix, axis=0)
    pushed = 10 ** (saturation / 20) * mix / active_level(mix, bank.RATE) * 0.25
    mix = signal.resample_poly(np.tanh(pushed), 2, 3, axis=0)
    mix *= LOUDNESS / np.sqrt((mix**2).mean())
    knee = 0.6
    over = np.abs(mix) > knee
    room_left = PEAK - knee
    mix[over] = np.sign(mix[over]) * (knee + room_left * np.tanh((np.abs(mix[over]) - knee) / room_left))
    fade = round(0.4 * SAMPLE_RATE)
    mix[-fade:] *= np.cos(np.linspace(0, np.pi / 2, fade))[:, None] ** 2
    return mix.astype(np.float32)
