"""Turn an arrangement into a stereo recording."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np
from scipy import signal

from gst_jax.corpus import bank, percussion, strings
from gst_jax.corpus.amplifier import active_level, amplify, echo, gate, room, waver
from gst_jax.corpus.arrangement import HIGHEST_VELOCITY, LOWEST_VELOCITY, Arrangement, Note
from gst_jax.corpus.orchestra import Instrument, Orchestration

SAMPLE_RATE = 32_000  # samples a second of the corpus
PEAK = 10 ** (-1.2 / 20)
LOUDNESS = 10 ** (-19 / 20)  # RMS of a recording
_STEM_LEVEL = 0.1  # RMS of a player at 0 dB
_KNEE = 0.6  # where limiting starts


def render(arrangement: Arrangement, orchestration: Orchestration, rng: np.random.Generator) -> np.ndarray:
    """Play an arrangement, mix it and finish the mix.

    Args:
        arrangement: the notes of every role.
        orchestration: the instrument of every role.
        rng: second takes, plucks, small differences of the mix.

    Returns:
        Samples at `SAMPLE_RATE`, float32 [N, 2], peaks below -1 dBFS.
    """
    return _master(_mix(arrangement, orchestration, rng), orchestration.saturation)


def _mix(arrangement: Arrangement, orchestration: Orchestration, rng: np.random.Generator) -> np.ndarray:
    """Play an arrangement and mix it: float64 [2, N] at `SAMPLE_RATE`."""
    mirror = rng.choice((-1.0, 1.0))
    stems = []
    for player, notes, stem in _play(arrangement, orchestration, rng):
        stem = treat(stem, bank.RATE, player, notes, rng)
        stems.append((player, fader(player.level + _spread(rng), stem, bank.RATE) * stem))
    drums = _play_drums(arrangement, orchestration, rng) if arrangement.drums else None
    return blend(stems, drums, round(arrangement.seconds * bank.RATE), bank.RATE, mirror, orchestration)


def blend(
    stems: Iterable[tuple[Instrument, np.ndarray]],
    drums: np.ndarray | None,
    length: int,
    rate: int,
    mirror: float,
    orchestration: Orchestration,
) -> np.ndarray:
    """Put players in their places, in a room.

    Args:
        stems: each instrument with [N] samples.
        drums: [2, N] samples.
        length: N.
        rate: samples a second.
        mirror: 1, or -1 to exchange left and right.
        orchestration: the room, and how much of the drums it hears.

    Returns:
        [2, M] samples at `SAMPLE_RATE`.
    """
    dry, send = np.zeros((2, length)), np.zeros(length)
    for player, stem in stems:
        angle = (1 + mirror * player.pan) * np.pi / 4
        dry[0] += np.cos(angle) * stem
        dry[1] += np.sin(angle) * stem
        send += player.room * stem
    if drums is not None:
        dry += drums
        send += 0.7 * orchestration.kit.room * drums.sum(axis=0)
    # The room is dull anyway: at a third of the bank's rate it costs a third.
    slow = bank.RATE // 3
    response = room(slow, orchestration.room_seconds, orchestration.room_brightness)
    dull = signal.resample_poly(send, slow, rate)
    wet = signal.oaconvolve(dull[None], response, axes=1)[:, : len(dull)]
    mixed = signal.resample_poly(dry, SAMPLE_RATE, rate, axis=1)
    mixed += 1.6 * signal.resample_poly(wet, SAMPLE_RATE, slow, axis=1)[:, : mixed.shape[1]]
    return mixed


def treat(
    stem: np.ndarray, rate: int, player: Instrument, notes: tuple[Note, ...], rng: np.random.Generator
) -> np.ndarray:
    """Send a take through all that stands between its instrument and the mix: amplifier, softening, echo.

    Args:
        stem: [N] samples.
        rate: samples a second.
        player: the instrument.
        notes: what is played.
        rng: the noise of the amplifier, the drift of a second take.

    Returns:
        [N] samples.
    """
    if player.drive is not None:
        stem = gate(amplify(stem, rate, player.drive, rng), rate, notes)
    if player.takes == 2:
        stem = waver(stem, rate, 7.0, rng.uniform(0, 2 * np.pi))
    stem = soften(stem, rate, player.tone)
    if player.echo:
        stem = echo(stem, rate, 0.31, player.echo)
    return stem


def soften(samples: np.ndarray, rate: int, tone: float | None) -> np.ndarray:
    """Soften [N] or [N, C] samples above `tone` in Hz; None leaves them."""
    if tone is None:
        return samples
    return signal.sosfilt(signal.butter(1, tone, fs=rate, output="sos"), samples, axis=0)


def fader(decibels: float, stem: np.ndarray, rate: int) -> float:
    """Return the gain at which a player's stem, [N] or [N, C] samples, is as loud as wanted in the mix."""
    return _STEM_LEVEL * 10 ** (decibels / 20) / active_level(stem, rate)


def takes(
    arrangement: Arrangement, orchestration: Orchestration, rng: np.random.Generator
) -> Iterator[tuple[Instrument, tuple[Note, ...]]]:
    """Yield who plays what, in the range of each instrument; what is played twice comes twice, left and right."""
    for role, notes in arrangement.parts.items():
        player = orchestration.instruments[role]
        notes = _fit(notes, player.low, player.high)
        if player.takes == 2:
            yield dataclasses.replace(player, pan=-0.8, level=player.level - 3), notes
            yield dataclasses.replace(player, pan=0.8, level=player.level - 3), _again(notes, rng)
        else:
            yield player, notes


def _play(
    arrangement: Arrangement, orchestration: Orchestration, rng: np.random.Generator
) -> list[tuple[Instrument, tuple[Note, ...], np.ndarray]]:
    """Return each take of each role as (its instrument, its notes, [N] samples)."""
    from_bank, stems = [], []
    for player, notes in takes(arrangement, orchestration, rng):
        if player.model:
            sound = strings.play(player.model, notes, arrangement.seconds, bank.RATE, rng)
            stems.append((player, notes, sound))
        else:
            from_bank.append((player, notes))
    for first in range(0, len(from_bank), 2):
        pair = from_bank[first : first + 2]
        both = bank.play_pair([(player.program, notes) for player, notes in pair], arrangement.seconds)
        stems += [(player, notes, both[:, column]) for column, (player, notes) in enumerate(pair)]
    return stems


def _play_drums(arrangement: Arrangement, orchestration: Orchestration, rng: np.random.Generator) -> np.ndarray:
    kit, seconds = orchestration.kit, arrangement.seconds
    if kit.model:
        sound = percussion.play(kit.model, arrangement.drums, arrangement.tonic, seconds, bank.RATE, rng)
    else:
        sound = bank.play_drums(kit.program, dict(kit.keys), arrangement.drums, seconds)
    sound = soften(sound, bank.RATE, kit.tone)
    return fader(kit.level + _spread(rng), sound, bank.RATE) * sound.T


def _spread(rng: np.random.Generator) -> float:
    """Return how far a fader that is moved by hand is off, in dB."""
    return rng.normal(0, 0.8)


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
    """Return the notes as a second take has them: some milliseconds earlier or later, a little louder or softer."""
    return tuple(
        dataclasses.replace(
            note,
            onset=max(0.0, note.onset + rng.normal(0, 0.009)),
            velocity=int(np.clip(note.velocity + rng.normal(0, 5), LOWEST_VELOCITY, HIGHEST_VELOCITY)),
        )
        for note in notes
    )


def _master(mix: np.ndarray, saturation: float) -> np.ndarray:
    """Finish a mix [2, N]: rumble out, a soft clipper, the common loudness, a limiter, a fade-out; float32 [N, 2]."""
    mix = signal.sosfilt(signal.butter(2, 35.0, "highpass", fs=SAMPLE_RATE, output="sos"), mix, axis=1)
    mix = np.tanh(0.25 * 10 ** (saturation / 20) / np.sqrt((mix**2).mean()) * mix)
    mix *= LOUDNESS / np.sqrt((mix**2).mean())
    over = np.abs(mix) > _KNEE
    headroom = PEAK - _KNEE
    mix[over] = np.sign(mix[over]) * (_KNEE + headroom * np.tanh((np.abs(mix[over]) - _KNEE) / headroom))
    fade = round(0.4 * SAMPLE_RATE)
    mix[:, -fade:] *= np.cos(np.linspace(0, np.pi / 2, fade)) ** 2
    return np.ascontiguousarray(mix.T, dtype=np.float32)
