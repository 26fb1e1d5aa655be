"""Signals that are no music, through the generators in the repository: sound comes out, as loud, and never more."""

import numpy as np
import pytest
from scipy import signal

from gst_jax.conversion.translator import Translator
from gst_jax.sound import loudness

RATE, SECONDS = 44_100, 10
DIRECTIONS = [("folk_rock", "rock"), ("folk_rock", "folk"), ("folk_jazz", "jazz"), ("folk_jazz", "folk")]


def signals():
    """Return the signals by name, float32 [N, C]."""
    count = RATE * SECONDS
    time, rng = np.arange(count) / RATE, np.random.default_rng(0)
    white = 0.1 * rng.standard_normal(count)
    pink = np.fft.irfft(np.fft.rfft(white) / np.sqrt(np.maximum(np.fft.rfftfreq(count), 1e-5)), count)
    pink *= 0.1 / pink.std()
    tones = {f"sine {f} Hz": 0.3 * np.sin(2 * np.pi * f * time) for f in (30, 100, 440, 1000, 6000, 12_000)}
    clicks = np.where(np.arange(count) % (RATE // 4) == 0, 0.5, 0.0)
    impulse = np.where(np.arange(count) == count // 2, 0.9, 0.0)
    step = np.where(time < 5, 0.0, 0.5)
    intro = pink * np.where(time < 5, 0.03, 1.0)
    mono = tones | {
        "white noise": white,
        "pink noise": pink,
        "chirp": 0.2 * signal.chirp(time, 30, SECONDS, 16_000),
        "full scale": np.sign(np.sin(2 * np.pi * 220 * time)),
        "clicks": clicks,
        "one impulse": impulse,
        "DC step": step,
        "dither": 1e-5 * rng.standard_normal(count),
        "quiet intro": intro,
    }
    both = {name: wave[:, None].astype(np.float32) for name, wave in mono.items()}
    both["opposite channels"] = np.stack([pink, -pink], axis=1).astype(np.float32)
    both["one silent channel"] = np.stack([pink, 0 * pink], axis=1).astype(np.float32)
    return both


@pytest.mark.slow
@pytest.mark.parametrize(("pair", "to"), DIRECTIONS)
def test_what_is_no_music_comes_out_as_loud_and_never_louder(pair, to):
    translator = Translator.from_run(f"pretrained/{pair}", to=to)
    for name, wave in signals().items():
        out = translator(wave, RATE)
        assert out.shape == wave.shape and np.isfinite(out).all(), name
        assert np.abs(out).max() < 10 ** (-1 / 20), name
        change = 10 * np.log10(loudness.energy(out, RATE) / loudness.energy(wave, RATE))
        taken = 15 if np.abs(wave).max() > 0.85 else 1.5  # dB, by the limiter: of a square at full scale a lot
        assert -taken < change < (2 if name == "DC step" else 0.1), (name, change)


@pytest.mark.slow
@pytest.mark.parametrize(("pair", "to"), DIRECTIONS)
def test_silence_around_music_stays_silent(pair, to):
    translator = Translator.from_run(f"pretrained/{pair}", to=to)
    music = signals()["pink noise"][: 3 * RATE] * (1 + signals()["clicks"][: 3 * RATE])
    silence = np.zeros((4 * RATE, 1), np.float32)
    out = translator(np.concatenate([silence, music, silence, music, silence]), RATE)
    edge = round(0.06 * RATE)
    for start in (0, 7 * RATE, 14 * RATE):
        first, last = start + (edge if start else 0), start + 4 * RATE - edge
        assert np.abs(out[first:last]).max() < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(("pair", "to"), DIRECTIONS)
def test_a_quiet_part_stays_as_quiet_as_it_was(pair, to):
    translator = Translator.from_run(f"pretrained/{pair}", to=to)
    wave = signals()["quiet intro"]
    out = translator(wave, RATE)
    middle = slice(RATE, 4 * RATE), slice(6 * RATE, 9 * RATE)
    quiet, loud = (
        10 * np.log10(loudness.energy(out[part], RATE) / loudness.energy(wave[part], RATE)) for part in middle
    )
    assert abs(loud) < 1 and abs(quiet - loud) < 10
