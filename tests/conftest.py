"""Small recordings that several tests share."""

import os
import sys
import tempfile
from pathlib import Path

# Compile each step once for all tests with the processes they start; set before JAX is imported.
_COMPILED = tempfile.TemporaryDirectory(prefix="gst_jax-tests-")
os.environ["JAX_COMPILATION_CACHE_DIR"] = _COMPILED.name
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.5"
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
# On a GPU: all of float32's digits, and the same bits each time. On a CPU both are so anyway.
os.environ["JAX_DEFAULT_MATMUL_PRECISION"] = "float32"

import numpy as np  # noqa: E402
import pytest  # noqa: E402

from gst_jax import sound  # noqa: E402
from gst_jax.runs import startup  # noqa: E402

startup.make_reproducible()

SECONDS, RATE = 4.3, 16_000


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def hearing() -> list[str]:
    """The start of a command that Ctrl-C reaches, also where the tests run in a shell's background."""
    code = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    return [sys.executable, "-c", code] if os.name == "posix" else []


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """The names of the files of sound decoded so far."""
    seen, read_blocks = [], sound.read_blocks

    def spy(path):
        seen.append(path.name)
        return read_blocks(path)

    monkeypatch.setattr(sound, "read_blocks", spy)
    return seen


@pytest.fixture(scope="session")
def audio_dir(tmp_path_factory) -> Path:
    """Two toy genres of three tracks each, 4.3 s at 16 kHz: `harp` plucks, `organ` holds; not to be changed."""
    rng = np.random.default_rng(1)
    root = tmp_path_factory.mktemp("audio")
    for genre, decay in (("harp", 8.0), ("organ", 0.0)):
        (root / genre).mkdir()
        for number in range(3):
            sound.write_wave(root / genre / f"tune {number}.wav", _tune(rng, decay), RATE)
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
