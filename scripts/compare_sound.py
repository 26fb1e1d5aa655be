"""Compare the ways back from log-mel to sound, with the model out of the way, with the true target, with the model.

Run after training: python scripts/compare_sound.py --run=runs/folk_jazz --out=results/sound.md
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import librosa
import numpy as np
from absl import app, flags, logging
from matplotlib.figure import Figure
from tqdm import tqdm

from gst_jax import sound
from gst_jax.config import AudioConfig, Config, differences
from gst_jax.conversion import jobs, synthesis
from gst_jax.conversion.translator import Translator
from gst_jax.evaluation import hearing, scores
from gst_jax.evaluation.metrics import content
from gst_jax.evaluation.songs import Song, gather
from gst_jax.runs import provenance
from gst_jax.runs.directory import RunDirectory
from gst_jax.sound import fine_structure
from gst_jax.types import Array

_RUN = flags.DEFINE_string("run", None, "Run directory, trained on the built-in corpus.", required=True)
_OUT = flags.DEFINE_string("out", "results/sound.md", "Markdown to write; a picture of the same name goes beside it.")
_SPLIT = flags.DEFINE_enum("split", "test", ["validation", "test"], "Of the built-in corpus.")
_SONGS = flags.DEFINE_integer("songs", 8, "How many tunes in each direction.", lower_bound=2)

PLAIN = "plain Griffin-Lim"  # random phase, as a vocoder that never saw the source
EVEN = f"{synthesis.DEFAULT_ROUTE}, nothing learned"  # every mel band is filled evenly
ROUTES = (*synthesis.ROUTES, PLAIN)
OTHER_BINS = (64, 128, 256)  # of coarser and finer analyses than the default's
Rows = dict[tuple[str, str], dict[str, float]]  # figures by kind of log-mel, route


def render(route: str, source: Array, log_mel: Array, target: Array, audio: AudioConfig, fine: Array) -> Array:
    """Make sound [N] of a target log-mel [T, M] by a route, from the source [N] where it uses one."""
    if route == PLAIN:
        return plain_griffin_lim(target, audio, len(source))
    if route == EVEN:
        route, fine = synthesis.DEFAULT_ROUTE, fine_structure.flat(audio)
    return synthesis.synthesize(source[:, None], audio.sample_rate, log_mel, target, audio, fine, route)[:, 0]


def plain_griffin_lim(log_mel: Array, audio: AudioConfig, length: int) -> Array:
    """Invert a log-mel [T, M] by a non-negative mel inverse, then 32 steps of fast Griffin-Lim from random phase."""
    filters, mel = sound.mel_filters(audio), 10 ** (log_mel / 10)
    power = np.maximum(mel @ np.linalg.pinv(filters).T, 1e-9).astype(np.float32)
    for _ in range(50):
        power *= (mel / np.maximum(power @ filters.T, 1e-9)) @ filters / np.maximum(filters.sum(axis=0), 1e-9)
    return librosa.griffinlim(
        np.sqrt(power).T, n_iter=32, hop_length=audio.hop_length, n_fft=audio.n_fft, length=length, random_state=0
    )


def frames_of(waveform: Array, audio: AudioConfig) -> Array:
    """Return the log-mel of a waveform [N] with a frame for its very end."""
    return sound.log_mel(np.pad(waveform, (0, audio.hop_length)), audio)


def conditions(song: Song, log_mel: Array, translator: Translator, audio: AudioConfig) -> Iterator[tuple[str, Array]]:
    """Yield each kind of target log-mel [T, M] for one song."""
    yield "identity", log_mel
    for name, truth in song.truths.items():
        yield f"oracle, {name}", frames_of(truth, audio)
    yield "trained model", translator.convert_log_mel(log_mel)


def compare(run: RunDirectory, run_dir: str, split: str, count: int) -> tuple[Rows, list[list[Array]]]:
    """Render every song in every condition by every route; listen; average over the directions.

    Returns:
        The rows, next to log-mels [T, M] of one song for the picture: source, truth, each route of the model.
    """
    material, audio = gather(run, split, tqdm), run.config.audio
    rate = audio.sample_rate
    ear = hearing.train_ear(material.training, rate, progress=tqdm)
    reference = {
        genre: [hearing.hear_style(track, rate, ear) for track in tracks]
        for genre, tracks in material.reference.items()
    }
    collected: dict[tuple[str, str], list[dict[str, float]]] = {}
    picture: list[list[Array]] = []
    for (source, target), songs in material.songs.items():
        translator = Translator.from_run(run_dir, to=target)
        judge = scores.StyleJudge(ear, source, target, reference)
        others = {bins: dataclasses.replace(audio, n_mels=bins) for bins in OTHER_BINS}
        fine = {bins: fine_structure.fit(material.training[target], other) for bins, other in others.items()}
        heard: dict[tuple[str, str], list[tuple[hearing.Heard, hearing.Heard, Song]]] = {}
        for song in tqdm(songs[:count], desc=f"{source} to {target}", unit="song"):
            log_mel = frames_of(song.source, audio)
            before = hearing.hear(song.source, rate, ear)
            truths = {name: hearing.hear(truth, rate, ear) for name, truth in song.truths.items()}
            heard.setdefault(("no conversion", "the source itself"), []).append((before, before, song))
            for name, truth in truths.items():
                heard.setdefault(("the truth itself", name), []).append((before, truth, song))
            shown = [log_mel, frames_of(song.truths["rearranged"], audio)]
            for condition, wanted in conditions(song, log_mel, translator, audio):
                for route in (*ROUTES, EVEN):
                    out = render(route, song.source, log_mel, wanted, audio, translator.fine_structure)
                    heard.setdefault((condition, route), []).append((before, hearing.hear(out, rate, ear), song))
                    if condition == "trained model" and route in ROUTES:
                        shown.append(frames_of(out, audio))
            for name, bins in itertools.product(song.truths, OTHER_BINS):
                both = (frames_of(wave, others[bins]) for wave in (song.source, song.truths[name]))
                out = render(synthesis.DEFAULT_ROUTE, song.source, *both, others[bins], fine[bins])
                key = (f"oracle, {name}", f"{synthesis.DEFAULT_ROUTE}, {bins} mel bins")
                heard.setdefault(key, []).append((before, hearing.hear(out, rate, ear), song))
            picture.append(shown)
        truth_heard = {
            name: [hearing.hear(song.truths[name], rate, ear) for song in songs[:count]] for name in songs[0].truths
        }
        for key, parts in heard.items():
            figures = _figures(key, parts, truth_heard, judge)
            collected.setdefault(key, []).append(figures)
    rows = {
        key: {name: float(np.mean([part[name] for part in parts])) for name in parts[0]}
        for key, parts in collected.items()
    }
    return rows, picture


def _figures(
    key: tuple[str, str], parts: list, truths: dict[str, list], judge: scores.StyleJudge
) -> dict[str, float]:
    sources, outs = [part[0] for part in parts], [part[1] for part in parts]
    agreed = [
        content.agreement(one.transcription, other.transcription) for one, other in zip(sources, outs, strict=True)
    ]
    style = judge.measure([out.windows for out in outs])
    name = key[1] if key[0] == "the truth itself" else key[0].removeprefix("oracle, ")
    wanted = sources if name == "identity" else truths.get(name, truths.get("reorchestrated", sources))
    return {
        "LSD (dB)": scores.closeness_figures(outs, wanted)["log-spectral distance (dB)"][0],
        **{
            measure: float(np.mean([one[measure] for one in agreed]))
            for measure in ("note", "pitch", "chord", "onset")
        },
        "style": style["kernel distance to target"][0],
        "called": style["songs called target"][0],
    }


def pre_echo(route: str, audio: AudioConfig, fine: Array) -> float:
    """Return how much sound stands before attacks, in dB below the attacks, after a change of timbre."""
    rate, random = audio.sample_rate, np.random.default_rng(0)
    burst = random.standard_normal(rate // 4) * np.exp(-np.arange(rate // 4) / (0.04 * rate))
    attacks = np.arange(1, 20) * rate // 2
    source = 1e-4 * random.standard_normal(10 * rate)
    for attack in attacks:
        source[attack : attack + len(burst)] += 0.2 * burst
    source = source.astype(np.float32)
    log_mel = frames_of(source, audio)
    loud = np.clip((log_mel + 20) / 20, 0, 1)  # only what sounds changes its colour
    target = log_mel + loud * np.linspace(-12, 12, audio.n_mels, dtype=np.float32)
    out = render(route, source, log_mel, target, audio, fine) if route != "the source itself" else source
    before = np.mean([np.mean(out[attack - rate // 40 : attack - rate // 500] ** 2) for attack in attacks])
    after = np.mean([np.mean(out[attack : attack + rate // 40] ** 2) for attack in attacks])
    return float(10 * np.log10(before / after))


def speed(route: str, translator: Translator, rate: int, channels: int) -> tuple[float, float]:
    """Return the times real time of a whole conversion of three minutes: by wall clock, by CPU seconds."""
    song = 0.1 * np.random.default_rng(0).standard_normal((180 * rate, channels)).astype(np.float32)
    translator(song[: 10 * rate], rate, route=route)  # compile first
    wall, cpu = time.perf_counter(), time.process_time()
    translator(song, rate, route=route)
    return 180 / (time.perf_counter() - wall), 180 / (time.process_time() - cpu)


def file_speed(translator: Translator, songs: list[Array], audio: AudioConfig) -> tuple[float, float]:
    """Return the seconds that 3 minutes of 44.1 kHz stereo MP3 take to become an MP3, and to write one alone."""
    mono = sound.resample(np.resize(np.concatenate(songs), 180 * audio.sample_rate), audio.sample_rate, 44_100)
    song = np.stack([mono, np.roll(mono, 500)], axis=1)
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(3):
            begin = time.perf_counter()
            sound.write_wave(Path(folder, "song.mp3"), song, 44_100)
            written = time.perf_counter()
            planned = jobs.plan([Path(folder, "song.mp3")], Path(folder, "out"))
            jobs.convert(planned, translator, Path(folder, "out"))
            seconds.append((time.perf_counter() - written, written - begin))
    whole, writing = np.median(seconds, axis=0)
    return float(whole), float(writing)


def seams(run: RunDirectory, translator: Translator, waveform: Array) -> tuple[float, float]:
    """Return how much larger jumps of level, then spectral flux, are at window joins than elsewhere (1: the same)."""
    out = translator(waveform, run.config.audio.sample_rate)
    frames = sound.log_mel(out, run.config.audio)
    size = translator.WINDOW - 2 * translator.CONTEXT - translator.FADE
    change = np.abs(np.diff(frames, axis=0))
    joins = np.zeros(len(change), bool)
    for start in range(size, len(change), size):
        joins[start : start + translator.FADE] = True
    level = np.abs(np.diff(frames.mean(axis=1)))
    return level[joins].mean() / level[~joins].mean(), change[joins].mean() / change[~joins].mean()


def draw(log_mels: list[Array], path: Path) -> None:
    """Draw the source, the true arrangement, the trained model by each route."""
    figure = Figure(figsize=(13, 6), layout="constrained")
    titles = ("source", "true arrangement", *(f"model, {route}" for route in ROUTES))
    for panel, log_mel, title in zip(
        figure.subplots(2, 3, sharex=True, sharey=True).flat, log_mels, titles, strict=True
    ):
        panel.imshow(log_mel[: 10 * 63].T, origin="lower", aspect="auto", vmin=-40, vmax=30, cmap="magma")
        panel.set_title(title, fontsize=10)
    figure.savefig(path, dpi=80)


def table(rows: list[list[str]]) -> str:
    """Lay rows out in Markdown, the first as the head."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], ["---"] * len(rows[0]), *rows[1:]])


def bars(by: Rows) -> list[list[str]]:
    """Hold the figures against what the project asks of them."""
    route = synthesis.DEFAULT_ROUTE
    identity, model, plain = by["identity", route], by["trained model", route], by["trained model", PLAIN]
    out = [["bar", "wanted", "measured", "met"]]

    def add(name: str, wanted: str, value: float, met: bool) -> None:
        out.append([name, wanted, f"{value:.2f}", "yes" if met else "**no**"])

    add("identity: note F1 with the source", "at least 0.95", identity["note"], identity["note"] >= 0.95)
    add("identity: log-spectral distance", "under 1 dB", identity["LSD (dB)"], identity["LSD (dB)"] < 1)
    for name in ("rearranged", "reorchestrated"):
        oracle, other = by[f"oracle, {name}", route], by[f"oracle, {name}", PLAIN]
        wins = [
            oracle["LSD (dB)"] < other["LSD (dB)"],
            oracle["note"] > other["note"],
            oracle["style"] < other["style"],
        ]
        add(f"oracle, {name}: better than {PLAIN} in LSD, note, style", "2 of 3", sum(wins), sum(wins) >= 2)
    for measure in ("note", "chord"):
        ceiling = by["the truth itself", "rearranged"][measure]
        add(
            f"model: {measure} agreement with the source",
            f"at least {ceiling:.2f}",
            model[measure],
            model[measure] >= ceiling,
        )
    wanted = f"at most {plain['style']:.3f}"
    add(f"model: style distance, against {PLAIN}", wanted, model["style"], model["style"] <= plain["style"])
    return out


def main(_: list[str]) -> None:
    """Measure, write the tables with the picture."""
    logging.set_verbosity(logging.WARNING)
    run, audio = RunDirectory.open(_RUN.value), RunDirectory.open(_RUN.value).config.audio
    rows, picture = compare(run, _RUN.value, _SPLIT.value, _SONGS.value)
    translator = Translator.from_run(_RUN.value, to=run.pair[1])
    songs = [song.source for song in gather(run, _SPLIT.value).songs[run.pair][: _SONGS.value]]
    figures = [["log-mel", "route", *rows["identity", PLAIN]]]
    figures += [[*key, *(f"{value:.2f}" for value in row.values())] for key, row in rows.items()]
    echo = [["route", "sound before attacks (dB)"]]
    kinds = ("the source itself", *ROUTES)
    echo += [[route, f"{pre_echo(route, audio, translator.fine_structure):.1f}"] for route in kinds]
    fast = [["route", "44.1 kHz stereo, x real time (of one CPU)", "16 kHz mono"]]
    for route in synthesis.ROUTES:
        cells = (speed(route, translator, rate, channels) for rate, channels in ((44_100, 2), (16_000, 1)))
        fast.append([route, *(f"{wall:.0f} ({cpu:.0f})" for wall, cpu in cells)])
    level, flux = seams(run, translator, np.concatenate(songs))
    out = Path(_OUT.value)
    draw(picture[0], out.with_suffix(".png"))
    stamp = ", ".join(f"{key} {value}" for key, value in provenance.collect().items())
    out.write_text(
        TEXT.format(
            bins=audio.n_mels,
            figures=table(figures),
            bars=table(bars(rows)),
            echo=table(echo),
            fast=table(fast),
            mp3=file_speed(translator, songs, audio),
            load=os.getloadavg()[0],
            cores=os.cpu_count(),
            level=level,
            flux=flux,
            picture=out.with_suffix(".png").name,
            pair="_".join(run.pair),
            settings="; ".join(differences(Config(), run.config)) or "all settings at their defaults",
            split=_SPLIT.value,
            count=_SONGS.value,
            stamp=stamp,
        ),
        encoding="utf-8",
    )


TEXT = """# Ways back from log-mel to sound

Measured by `scripts/compare_sound.py` on {count} paired tunes of the built-in corpus ({split} set), both directions
of `{pair}`, averaged. The model was trained with: {settings}.

`identity`: the source's own log-mel, so only analysis with resynthesis is heard. `oracle`: the log-mel of the true
arrangement. `LSD`: log-spectral distance to the source for identity, else to the truth (for the model, the
reorchestrated one). `note` ... `onset`: agreement with the **source** (F-measures; share of frames for chords).
`style`: kernel distance to real music of the target genre, less is closer; `called`: share of songs that a classifier
takes for the target genre. Without a number of mel bins, they are the {bins} of the run. `nothing learned`: every
band that changes is filled evenly, where the default fills it as the target genre's training tracks do.

{figures}

## Bars

{bars}

`mixture` is the default. Use `--route=gain` for the cleanest sound that keeps the most of the recording (its notes,
attacks, stereo image), at the price of style; `griffin_lim` is there for comparison.

## Attacks

Sound in the 25 ms before sharp attacks, relative to the attacks, when the timbre changes by -12 to +12 dB over the
bands.

{echo}

## Speed

Three minutes through the whole `Translator`, model included, after the first call.

{fast}

Three minutes of 44.1 kHz stereo MP3 become an MP3 in {mp3[0]:.1f} s by the default route (median of 3). The MP3
encoder, which works on one core, takes {mp3[1]:.1f} s for as much with nothing else to do.
The load average was {load:.1f} on {cores} cores: beside other jobs, only the figures of one CPU hold.

## Joins

At the joins of the generator's windows, jumps of level are {level:.2f} times, spectral flux {flux:.2f} times what
they are elsewhere.

![source, truth, routes]({picture})

{stamp}
"""

if __name__ == "__main__":
    app.run(main)
