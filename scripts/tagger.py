"""Listen with a music tagger made elsewhere, and measure how near songs are to a genre by what it hears."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import librosa
import mauve
import numpy as np
from jax import numpy as jnp

from gst_jax.evaluation import analysis
from gst_jax.evaluation.metrics import bootstrap, style
from gst_jax.types import Array

Heard = tuple[Array, Array]  # of a track: its windows in the penultimate layer [W, 200], and its tags' scores [W, 50]

MODEL = "musicnn/MSD_musicnn/"  # in the wheel
FRAMES, STEP = 187, 93  # of a window, 3 s; from one to the next
TAGS = {"rock": 0, "jazz": 9, "folk": 20}  # of the tagger's fifty
SECONDS = 20  # heard of a track, from its middle


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


def middle(waveform: Array, rate: int) -> Array:
    """Return the middle of a waveform [N]."""
    length = SECONDS * rate
    return waveform[max(0, (len(waveform) - length) // 2) :][:length]


def compare(heard: dict[str, list[Heard]], goal: list[Heard], target: str, width: float) -> dict:
    """Measure what each method made of the songs, the untouched input among them, by the target's own tracks."""
    real = [windows for windows, _ in goal]
    distances = {method: distance(part, real, width) for method, part in heard.items()}
    likeness = {method: mauve.mauve([windows for windows, _ in part], real) for method, part in heard.items()}
    shares = {method: share(part, target) for method, part in heard.items()}
    untouched, own = distances["untouched input"][0], share(goal, target)[0]
    before = shares["untouched input"][0]
    methods = {
        method: {
            "kernel distance to target": distances[method],
            "MAUVE": likeness[method],
            "share of the target's tag": shares[method],
            "gain": 1 - distances[method][0] / untouched,
            "called": (shares[method][0] - before) / (own - before),
        }
        for method in heard
    }
    return {"spread": spread(real, width), "target's own share of its tag": own, "methods": methods}


def distance(heard: Sequence[Heard], goal: Sequence[Array], width: float) -> bootstrap.Estimate:
    """Return the kernel distance between what was heard of some tracks and real music, windows [W_i, 200] each."""
    windows = [embedded for embedded, _ in heard]
    within, within_goal, across = (
        style.kernel_means(one, other, width) for one, other in ((windows, windows), (goal, goal), (windows, goal))
    )
    return bootstrap.bootstrap(functools.partial(style.kernel_distance, within, within_goal, across), len(windows))


def spread(tracks: Sequence[Array], width: float) -> float:
    """Return the distance that random halves of a genre's own tracks, windows [W_i, 200], hardly exceed."""
    rng = np.random.default_rng(0)
    means = style.kernel_means(tracks, tracks, width)
    found = []
    for _ in range(200):
        one, other = np.array_split(rng.permutation(len(tracks)), 2)
        parts = (means[np.ix_(rows, columns)] for rows, columns in ((one, one), (other, other), (one, other)))
        found.append(style.kernel_distance(*parts))
    return float(np.quantile(found, 0.975))


def share(heard: Sequence[Heard], genre: str) -> bootstrap.Estimate:
    """Return the mean over tracks of a genre's tag, as a share of the tags of all three genres."""
    scores = [tags[:, list(TAGS.values())].mean(axis=0) for _, tags in heard]
    return bootstrap.mean([float(score[list(TAGS).index(genre)] / score.sum()) for score in scores])
