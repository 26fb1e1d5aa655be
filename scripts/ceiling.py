"""Ask how near pairs would bring the generator to the re-orchestrated truth: a ceiling for training without pairs.

    python scripts/ceiling.py --runs pretrained/folk_rock pretrained/folk_jazz --out=results/ceiling.json

For each direction the generator of a run, as it was before any training, learns from tunes of the built-in corpus
with the same notes on the target's instruments, by mean absolute error on log-mels; it is measured on others.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path

import jax
import numpy as np
import optax
from tqdm import tqdm

from gst_jax import sound
from gst_jax.conversion import translator
from gst_jax.corpus import library
from gst_jax.corpus.render import SAMPLE_RATE
from gst_jax.evaluation import hearing, songs
from gst_jax.evaluation.metrics import bootstrap, closeness
from gst_jax.learning import cyclegan, losses
from gst_jax.runs import provenance
from gst_jax.runs.directory import RunDirectory
from gst_jax.sound import loudness

BATCH, LEARNING_RATE = 8, 4e-4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", nargs="+", required=True, help="run directories on the built-in corpus")
    parser.add_argument("--tunes", type=int, default=20, help="pairs of 20 s to learn from")
    parser.add_argument("--minutes", type=float, default=3.0, help="of training a direction")
    parser.add_argument("--split", default="test", choices=songs.SPLITS)
    parser.add_argument("--out", required=True, help="JSON file to write")
    arguments = parser.parse_args()
    directions = {}
    for run_dir in arguments.runs:
        run = RunDirectory.open(run_dir)
        for (source, target), tunes in songs.gather(run, arguments.split).songs.items():
            shown = tqdm(range(arguments.tunes), desc=f"{source} as {target}", unit="pair")
            pairs = [pair(number, source, target, run) for number in shown]
            trained = translator.Translator.from_run(run_dir, to=target)
            taught = translator.compiled(learn(pairs, run, arguments.minutes), run, source, target)
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
    out = Path(arguments.out)
    temporary = out.with_name(out.name + ".tmp")
    temporary.write_text(json.dumps({"directions": directions, "provenance": provenance.collect()}, indent=1) + "\n")
    temporary.replace(out)


def pair(number: int, source: str, target: str, run: RunDirectory) -> tuple[np.ndarray, np.ndarray]:
    """Render a tune of no other set twice; return both as standardised log-mels [T, M]."""
    sides = []
    for player in (source, target):
        samples = library.samples_of(0, library.Track("", "pairs", number, source, player))
        rate = run.config.audio.sample_rate
        waveform = sound.resample(sound.mono(samples), SAMPLE_RATE, rate)
        waveform = waveform * loudness.gain_to_reference(waveform, rate)
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
        both = [hearing.common(waveform, rate) for waveform in (made, tune.truths["reorchestrated"])]
        log_mels.append(closeness.log_mel_distance(*(sound.log_mel(one, hearing.ANALYSIS) for one in both)))
        spectra.append(closeness.log_spectral_distance(*(sound.stft(one, hearing.ANALYSIS) for one in both)))
    return {"log-mel distance (dB)": bootstrap.mean(log_mels), "log-spectral distance (dB)": bootstrap.mean(spectra)}


if __name__ == "__main__":
    main()
