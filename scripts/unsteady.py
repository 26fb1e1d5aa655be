"""Make sounds that no band should play along with; used by hear.py and by the tests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import signal

RATE = 22_050
SECONDS = 25.0


def sounds() -> dict[str, Callable[[np.random.Generator], np.ndarray]]:
    """Return what makes each kind: from random numbers to float32 [N] at RATE."""
    return {
        "rubato": rubato,
        "drone": drone,
        "speech": speech,
        "white noise": white_noise,
        "pink noise": pink_noise,
        "surf": surf,
        "solo alap": alap,
        "clicks alone": clicks,
        "drums alone": drums,
        "silence": silence,
        "three seconds": short,
    }


def pluck(midi: float, seconds: float) -> np.ndarray:
    """Pluck a string: six harmonics that fade, the higher the faster."""
    time = np.arange(round(seconds * RATE)) / RATE
    frequency = 440 * 2 ** ((midi - 69) / 12)
    partials = (np.sin(2 * np.pi * frequency * k * time) / k * np.exp(-3 * np.sqrt(k) * time) for k in range(1, 7))
    return sum(partials) * np.minimum(1, time / 0.003)


def add(sound: np.ndarray, onset: float, note: np.ndarray, gain: float = 1.0) -> None:
    """Add a note to a sound, as much of it as fits."""
    start = round(onset * RATE)
    note = note[: max(len(sound) - start, 0)]
    sound[start : start + len(note)] += gain * note


def rubato(rng: np.random.Generator) -> np.ndarray:
    """Notes and chords of a scale, each of 0.18 to 1.6 s."""
    sound, onset, scale = np.zeros(round(SECONDS * RATE)), 0.3, (0, 2, 4, 5, 7, 9, 11, 12)
    while onset < SECONDS - 1.5:
        pitch = 60 + scale[rng.integers(8)]
        add(sound, onset, pluck(pitch, 1.4), rng.uniform(0.5, 1))
        if rng.random() < 0.4:
            add(sound, onset, pluck(pitch - 12 - rng.choice((0, 3, 5)), 1.4), 0.7)
        onset += np.exp(rng.uniform(np.log(0.18), np.log(1.6)))
    return scaled(sound)


def drone(rng: np.random.Generator) -> np.ndarray:
    """A tonic and its fifth, their harmonics swelling and fading slowly."""
    time = np.arange(round(SECONDS * RATE)) / RATE
    tonic = 130 * 2 ** (rng.uniform(-6, 6) / 12)
    sound = np.zeros(len(time))
    for number in (1, 1.5, 2, 3, 4, 5, 6, 8):
        swell = 1 + 0.4 * np.sin(2 * np.pi * rng.uniform(0.03, 0.4) * time + rng.uniform(0, 6))
        sound += swell * np.sin(2 * np.pi * tonic * number * time + rng.uniform(0, 6)) / number
    return scaled(sound)


def speech(rng: np.random.Generator) -> np.ndarray:
    """Syllables of gliding buzz or of hiss through a random formant, with pauses."""
    sound, onset, voice = np.zeros(round(SECONDS * RATE)), 0.0, rng.uniform(90, 220)
    while onset < SECONDS - 0.5:
        seconds = rng.uniform(0.06, 0.3)
        time = np.arange(round(seconds * RATE)) / RATE
        low = rng.uniform(250, 900)
        formant = signal.butter(2, (low, low * rng.uniform(2, 4)), "bandpass", fs=RATE, output="sos")
        pitch = voice * np.exp(rng.normal(0, 0.12) + rng.normal(0, 0.3) * (time - seconds / 2))
        buzz = signal.square(2 * np.pi * np.cumsum(pitch) / RATE, 0.1)
        source = buzz if rng.random() < 0.7 else rng.standard_normal(len(time))
        add(sound, onset, signal.sosfilt(formant, source) * np.hanning(len(time)), rng.uniform(0.4, 1))
        onset += seconds + (rng.uniform(0.3, 0.9) if rng.random() < 0.15 else rng.uniform(0, 0.09))
    return scaled(sound + 1e-3 * rng.standard_normal(len(sound)))


def white_noise(rng: np.random.Generator) -> np.ndarray:
    return scaled(rng.standard_normal(round(SECONDS * RATE)))


def pink_noise(rng: np.random.Generator) -> np.ndarray:
    spectrum = np.fft.rfft(rng.standard_normal(round(SECONDS * RATE)))
    return scaled(np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 30)), round(SECONDS * RATE)))


def surf(rng: np.random.Generator) -> np.ndarray:
    """Noise that comes and goes every ten seconds."""
    time = np.arange(round(SECONDS * RATE)) / RATE
    return scaled(pink_noise(rng) * (1 + 0.9 * np.sin(2 * np.pi * rng.uniform(0.08, 0.15) * time)))


def alap(rng: np.random.Generator) -> np.ndarray:
    """A voice that glides slowly from note to note of a raga above a drone."""
    count = round(SECONDS * RATE)
    time = np.arange(count) / RATE
    scale = np.array((0, 2, 3, 5, 7, 8, 10, 12, 14, 15))
    moves = np.cumsum(rng.uniform(0.6, 3.5, 60))
    moves = moves[moves < SECONDS]
    notes = scale[np.clip(np.cumsum(rng.integers(-2, 3, len(moves) + 1)) + 4, 0, 9)]
    pitch = np.full(count, float(notes[0]))
    for move, step in zip(moves, np.diff(notes), strict=True):
        pitch += step / (1 + np.exp(-(time - move) / rng.uniform(0.05, 0.2)))
    pitch += 0.15 * np.sin(2 * np.pi * 5 * time) * (np.sin(2 * np.pi * 0.13 * time) > 0)
    phase = 2 * np.pi * np.cumsum(138 * 2 ** (rng.uniform(-3, 3) / 12) * 2 ** (pitch / 12)) / RATE
    breath = signal.sosfilt(signal.butter(1, 0.4, fs=RATE, output="sos"), rng.standard_normal(count))
    voice = (0.4 + 0.6 * np.clip(60 * breath, 0, 1)) * sum(np.sin(k * phase) / k for k in range(1, 8))
    return scaled(scaled(voice) + 0.5 * drone(rng))


def clicks(rng: np.random.Generator) -> np.ndarray:
    """A metronome."""
    sound = np.zeros(round(SECONDS * RATE))
    click = rng.standard_normal(300) * np.exp(-np.arange(300) / 50)
    for onset in np.arange(0.2, SECONDS, 60 / rng.uniform(70, 150)):
        add(sound, onset, click)
    return scaled(sound)


def drums(rng: np.random.Generator) -> np.ndarray:
    """Kick, snare and hi-hat in four."""
    sound, beat = np.zeros(round(SECONDS * RATE)), 60 / rng.uniform(80, 140)
    time = np.arange(round(0.25 * RATE)) / RATE
    kick = np.sin(2 * np.pi * (50 * time + 2 * (1 - np.exp(-40 * time)))) * np.exp(-18 * time)
    snare = (rng.standard_normal(len(time)) + np.sin(2 * np.pi * 185 * time)) * np.exp(-22 * time)
    hat = np.diff(rng.standard_normal(len(time)), prepend=0) * np.exp(-60 * time)
    for number in range(int((SECONDS - 0.5) / beat)):
        onset = 0.2 + number * beat
        add(sound, onset, snare if number % 2 else kick, 0.8)
        add(sound, onset, hat, 0.3)
        add(sound, onset + beat / 2, hat, 0.2)
    return scaled(sound)


def silence(rng: np.random.Generator) -> np.ndarray:
    return np.zeros(round(SECONDS * RATE), np.float32)


def short(rng: np.random.Generator) -> np.ndarray:
    """Three seconds of steady notes."""
    sound = np.zeros(3 * RATE)
    for onset in np.arange(0, 3, 0.5):
        add(sound, onset, pluck(60 + rng.choice((0, 4, 7)), 0.5))
    return scaled(sound)


def scaled(sound: np.ndarray) -> np.ndarray:
    """Return a sound with its peak at a half, float32."""
    return (0.5 / np.abs(sound).max() * sound).astype(np.float32)
