"""Small recordings that several tests share."""

from pathlib import Path

import numpy as np
import pytest

from gst_jax import audio

SECONDS, RATE = 4.3, 16_000


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def audio_dir(tmp_path_factory) -> Path:
    """Two toy genres of three tracks each, 4.3 s at 16 kHz: `harp` plucks, `organ` holds; not to be changed."""
    rng = np.random.default_rng(1)
    root = tmp_path_factory.mktemp("audio")
    for genre, decay in (("harp", 8.0), ("organ", 0.0)):
        (root / genre).mkdir()
        for number in range(3):
            audio.write_wave(root / genre / f"tune {number}.wav", _tune(rng, decay), RATE)
    return root


def _tune(rng: np.random.Generator, decay: float) -> np.ndarray:
    """Play random notes of a pentatonic scale, a quarter of a second each -> float32 [N]."""
    time = np.arange(int(SECONDS * RATE)) / RATE
    note = (time * 4).astype(int)
    pitch = 220.0 * 2.0 ** (rng.choice([0, 2, 4, 7, 9, 12], note.max() + 1)[note] / 12)
    envelope = np.exp(-decay * (time % 0.25))
    partials = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 6))
    noise = 1e-3 * rng.standard_normal(len(time))
    return (0.2 * envelope * partials + noise).astype(np.float32)
