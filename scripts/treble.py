"""Measure how near the treble of a conversion comes, where the mel bands below are those of the true target.

    python scripts/treble.py --out=results/treble.json

The paired validation tunes of the built-in corpus are converted to the log-mels of their true counterparts, so that
only what becomes of 8 to 16 kHz is judged: by the distance of its mel levels to those of the counterpart, frame by
frame, and by that of their mean over a tune to the mean of the target genre's training recordings.
"""

from __future__ import annotations

import json
from pathlib import Path

import command
import numpy as np
from absl import flags

from gst_jax import data, sound
from gst_jax.config import AudioConfig, DataConfig
from gst_jax.conversion import synthesis
from gst_jax.corpus import library
from gst_jax.data.recordings import open_recording
from gst_jax.runs import provenance
from gst_jax.runs.atomic import write_text
from gst_jax.runs.directory import cache_dir
from gst_jax.sound import loudness, treble

AUDIO = AudioConfig()
WIDE = treble.wide(AUDIO)
TUNES = 4

_OUT = flags.DEFINE_string("out", None, "JSON file to write; by default none is")


def main() -> None:
    """Measure every direction; print and write down the figures."""
    corpus = library.build(library.default_directory())
    names = sorted({target for _, target in library.REORCHESTRATED})
    train = [corpus / library.training_folder() / name for name in names]
    settings = DataConfig(held_out_fraction=0.0)
    genres = {folder.name: data.load_genre(folder, AUDIO, settings, cache_dir()) for folder in train}
    means = {name: mean_treble(genre) for name, genre in genres.items()}
    directions = {}
    for source, target in library.REORCHESTRATED:
        folder = corpus / "paired" / "validation"
        figures = [
            measure(
                folder / "rearranged" / source / f"tune_{number:02}.flac",
                folder / "reorchestrated" / f"{source}_as_{target}" / f"tune_{number:02}.flac",
                genres[target].fine_structure,
                means[target],
            )
            for number in range(TUNES)
        ]
        directions[f"{source}_{target}"] = found = {
            name: np.mean([tune[name] for tune in figures], axis=0).round(3).tolist() for name in figures[0]
        }
        for name, (error, distance) in found.items():
            print(f"{source} to {target}: {name:12s} error {error:5.2f} dB, of the genre's mean {distance:5.2f} dB")
    if _OUT.value:
        result = {"directions": directions, "provenance": provenance.collect()}
        write_text(_OUT.value, json.dumps(result, indent=1) + "\n")


def mean_treble(genre: data.Genre) -> np.ndarray:
    """Return the mean levels of the treble bands in the training recordings, dB [BANDS]."""
    frames = []
    for track in genre.recordings:
        with open_recording(track.path, WIDE) as recording:
            frames += list(recording.log_mels())
    return np.concatenate(frames).mean(axis=0)


def measure(source: Path, target: Path, structure: np.ndarray, mean: np.ndarray) -> dict[str, tuple[float, float]]:
    """Return, of each method, the error to the true target and the distance to the genre's mean, dB."""
    (played, before), (true, after) = read(source), read(target)
    count = min(len(before), len(after))
    held = structure[:, : AUDIO.n_fft // 2 + 1]

    def made(fine: np.ndarray, route: str) -> np.ndarray:
        return synthesis.synthesize(
            played, WIDE.sample_rate, before[:count], after[:count], AUDIO, fine, route, start=0.0
        )

    sounds = {
        "untouched": played,
        "held gain": made(held, "filled"),
        "treble": made(structure, "filled"),
        "treble, gain": made(structure, "gain"),
        "true target": true,
    }
    levels = {name: sound.log_mel(sound.mono(samples), WIDE)[:count] for name, samples in sounds.items()}
    return {
        name: (
            float(np.abs(level - levels["true target"]).mean()),
            float(np.abs(level.mean(axis=0) - mean).mean()),
        )
        for name, level in levels.items()
    }


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return a file at the reference level, float32 [N, C], and its log-mel [T, M]."""
    samples = sound.read_wave(path).samples
    mono = sound.resample(sound.mono(samples), WIDE.sample_rate, AUDIO.sample_rate)
    gain = loudness.gain_to_reference(loudness.gating_blocks(mono, AUDIO.sample_rate), AUDIO.sample_rate)
    return np.float32(gain) * samples, sound.log_mel(np.float32(gain) * mono, AUDIO)


if __name__ == "__main__":
    command.run(main)
