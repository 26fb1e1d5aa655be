"""Measure how near the generator comes when paired tunes teach it: a ceiling for training without pairs.

    python scripts/ceiling.py --minutes=2 --runs=runs/folk_rock,runs/folk_jazz --out=results/ceiling.json

For each direction of a run, a generator that has not been trained learns from tunes of the built-in corpus, each
played by the instruments of either genre, by the mean absolute error of log-mels. It is measured on the test tunes.
"""

from __future__ import annotations

import dataclasses
import json
import time

import command
import jax
import numpy as np
import optax
from absl import flags
from tqdm import tqdm

from gst_jax import sound
from gst_jax.conversion import translator
from gst_jax.corpus import library
from gst_jax.corpus.render import SAMPLE_RATE
from gst_jax.evaluation import analysis, songs
from gst_jax.evaluation.metrics import bootstrap, closeness
from gst_jax.learning import cyclegan, losses
from gst_jax.runs import provenance
from gst_jax.runs.atomic import write_text
from gst_jax.runs.directory import RunDirectory
from gst_jax.sound import loudness

BATCH, LEARNING_RATE = 8, 4e-4
TUNES = 20  # of 20 s, to learn from

_RUNS = flags.DEFINE_list("runs", None, "run directories on the built-in corpus, separated by commas", required=True)
_MINUTES = flags.DEFINE_float("minutes", None, "of training in each direction", required=True, lower_bound=0)
_OUT = flags.DEFINE_string("out", None, "JSON file to write", required=True)


def main() -> None:
    """Teach, measure and write down every direction of every run."""
    directions = {}
    for run_dir in _RUNS.value:
        run = RunDirectory.open(run_dir)
        for (source, target), tunes in songs.gather(run, "test").songs.items():
            shown = tqdm(range(TUNES), desc=f"{source} as {target}", unit="pair")
            pairs = [pair(number, source, target, run) for number in shown]
            trained = translator.Translator.from_run(run_dir, to=target)
            taught = translator.compiled(learn(pairs, run, _MINUTES.value), run, source, target)
            directions[f"{source}_to_{target}"] = found = {
                "untouched input": distances(None, tunes, run),
                "conversion": distances(trained, tunes, run),
                "taught by pairs": distances(dataclasses.replace(trained, generator=taught), tunes, run),
            }
            for row, figures in found.items():
                cells = (
                    f"{name} {value:.1f} [{low:.1f}, {high:.1f}]" for name, (value, low, high) in figures.items()
                )
                print(f"{source} to {target}: {row}:", ", ".join(cells), flush=True)
    result = {"directions": directions, "provenance": provenance.collect()}
    write_text(_OUT.value, json.dumps(result, indent=1) + "\n")


def pair(number: int, source: str, target: str, run: RunDirectory) -> tuple[np.ndarray, np.ndarray]:
    """Render a tune of no other set twice; return both as standardised log-mels [T, M]."""
    sides = []
    for player in (source, target):
        samples = library.samples_of(library.CorpusFile("", "pairs", number, source, player))
        rate = run.config.audio.sample_rate
        waveform = sound.resample(sound.mono(samples), SAMPLE_RATE, rate)
        waveform = waveform * loudness.gain_to_reference(loudness.gating_blocks(waveform, rate), rate)
        statistics = run.statistics[player]
        log_mel = sound.log_mel(waveform, run.config.audio)
        sides.append((log_mel - np.array(statistics.mean)) / np.array(statistics.deviation))
    length = min(map(len, sides))
    return sides[0][:length].astype(np.float32), sides[1][:length].astype(np.float32)


def learn(pairs: list[tuple[np.ndarray, np.ndarray]], run: RunDirectory, minutes: float) -> cyclegan.Parameters:
    """Train a fresh generator on random segments of the pairs for some minutes, compilation apart."""
    parameters = cyclegan.init_parameters(run.config)["generator"]["ab"]
    adam = optax.adam(LEARNING_RATE)
    state, length, rng = adam.init(parameters), run.config.audio.segment_frames, np.random.default_rng(0)

    def loss(parameters, before, after):
        return losses.absolute_error(cyclegan.translate(parameters, run.config.model, before), after)

    @jax.jit
    def step(parameters, state, before, after):
        changes, state = adam.update(jax.grad(loss)(parameters, before, after), state)
        return optax.apply_updates(parameters, changes), state

    def batch():
        chosen = [pairs[index] for index in rng.integers(len(pairs), size=BATCH)]
        starts = [rng.integers(len(one) - length + 1) for one, _ in chosen]
        cut = [[side[start : start + length] for side in two] for two, start in zip(chosen, starts, strict=True)]
        return np.moveaxis(np.array(cut), 1, 0)

    step(parameters, state, *batch())
    start = time.monotonic()
    while time.monotonic() - start < 60 * minutes:
        parameters, state = jax.block_until_ready(step(parameters, state, *batch()))
    return parameters


def distances(translator: translator.Translator | None, tunes: list[songs.Song], run: RunDirectory) -> dict:
    """Measure what a translator (None: nothing) makes of the tunes against their re-orchestrations."""
    rate = run.config.audio.sample_rate
    log_mels, spectra = [], []
    for tune in tunes:
        made = tune.source if translator is None else translator(tune.source, rate)
        both = [analysis.common(waveform, rate) for waveform in (made, tune.truths["reorchestrated"])]
        log_mels.append(closeness.log_mel_distance(*(sound.log_mel(one, analysis.ANALYSIS) for one in both)))
        spectra.append(closeness.log_spectral_distance(*(sound.stft(one, analysis.ANALYSIS) for one in both)))
    return {"log-mel distance (dB)": bootstrap.mean(log_mels), "log-spectral distance (dB)": bootstrap.mean(spectra)}


if __name__ == "__main__":
    command.run(main)
