"""Synthesise the strokes of tabla, dhol and small cymbals from their modes of vibration."""

from __future__ import annotations

import numpy as np
from scipy import signal

from gst_jax.corpus.arrangement import Hit


def play(
    kit: str, hits: tuple[Hit, ...], tonic: int, seconds: float, rate: int, rng: np.random.Generator
) -> np.ndarray:
    """Play drum strokes.

    Args:
        kit: "tabla" or "dhol".
        hits: what to play.
        tonic: pitch class that the treble drum is tuned to.
        seconds: the length of the recording.
        rate: samples a second.
        rng: differences between one stroke and the next.

    Returns:
        Samples, float64 [N, 2]: the bass drum to the left, the cymbals to the right.
    """
    strokes = _tabla(tonic, rate, rng) if kit == "tabla" else _dhol(tonic, rate, rng)
    strokes |= _cymbals(rate, rng)
    out = np.zeros((round(seconds * rate), 2))
    for hit in hits:
        sound, pan = strokes[hit.stroke]
        start = round(hit.onset * rate)
        # A heavier stroke is brighter: mix in some of the derivative.
        force = hit.velocity / 127
        brightness = (force - 0.6) * rng.uniform(0.6, 1.4)
        sound = force**1.6 * (sound + brightness * np.diff(sound, prepend=0.0) * 4)
        length = min(len(sound), len(out) - start)
        out[start : start + length, 0] += np.cos((1 + pan) * np.pi / 4) * sound[:length]
        out[start : start + length, 1] += np.sin((1 + pan) * np.pi / 4) * sound[:length]
    return out


def _modes(rate: int, hertz: float, modes: tuple[tuple[float, float, float], ...], glide: float = 0.0) -> np.ndarray:
    """Sum decaying sinusoids, [N].

    Args:
        rate: samples a second.
        hertz: the reference frequency.
        modes: (ratio to it, amplitude, seconds until the mode has fallen by 60 dB).
        glide: how far above its settled pitch a stroke starts; 1 is an octave.
    """
    times = np.arange(round(max(mode[2] for mode in modes) * rate)) / rate
    phase = 2 * np.pi * hertz * (times + glide * 0.05 * (1 - np.exp(-times / 0.05)))
    out = np.zeros_like(times)
    for ratio, amplitude, decay in modes:
        out += amplitude * 10 ** (-3 * times / decay) * np.sin(ratio * phase)
    return out * np.clip(times / 0.0008, 0, 1)


def _noise(rate: int, rng: np.random.Generator, low: float, high: float, decay: float) -> np.ndarray:
    """Return a burst of noise, [N], between two frequencies in Hz, falling by 60 dB in `decay` seconds."""
    times = np.arange(round(decay * rate)) / rate
    band = signal.butter(2, (low, high), "bandpass", fs=rate, output="sos")
    burst = signal.sosfilt(band, rng.standard_normal(len(times))) * 10 ** (-3 * times / decay)
    return burst / np.abs(burst).max()


def _add(*sounds: np.ndarray) -> np.ndarray:
    out = np.zeros(max(map(len, sounds)))
    for sound in sounds:
        out[: len(sound)] += sound
    return out


def _tabla(tonic: int, rate: int, rng: np.random.Generator) -> dict[str, tuple[np.ndarray, float]]:
    """Strokes of the tabla: harmonic treble modes (Raman 1934), a bass that glides under the palm."""
    treble = 440.0 * 2 ** ((58 + (tonic - 58) % 12 - 69) / 12)
    bass = treble / 3.4 if treble > 300 else treble / 2.9
    click = _noise(rate, rng, 2500, 7000, 0.03)
    na = _add(
        _modes(rate, treble, ((1, 0.12, 0.2), (2, 1.0, 0.5), (3, 0.7, 0.42), (4, 0.3, 0.3), (5, 0.2, 0.22))),
        0.5 * click,
    )
    tin = _add(_modes(rate, treble, ((1, 0.6, 0.6), (2, 0.8, 0.7), (3, 0.25, 0.4))), 0.2 * click)
    tun = _add(_modes(rate, treble, ((1, 1.0, 0.9), (2, 0.25, 0.5), (3, 0.08, 0.3))), 0.15 * click)
    te = _add(
        _modes(rate, treble, ((1.6, 0.5, 0.09), (2.7, 0.5, 0.07), (4.1, 0.3, 0.05))),
        0.6 * _noise(rate, rng, 700, 5000, 0.06),
    )
    slap = _add(_modes(rate, bass, ((2.2, 0.6, 0.08), (3.6, 0.4, 0.06))), 0.6 * _noise(rate, rng, 300, 2500, 0.07))
    ge = _add(
        _modes(rate, bass, ((1, 1.3, 0.75), (2.1, 0.35, 0.3), (3.1, 0.12, 0.2)), rng.uniform(-0.5, 0.6)),
        0.15 * _noise(rate, rng, 200, 1500, 0.05),
    )
    return {
        "low": (ge, -0.35),
        "ghost": (0.7 * slap, -0.35),
        "back": (na, 0.2),
        "tick": (0.8 * te, 0.2),
        "open": (tun, 0.2),
        "high": (na, 0.2),
        "mid": (tin, 0.2),
        "floor": (_modes(rate, bass, ((1, 1.3, 0.6), (2.1, 0.3, 0.3)), 0.9), -0.35),
    }


def _dhol(tonic: int, rate: int, rng: np.random.Generator) -> dict[str, tuple[np.ndarray, float]]:
    """Strokes of a barrel drum: inharmonic circular-membrane modes, a thin stick on the treble skin."""
    treble = 230.0 * 2 ** (((tonic - 6) % 12 - 6) / 36)
    bass = treble / 3
    stick = _noise(rate, rng, 1800, 6500, 0.05)
    membrane = ((1, 1.0, 0.35), (1.59, 0.5, 0.25), (2.14, 0.4, 0.2), (2.65, 0.2, 0.15), (3.16, 0.15, 0.12))
    crack = _add(_modes(rate, 1.5 * treble, membrane), 0.9 * stick)
    ring = _add(_modes(rate, treble, membrane), 0.3 * stick)
    boom = _add(
        _modes(rate, bass, ((1, 1.4, 0.6), (1.59, 0.4, 0.3), (2.14, 0.2, 0.2)), 0.4),
        0.2 * _noise(rate, rng, 100, 900, 0.06),
    )
    tap = 0.6 * _add(_modes(rate, 2.1 * treble, ((1, 0.4, 0.06), (1.59, 0.3, 0.05))), 0.7 * stick)
    return {
        "low": (boom, -0.3),
        "ghost": (0.6 * tap, 0.25),
        "back": (crack, 0.25),
        "tick": (tap, 0.25),
        "open": (ring, 0.25),
        "high": (crack, 0.25),
        "mid": (ring, 0.25),
        "floor": (boom, -0.3),
    }


def _cymbals(rate: int, rng: np.random.Generator) -> dict[str, tuple[np.ndarray, float]]:
    """A pair of finger cymbals (manjira), struck closed and ringing."""
    base = rng.uniform(2300, 2900)
    ratios = ((1, 1.0), (1.004, 0.8), (1.52, 0.5), (2.24, 0.6), (2.253, 0.4), (3.1, 0.3), (3.9, 0.15))
    ring = _modes(rate, base, tuple((ratio, level, 1.6 / ratio) for ratio, level in ratios))
    chick = _add(
        _modes(rate, base, tuple((r, level, 0.14 / r) for r, level in ratios)),
        0.5 * _noise(rate, rng, 4000, 11000, 0.07),
    )
    return {"ride": (0.16 * chick, 0.5), "crash": (0.25 * ring, 0.5)}
