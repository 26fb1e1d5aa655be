"""Measure how near conversions are to the target genre in the embedding of a music tagger made elsewhere.

    pip download --no-deps musicnn==0.1.0
    python scripts/outside_judge.py --weights=musicnn-0.1.0-py3-none-any.whl --out=results/outside_judge.json \
        --runs=pretrained/folk_rock,pretrained/folk_jazz

The tagger is musicnn (Pons & Serra 2019, "musicnn: pre-trained convolutional neural networks for music audio
tagging"), trained on listeners' tags. Its package needs an old TensorFlow. So its weights are read from the wheel,
and the network is written out here. The measure is the kernel distance between tracks in the penultimate layer.
Nothing in this project was trained or chosen by it.
"""

from __future__ import annotations

import functools
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import command
import jax
import librosa
import numpy as np
import tensor_bundle
from absl import flags
from jax import numpy as jnp

from gst_jax.evaluation import analysis
from gst_jax.evaluation.methods import make_methods
from gst_jax.evaluation.metrics import bootstrap, style
from gst_jax.evaluation.songs import gather
from gst_jax.runs import provenance
from gst_jax.runs.atomic import write_text
from gst_jax.runs.directory import RunDirectory
from gst_jax.types import Array

MODEL = "musicnn/MSD_musicnn/"  # in the wheel
FRAMES, STEP = 187, 93  # of a window, 3 s; from one to the next
TAGS = {"rock": 0, "jazz": 9, "folk": 20}  # of the tagger's fifty
METHODS = ("conversion", "untouched input", "equaliser", "distortion", "musaicing", "untrained generator")

_WEIGHTS = flags.DEFINE_string("weights", None, "wheel of musicnn", required=True)
_RUNS = flags.DEFINE_list("runs", None, "run directories on the built-in corpus, separated by commas", required=True)
_SPLIT = flags.DEFINE_enum("split", "test", ["validation", "test"], "choose by validation, report test once")
_OUT = flags.DEFINE_string("out", None, "JSON file to write", required=True)


def main() -> None:
    """Measure every run."""
    with zipfile.ZipFile(_WEIGHTS.value) as wheel:
        tagger = make_tagger(tensor_bundle.read(wheel, MODEL))
    runs = {Path(run).name: judge(run, tagger, _SPLIT.value) for run in _RUNS.value}
    write_text(_OUT.value, json.dumps({"runs": runs, "provenance": provenance.collect()}, indent=1) + "\n")


def log_mel(waveform: Array) -> Array:
    """Analyse a waveform [N] at 16 kHz as the tagger wants it: [T, 96]."""
    mel = librosa.feature.melspectrogram(y=waveform, sr=16_000, n_fft=512, hop_length=256, n_mels=96).T
    return np.log10(1 + 10_000 * mel).astype(np.float32)


def make_tagger(v: dict[str, Array]):
    """Return the function from windows [B, 187, 96] to the penultimate layer [B, 200] and scores of tags [B, 50]."""
    counts = {"conv2d": 0, "batch_normalization": 0, "dense": 0}

    def next_layer(kind: str) -> str:
        counts[kind] += 1
        return kind if counts[kind] == 1 else f"{kind}_{counts[kind] - 1}"

    def norm(x):
        name = next_layer("batch_normalization")
        scale = v[f"{name}/gamma"] / np.sqrt(v[f"{name}/moving_variance"] + 1e-3)
        return x * scale + (v[f"{name}/beta"] - v[f"{name}/moving_mean"] * scale)

    def conv(x, padding):
        name = next_layer("conv2d")
        y = jax.lax.conv_general_dilated(
            x, v[f"{name}/kernel"], (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return norm(jax.nn.relu(y + v[f"{name}/bias"]))

    def dense(x):
        name = next_layer("dense")
        return x @ v[f"{name}/kernel"] + v[f"{name}/bias"]

    def tagger(x):
        counts.update(dict.fromkeys(counts, 0))
        x = norm(x[..., None])
        only_time = [(3, 3), (0, 0)]
        timbral = [conv(x, only_time).max(axis=2) for _ in range(2)]
        temporal = [conv(x, "SAME").max(axis=2) for _ in range(3)]
        front = jnp.concatenate([*timbral, *temporal], axis=-1)[..., None]
        first = conv(front, only_time).swapaxes(2, 3)
        second = conv(first, only_time).swapaxes(2, 3) + first
        third = conv(second, only_time).swapaxes(2, 3) + second
        features = jnp.concatenate([front, first, second, third], axis=2)[..., 0]
        pooled = jnp.stack([features.max(axis=1), features.mean(axis=1)], axis=-1)  # each feature's two, in turn
        penultimate = norm(jax.nn.relu(dense(norm(pooled.reshape(len(x), -1)))))
        return penultimate, jax.nn.sigmoid(dense(penultimate))

    return jax.jit(tagger)


def listen(tagger, waveform: Array, rate: int) -> tuple[Array, Array]:
    """Return the penultimate layer of each window of a waveform [N], [W, 200], and its tags' scores, [W, 50]."""
    frames = log_mel(analysis.common(waveform, rate))
    windows = np.stack([frames[start : start + FRAMES] for start in range(0, len(frames) - FRAMES + 1, STEP)])
    heard = [tagger(window[None]) for window in windows]  # one shape, so one compilation
    return tuple(np.concatenate([np.asarray(part[index]) for part in heard]) for index in range(2))


def judge(run_dir: str, tagger, split: str) -> dict:
    """Measure the methods of a run in both directions."""
    run = RunDirectory.open(run_dir)
    rate = run.config.audio.sample_rate
    material = gather(run, split)
    reference = {
        genre: [listen(tagger, track, rate)[0] for track in tracks] for genre, tracks in material.reference.items()
    }
    width = style.bandwidth(np.concatenate([windows for tracks in reference.values() for windows in tracks]))
    found = {}
    for (source, target), songs in material.songs.items():
        methods = make_methods(run, source, target, material)
        made = {method: [methods[method](song.source) for song in songs] for method in METHODS}
        made |= {f"true target, {name}": [song.truths[name] for song in songs] for name in songs[0].truths}
        found[f"{source} to {target}"] = {}
        for method, waveforms in made.items():
            heard = [listen(tagger, waveform, rate) for waveform in waveforms]
            figures = {"kernel distance to target": distance(heard, reference[target], width)}
            figures |= {f"tagged {genre}": tagged(heard, genre) for genre in (source, target) if genre in TAGS}
            found[f"{source} to {target}"][method] = figures
            shown = ", ".join(f"{name} {value[0]:.3f}" for name, value in figures.items())
            print(f"{source} to {target}: {method}: {shown}", flush=True)
    return found


def distance(heard: Sequence[tuple[Array, Array]], goal: Sequence[Array], width: float) -> bootstrap.Estimate:
    """Return the kernel distance between what was heard of some tracks and real music, windows [W_i, 200] each."""
    windows = [embedded for embedded, _ in heard]
    within, within_goal, across = (
        style.kernel_means(one, other, width) for one, other in ((windows, windows), (goal, goal), (windows, goal))
    )
    return bootstrap.bootstrap(functools.partial(style.kernel_distance, within, within_goal, across), len(windows))


def tagged(heard: Sequence[tuple[Array, Array]], genre: str) -> bootstrap.Estimate:
    """Return the mean score of a genre's tag over tracks."""
    return bootstrap.mean([float(tags[:, TAGS[genre]].mean()) for _, tags in heard])


if __name__ == "__main__":
    command.run(main)
