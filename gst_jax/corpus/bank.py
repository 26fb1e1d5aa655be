"""Play notes with the General MIDI sound bank that pretty_midi carries."""

from __future__ import annotations

import functools
import io
import wave
from collections.abc import Sequence
from pathlib import Path

import midirenderer
import numpy as np
import pretty_midi

from gst_jax.corpus.arrangement import Hit, Note
from gst_jax.corpus.strings import SLIDE_SECONDS, bend_curve

RATE = 48_000  # samples a second, what midirenderer gives
_BEND_RANGE = 12  # semitones
_HIT_SECONDS = 0.1


def play_pair(parts: Sequence[tuple[int, Sequence[Note]]], seconds: float) -> np.ndarray:
    """Play one or two parts, each on an instrument of its own.

    Two parts share a rendering, one hard left, one hard right, because its cost hardly depends on what is played.

    Args:
        parts: (General MIDI program, notes).
        seconds: the length of the recording.

    Returns:
        Samples, float64 [N, 2]: one column for each part.
    """
    score = pretty_midi.PrettyMIDI(resolution=960, initial_tempo=120.0)
    for side, (program, notes) in enumerate(parts):
        player = pretty_midi.Instrument(program)
        player.control_changes = _settings(pan=127 * side)
        player.notes = [
            pretty_midi.Note(note.velocity, note.pitch, note.onset, note.onset + note.duration) for note in notes
        ]
        player.pitch_bends = [bend for note in notes for bend in _bends(note)]
        score.instruments.append(player)
    return _render(score, seconds)


def play_drums(program: int, keys: dict[str, int], hits: Sequence[Hit], seconds: float) -> np.ndarray:
    """Play drum strokes on a kit of the bank.

    Args:
        program: the kit.
        keys: MIDI key of each stroke.
        hits: what to play.
        seconds: the length of the recording.

    Returns:
        Samples, float64 [N, 2], left then right.
    """
    score = pretty_midi.PrettyMIDI(resolution=960, initial_tempo=120.0)
    player = pretty_midi.Instrument(program, is_drum=True)
    player.control_changes = _settings(pan=64)
    player.notes = [
        pretty_midi.Note(hit.velocity, keys[hit.stroke], hit.onset, hit.onset + _HIT_SECONDS) for hit in hits
    ]
    score.instruments.append(player)
    return _render(score, seconds)


def _settings(pan: int) -> list[pretty_midi.ControlChange]:
    """Silence the synthesizer's own reverb, set the pan, widen the pitch wheel (in this order of time)."""
    values = ((91, 0), (93, 0), (10, pan), (101, 0), (100, 0), (6, _BEND_RANGE))
    return [pretty_midi.ControlChange(number, value, 0.002 * index) for index, (number, value) in enumerate(values)]


def _bends(note: Note) -> list[pretty_midi.PitchBend]:
    if not (note.slide or note.vibrato):
        return []
    step = 0.02 if note.vibrato else 0.01
    last = note.duration if note.vibrato else min(SLIDE_SECONDS + step, note.duration)
    times = np.arange(0.0, last, step)
    wheel = np.round(8192 * bend_curve(note, times) / _BEND_RANGE).astype(int)
    bends = [
        pretty_midi.PitchBend(int(np.clip(value, -8192, 8191)), note.onset + time)
        for value, time in zip(wheel, times, strict=True)
    ]
    return [*bends, pretty_midi.PitchBend(0, note.onset + note.duration)]


def _render(score: pretty_midi.PrettyMIDI, seconds: float) -> np.ndarray:
    # Rendering ends with the last event, so the last event is a harmless one at the end.
    score.instruments[0].control_changes.append(pretty_midi.ControlChange(91, 0, seconds))
    midi = io.BytesIO()
    score.write(midi)
    with wave.open(io.BytesIO(midirenderer.render_wave_from(_sound_bank(), midi.getvalue()))) as reader:
        if (reader.getframerate(), reader.getsampwidth(), reader.getnchannels()) != (RATE, 2, 2):
            raise RuntimeError(f"midirenderer gave {reader.getparams()}; expected {RATE} Hz 16-bit stereo")
        frames = np.frombuffer(reader.readframes(reader.getnframes()), dtype="<i2").reshape(-1, 2) / 32768.0
    length = round(seconds * RATE)
    return np.pad(frames[:length], ((0, max(0, length - len(frames))), (0, 0)))


@functools.cache
def _sound_bank() -> bytes:
    return Path(pretty_midi.__file__).with_name("TimGM6mb.sf2").read_bytes()
