"""Synthesise plucked strings that the General MIDI bank lacks: dotara, low lute, tanpura."""

from __future__ import annotations

import numpy as np
from scipy import signal

from gst_jax.corpus.arrangement import Note

SLIDE_SECONDS = 0.12
VIBRATO_HERTZ = 5.5
# Centre (Hz), bandwidth (Hz), gain of what the body adds: a skin-covered wooden bowl, a larger gourd.
_BODIES = {
    "dotara": ((310.0, 120.0, 1.6), (720.0, 260.0, 1.2), (1900.0, 900.0, 0.9), (3400.0, 1500.0, 0.3)),
    "lute": ((110.0, 60.0, 1.5), (230.0, 100.0, 1.0), (900.0, 500.0, 0.3)),
}
# How fast the highs die (0 to 0.5), seconds for 60 dB, where the string is plucked.
_STRINGS = {"dotara": (0.2, 1.2, 0.14), "lute": (0.32, 2.0, 0.22)}


def play(model: str, notes: tuple[Note, ...], seconds: float, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Play notes on a modelled instrument.

    Args:
        model: "dotara", "lute" or "tanpura".
        notes: what to play.
        seconds: the length of the recording.
        rate: samples a second.
        rng: differences between one pluck and the next.

    Returns:
        Samples, float64 [N].
    """
    out = np.zeros(round(seconds * rate))
    plucks: dict[int, np.ndarray] = {}
    for note in notes:
        if note.pitch not in plucks:
            hertz = 440.0 * 2 ** ((note.pitch - 69) / 12)
            plucks[note.pitch] = _tanpura(hertz, rate) if model == "tanpura" else _pluck(model, hertz, rate, rng)
        sound = plucks[note.pitch]
        if note.slide or note.vibrato:
            sound = _bend(sound, note, rate)
        start = round(note.onset * rate)
        length = min(len(sound), round((note.duration + 0.25) * rate), len(out) - start)
        if length <= 0:
            continue
        release = min(length, round(0.12 * rate))
        faded = sound[:length] * (note.velocity / 127) ** 1.5
        faded[-release:] *= np.linspace(1.0, 0.0, release)
        out[start : start + length] += faded
    if model in _BODIES:
        body = out.copy()
        for centre, width, gain in _BODIES[model]:
            body += gain * signal.sosfilt(
                signal.butter(1, (centre - width / 2, centre + width / 2), "bandpass", fs=rate, output="sos"), out
            )
        out = body
    return out


def bend_curve(note: Note, times: np.ndarray) -> np.ndarray:
    """Return how many semitones a note is off its pitch, [K], at `times` seconds after its onset, [K]."""
    glide = min(SLIDE_SECONDS, 0.4 * note.duration)
    slide = note.slide * 0.5 * (1 + np.cos(np.pi * np.clip(times / glide, 0, 1)))
    depth = note.vibrato * np.clip((times - 0.25) / 0.3, 0, 1)
    return slide + depth * np.sin(2 * np.pi * VIBRATO_HERTZ * times)


def _bend(sound: np.ndarray, note: Note, rate: int) -> np.ndarray:
    """Bend [N] samples along a note's curve by reading them faster or slower."""
    length = min(len(sound), round((note.duration + 0.25) * rate))
    speed = 2 ** (bend_curve(note, np.arange(length) / rate) / 12)
    places = np.cumsum(speed) - speed[0]
    return np.interp(places, np.arange(len(sound)), sound)


def _pluck(model: str, hertz: float, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Pluck a string (Karplus & Strong 1983, with Jaffe & Smith's fractional tuning and pluck position)."""
    damping, decay, position = _STRINGS[model]
    period = rate / hertz
    whole = int(period - 1)  # the smoothing below adds the rest of the period: one sample and a part
    part = period - 1 - whole
    smooth = np.convolve((damping / 2, 1 - damping, damping / 2), (1 - part, part))
    smooth *= 10 ** (-3 / (decay * hertz))
    total = round((decay + 0.3) * rate)
    noise = rng.uniform(-1, 1, whole + 4)
    noise -= np.roll(noise, max(1, round(position * period)))
    out = np.zeros(total + whole + 4)
    head = whole + 4
    out[:head] = signal.lfilter((0.6, 0.4), (1.0,), noise - noise.mean())
    block = whole
    for start in range(head, len(out), block):
        stop = min(start + block, len(out))
        piece = np.zeros(stop - start)
        for tap, weight in enumerate(smooth):
            delay = whole + tap
            piece += weight * out[start - delay : stop - delay]
        out[start:stop] = piece
    return out[:total] / np.abs(out).max()


def _tanpura(hertz: float, rate: int) -> np.ndarray:
    """Pluck a string over a curved bridge: partials that swell one after another and die slowly (jawari)."""
    slow = rate // 3  # the partials end below 7 kHz: sum them at a third of the rate
    times = np.arange(round(4.0 * slow)) / slow
    out = np.zeros_like(times)
    for partial in range(1, min(36, int(7000 / hertz))):
        bloom = 0.02 + 0.035 * partial  # seconds until this partial is strongest
        swell = (times / bloom) * np.exp(1 - times / bloom)
        decay = np.exp(-times * (0.8 + 0.05 * partial))
        stretched = hertz * partial * np.sqrt(1 + 5e-6 * partial**2)
        level = (0.25 + 0.75 * swell) * decay / partial**0.7
        out += level * np.sin(2 * np.pi * stretched * times + 0.7 * partial**2)
    out *= np.clip(times / 0.006, 0, 1)
    return signal.resample_poly(out / np.abs(out).max(), 3, 1)
