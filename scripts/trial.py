"""Try what the issue of unseen music proposes, each beside the default recipe, for as many micro-batches.

    python scripts/trial.py --pair=folk_rock --variant=pairs --steps=2190 --out=trials/folk_rock_pairs
    python scripts/trial.py --pair=folk_rock --judge=trials --weights=musicnn-0.1.0-py3-none-any.whl --out=trials.json

Variants: `base`; `pairs`, an L1 on tunes that both genres' instruments play, from 1 to 0 over the first half;
`pairs_kept`, the same at 0.5 to the end; `chroma`, a loss on the chroma of a conversion against its song's;
`semitones`, semitone levels from 55 to 700 Hz and onsets of two bands as further inputs. Without training:
`mixture4` and `mixture8`, a transport between Gaussian mixtures before the one between Gaussian processes.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import time
import zipfile
from pathlib import Path

import command
import jax
import jax.numpy as jnp
import numpy as np
import optax
import tagger
import tensor_bundle
from absl import flags
from flax import linen as nn
from scipy.optimize import linprog
from scipy.special import logsumexp
from tqdm import tqdm

from gst_jax import config, data, sound
from gst_jax.conversion import translator
from gst_jax.corpus import library
from gst_jax.corpus.render import SAMPLE_RATE
from gst_jax.data.disturbance import Disturbance
from gst_jax.evaluation import analysis
from gst_jax.evaluation.metrics import content, style, transcription
from gst_jax.evaluation.songs import gather
from gst_jax.learning import checkpoint, cyclegan, losses, models, transport
from gst_jax.learning.models import FrameConv, Transport
from gst_jax.runs.directory import RunDirectory
from gst_jax.sound import levels, loudness

VARIANTS = ("base", "pairs", "pairs_kept", "chroma", "semitones")
MIXTURES = ("mixture4", "mixture8")
TUNES = 20  # pairs to learn from
LOWEST, SEMITONES = 33, 45  # MIDI, 55 to 700 Hz
EXTRAS = SEMITONES + 2

_PAIR = flags.DEFINE_string("pair", None, "two genres of the corpus", required=True)
_VARIANT = flags.DEFINE_enum("variant", "base", VARIANTS, "what to try")
_STEPS = flags.DEFINE_integer("steps", 2190, "micro-batches")
_JUDGE = flags.DEFINE_string("judge", None, "folder of trained variants to judge")
_WEIGHTS = flags.DEFINE_string("weights", None, "wheel of musicnn")
_ELSEWHERE = flags.DEFINE_string("elsewhere", "elsewhere", "folder made by scripts/elsewhere.py")
_REAL = flags.DEFINE_string("real", None, "folder of real recordings")
_OUT = flags.DEFINE_string("out", None, "what to write", required=True)


def main() -> None:
    """Train or judge."""
    from gst_jax.runs import startup

    startup.prepare()
    settings = config.load(None, [])
    pair = config.parse_pair(_PAIR.value)
    genres = data.load_pair(pair, (), data.settings_for((), settings), tqdm)
    if _JUDGE.value:
        judge(pair, settings, genres)
    else:
        train(pair, settings, genres)


class Hearing(nn.Module):
    """`FrameGenerator` with further inputs at its first layer."""

    channels: int
    blocks: int
    taps: int

    @nn.compact
    def __call__(self, log_mel, extras):
        frames, mels = log_mel.shape[1:]
        c = self.channels
        log_mel = Transport(self.taps, name=models.TRANSPORT)(log_mel)
        x, e = (jnp.pad(part, ((0, 0), (0, -frames % 2), (0, 0))) for part in (log_mel, extras))
        x = nn.relu(FrameConv(c, 5)(x) + FrameConv(c, 5, name="extras")(e))
        x = nn.relu(FrameConv(c, 4, stride=2)(x))
        for _ in range(self.blocks):
            x = x + FrameConv(c, 3)(nn.relu(FrameConv(c, 3)(x)))
        x = nn.relu(FrameConv(2 * c, 3)(x)).reshape(*x.shape[:1], -1, c)
        return log_mel + FrameConv(mels, 5, name=models.OUTPUT)(x)[:, :frames]


def hearing(model) -> Hearing:
    return Hearing(model.channels, model.residual_blocks, model.transport_taps)


def translate(generator, model, log_mel, extras):
    if extras is None:
        return cyclegan.translate(generator, model, log_mel)
    return hearing(model).apply({"params": generator}, log_mel, extras)


def extras_of(waveform, audio):
    """Semitone levels against their neighbours, and onsets below and above 500 Hz: [T, EXTRAS]."""
    wide = dataclasses.replace(audio, n_fft=4096)
    power = np.abs(sound.stft(waveform, wide)) ** 2
    frequencies = np.fft.rfftfreq(4096, 1 / audio.sample_rate)
    centres = 440 * 2 ** ((np.arange(LOWEST, LOWEST + SEMITONES) - 69) / 12)
    weights = np.maximum(1 - np.abs(12 * np.log2(np.maximum(frequencies, 1)[:, None] / centres)), 0)
    for column, centre in enumerate(centres):  # below the resolution, the nearest bin
        if not weights[:, column].any():
            weights[np.argmin(np.abs(frequencies - centre)), column] = 1
    salience = 10 * np.log10(power @ weights + 1e-5)
    smooth = np.stack([salience[:, max(0, i - 6) : i + 7].mean(axis=1) for i in range(SEMITONES)], axis=1)
    log_mel = sound.log_mel(waveform, audio)
    edge = int(np.searchsorted(_centres(audio), 500.0))
    rise = np.maximum(np.diff(log_mel, axis=0, prepend=log_mel[:1]), 0)
    onsets = np.stack([rise[:, :edge].mean(axis=1), rise[:, edge:].mean(axis=1)], axis=1)
    return np.concatenate([np.clip((salience - smooth) / 8, -2, 3), np.minimum(onsets / 3, 3)], axis=1).astype(np.float32)


@functools.cache
def _centres(audio):
    from librosa import mel_frequencies

    return mel_frequencies(n_mels=audio.n_mels + 2, fmin=audio.f_min, fmax=audio.f_max)[1:-1]


class Watched(Disturbance):
    """Tell by how much the last segment was transposed."""

    semitones = 0.0

    def __call__(self, log_mel, rng):
        self.semitones = 0.0
        return super().__call__(log_mel, rng)

    def _transposed(self, log_mel, semitones):
        self.semitones = semitones
        return super()._transposed(log_mel, semitones)


def heard_batches(batches, genres, settings):
    """Return `batch_at` with the further inputs of the songs, `extras_a` and `extras_b`."""
    found = {"a": [], "b": []}
    for name, side, genre in zip("ab", batches._sides, genres, strict=True):
        everything = np.zeros((len(genre.log_mel), EXTRAS), np.float32)
        for track in tqdm(genre.tracks, desc="extras"):
            one = extras_of(data.read_mono(track.path, settings.audio), settings.audio)[: track.frames]
            everything[track.start : track.start + len(one)] = one
        side._disturb = watched = Watched(settings.audio, settings.data.disturbance)

        def cut(starts, rng, name=name, side=side, usual=side.cut, everything=everything, watched=watched):
            parts = []
            found[name].clear()
            for start in starts:
                parts.append(usual([start], rng))
                extras = everything[start : start + side._length].copy()
                at = np.arange(SEMITONES) - watched.semitones
                low = np.clip(np.floor(at).astype(int), 0, SEMITONES - 2)
                part = np.clip(at - low, 0, 1).astype(np.float32)
                extras[:, :SEMITONES] = (1 - part) * extras[:, low] + part * extras[:, low + 1]
                found[name].append(extras)
            return tuple(np.concatenate(side) for side in zip(*parts, strict=True))

        side.cut = cut

    def batch_at(step):
        batch = batches.batch_at(step)
        return batch | {f"extras_{name}": np.stack(found[name]) for name in "ab"}

    return batch_at


def paired(number, source, target, statistics, audio):
    """A tune as two genres' instruments play the same notes, standardised: [T, M] each."""
    sides = []
    for player in (source, target):
        samples = library.samples_of(library.CorpusFile("", "pairs", number, source, player))
        waveform = sound.resample(sound.mono(samples), SAMPLE_RATE, audio.sample_rate)
        blocks = loudness.gating_blocks(waveform, audio.sample_rate)
        waveform = waveform * loudness.gain_to_reference(blocks, audio.sample_rate)
        log_mel = sound.log_mel(waveform, audio)
        sides.append((log_mel - np.array(statistics[player].mean)) / np.array(statistics[player].deviation))
    length = min(map(len, sides))
    return tuple(side[:length].astype(np.float32) for side in sides)


def chroma_matrix(audio):
    """How much of each mel band is each pitch class, [M, 12]; none below 180 Hz, where a band is more than one."""
    frequencies = np.fft.rfftfreq(audio.n_fft, 1 / audio.sample_rate)
    pitch = 12 * np.log2(np.maximum(frequencies, 1) / 440) + 69
    distance = np.abs((pitch[:, None] - np.arange(12) + 6) % 12 - 6)
    classes = np.exp(-0.5 * (distance / 0.7) ** 2) * ((frequencies > 180) & (frequencies < 2500))[:, None]
    return (sound.analysis.mel_filters(audio) @ classes).astype(np.float32)


def losses_of(generator, discriminator, batch, step, settings, variant, steps, known):
    """The usual loss of the generators with what a variant adds."""
    if variant == "semitones":
        total, rest = hearing_loss(generator, discriminator, batch, settings)
        return total, rest
    total, (metrics, fakes) = cyclegan.generator_loss(generator, discriminator, batch, settings)
    if variant.startswith("pairs"):
        weight = 0.5 if variant == "pairs_kept" else jnp.maximum(1 - 2 * step / steps, 0.0)
        error = 0.0
        for direction in ("ab", "ba"):
            made = translate(generator[direction], settings.model, batch[f"{direction}_before"], None)
            error = error + losses.absolute_error(made, batch[f"{direction}_after"])
        total = total + weight * error
        metrics = metrics | {"generator/pairs": error}
    if variant == "chroma":
        matrix, (level_a, level_b) = known
        error = 0.0
        for song, fake, before, after in (("a", "b", level_a, level_b), ("b", "a", level_b, level_a)):
            old = chroma(batch[song], before, matrix)
            new = chroma(fakes[fake], after, matrix)
            error = error + losses.absolute_error(old, new)
        total = total + 5.0 * error
        metrics = metrics | {"generator/chroma": error}
    return total, (metrics, fakes)


def chroma(standard, level, matrix):
    """The share of each pitch class in each frame's compressed power: [B, T, 12]."""
    power = jnp.exp((standard * level[1] + level[0]) * np.float32(np.log(10) / 20))
    classes = power @ matrix
    return 12 * classes / (classes.sum(-1, keepdims=True) + 1e-3)


def hearing_loss(generator, discriminator, batch, settings):
    """`cyclegan.generator_loss` with the songs' further inputs, which a conversion keeps."""
    a, b, extras_a, extras_b = (batch[name] for name in ("a", "b", "extras_a", "extras_b"))
    model, adversarial = settings.model, cyclegan._adversarial(settings)
    fake_b, fake_a = translate(generator["ab"], model, a, extras_a), translate(generator["ba"], model, b, extras_b)
    cycle_a = translate(generator["ba"], model, fake_b, extras_a)
    cycle_b = translate(generator["ab"], model, fake_a, extras_b)
    score = functools.partial(cyclegan._score, model)
    parts = {
        "generator/adversarial": adversarial(score(discriminator["b"], fake_b), 1.0)
        + adversarial(score(discriminator["a"], fake_a), 1.0),
        "generator/cycle": losses.absolute_error(cycle_a, a) + losses.absolute_error(cycle_b, b),
    }
    total = settings.loss.adversarial * parts["generator/adversarial"] + settings.loss.cycle * parts["generator/cycle"]
    return total, ({"generator/total": total, **parts}, {"a": fake_a, "b": fake_b})


def train(pair, settings, genres):
    """Train a variant; write the averaged generators of its end."""
    variant, steps = _VARIANT.value, _STEPS.value
    batches = data.Batches(*genres, settings)
    batch_at = batches.batch_at
    statistics = {genre.name: genre.statistics for genre in genres}
    parameters = cyclegan.init_parameters(settings)
    if variant == "semitones":
        example = jax.ShapeDtypeStruct((1, 126, settings.audio.n_mels), jnp.float32)
        more = jax.ShapeDtypeStruct((1, 126, EXTRAS), jnp.float32)
        shapes = jax.eval_shape(hearing(settings.model).init, jax.random.key(0), example, more)["params"]
        parameters["generator"] = {
            key: models.draw_parameters(shapes, settings.model, (0, number)) for number, key in enumerate(("ab", "ba"))
        }
        batch_at = heard_batches(batches, genres, settings)
    parameters |= {"generator": transport.begin(parameters["generator"], *genres)}
    known = (
        chroma_matrix(settings.audio),
        tuple(np.array([g.statistics.mean, g.statistics.deviation], np.float32) for g in genres),
    )
    if variant.startswith("pairs"):
        directions = {"ab": pair, "ba": pair[::-1]}
        tunes = {
            key: [paired(n, *direction, statistics, settings.audio) for n in tqdm(range(TUNES), desc="pairs")]
            for key, direction in directions.items()
        }
        usual, length = batch_at, settings.audio.segment_frames

        def batch_at(step):
            rng, batch = np.random.default_rng((0, 9, step)), usual(step)
            for key, found in tunes.items():
                cuts = []
                for choice in rng.integers(len(found), size=settings.training.batch_size):
                    start = rng.integers(len(found[choice][0]) - length + 1)
                    cuts.append([part[start : start + length] for part in found[choice]])
                batch[f"{key}_before"], batch[f"{key}_after"] = np.moveaxis(np.array(cuts), 1, 0)
            return batch

    optimizer = cyclegan.make_optimizer(settings.training)
    state, ema = optimizer.init(parameters), parameters["generator"]

    @jax.jit
    def step_of(parameters, state, ema, batch, step):
        generator, discriminator = parameters["generator"], parameters["discriminator"]
        (_, (metrics, fakes)), gradient = jax.value_and_grad(losses_of, has_aux=True)(
            generator, discriminator, batch, step, settings, variant, steps, known
        )
        (_, more), other = jax.value_and_grad(cyclegan.discriminator_loss, has_aux=True)(
            discriminator, batch, fakes, settings
        )
        changes, state = optimizer.update({"generator": gradient, "discriminator": other}, state, parameters)
        parameters = optax.apply_updates(parameters, changes)
        count = state.inner_state.gradient_step.astype(jnp.float32)
        decay = jnp.minimum(settings.training.ema_decay, count / (count + 9))
        ema = jax.tree.map(lambda old, new: decay * old + (1 - decay) * new, ema, parameters["generator"])
        return parameters, state, ema, metrics | more

    start = time.process_time()
    with tqdm(range(steps), desc=f"{_PAIR.value} {variant}", mininterval=10) as bar:
        for step in bar:
            parameters, state, ema, metrics = step_of(parameters, state, ema, batch_at(step), jnp.float32(step))
            jax.block_until_ready(ema)
            if step % 200 == 0:
                shown = {name.split("/")[1]: round(float(value), 3) for name, value in metrics.items()}
                tqdm.write(f"{step} {shown}")
    print(f"{(time.process_time() - start) / steps * 1000:.0f} ms of CPU a step")
    out = Path(_OUT.value)
    out.parent.mkdir(parents=True, exist_ok=True)
    np.save(out.with_suffix(".npy"), jax.device_get(ema), allow_pickle=True)


# ---- a start between mixtures


@dataclasses.dataclass
class Mixture:
    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray


def fit_mixture(genre, count):
    """Fit a Gaussian mixture to a genre's standardised frames, its covariances shrunk towards the whole's."""
    from sklearn.cluster import KMeans

    frames = np.asarray(genre.log_mel[:: max(1, len(genre.log_mel) // 20_000)])
    x = (frames - np.array(genre.statistics.mean)) / np.array(genre.statistics.deviation)
    labels = KMeans(count, n_init=4, random_state=0).fit_predict(x)
    whole = np.cov(x.T)
    found = Mixture(np.zeros(count), np.zeros((count, x.shape[1])), np.zeros((count, x.shape[1], x.shape[1])))
    for k in range(count):
        part = x[labels == k]
        found.weights[k], found.means[k] = len(part) / len(x), part.mean(axis=0)
        found.covariances[k] = 0.7 * np.cov(part.T) + 0.2 * whole + 0.1 * np.eye(x.shape[1]) * np.trace(whole) / len(whole)
    return found


def root(matrix):
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 1e-9))) @ vectors.T


def mixture_map(one, other):
    """Return the map of Delon & Desolneux 2020: components coupled at least Bures cost, frames moved by their mean."""
    count = len(one.weights)
    cost, maps = np.zeros((count, count)), {}
    for i in range(count):
        half = root(one.covariances[i])
        inverse = np.linalg.inv(half)
        for j in range(count):
            middle = root(half @ other.covariances[j] @ half)
            maps[i, j] = inverse @ middle @ inverse
            cost[i, j] = (
                np.sum((one.means[i] - other.means[j]) ** 2)
                + np.trace(one.covariances[i] + other.covariances[j] - 2 * middle)
            )
    rows = np.kron(np.eye(count), np.ones(count))
    columns = np.kron(np.ones(count), np.eye(count))
    coupling = linprog(
        cost.ravel(), A_eq=np.vstack([rows, columns]), b_eq=np.concatenate([one.weights, other.weights]), bounds=(0, None)
    ).x.reshape(count, count)
    precisions = [np.linalg.inv(covariance) for covariance in one.covariances]
    offsets = [0.5 * np.linalg.slogdet(covariance)[1] for covariance in one.covariances]

    def move(x):
        logs = np.stack(
            [
                np.log(weight) - offset - 0.5 * np.einsum("ti,ij,tj->t", x - mean, precision, x - mean)
                for weight, mean, precision, offset in zip(one.weights, one.means, precisions, offsets, strict=True)
            ],
            axis=1,
        )
        shares = np.exp(logs - logsumexp(logs, axis=1, keepdims=True))
        kernel = np.hanning(9)[1:-1] / np.hanning(9).sum()  # frame by frame it would flutter
        shares = np.stack([np.convolve(column, kernel, "same") for column in shares.T], axis=1)
        out = np.zeros_like(x)
        for i in range(count):
            for j in range(count):
                if coupling[i, j] > 1e-9:
                    part = coupling[i, j] / one.weights[i]
                    out += part * shares[:, i : i + 1] * (other.means[j] + (x - one.means[i]) @ maps[i, j])
        return out

    return move


def mixture_generator(run, genres, source, target, count):
    """An untrained generator: the mixtures' map, then the transport from what it makes to the target."""
    by_name = {genre.name: genre for genre in genres}
    move = mixture_map(fit_mixture(by_name[source], count), fit_mixture(by_name[target], count))
    before, after = (
        (np.array(by_name[name].statistics.mean), np.array(by_name[name].statistics.deviation)) for name in (source, target)
    )
    origin = by_name[source]
    moved = move((np.asarray(origin.log_mel) - before[0]) / before[1])
    mean, deviation = moved.mean(axis=0), moved.std(axis=0)
    statistics = dataclasses.replace(origin.statistics, mean=tuple(mean), deviation=tuple(deviation))
    made = dataclasses.replace(origin, log_mel=moved, statistics=statistics)
    kernel = transport.gaussian_transport(made, by_name[target], run.config.model.transport_taps)
    highest = np.array(by_name[target].statistics.highest)

    def generate(log_mel):
        x = (move((log_mel - before[0]) / before[1]) - mean) / deviation
        taps = len(kernel)
        padded = np.pad(x, ((taps // 2, taps // 2), (0, 0)))
        y = sum(padded[i : i + len(x)] @ kernel[i] for i in range(taps))
        return np.minimum(y * after[1] + after[0], highest).astype(np.float32)

    return generate


# ---- the judge


def judge(pair, settings, genres):
    """Ask the outside judge and the notes, on validation tunes of another bank, and real music."""
    with zipfile.ZipFile(_WEIGHTS.value) as wheel:
        ear = tagger.make_tagger(tensor_bundle.read(wheel, tagger.MODEL))
    statistics = {genre.name: genre.statistics for genre in genres}
    run = RunDirectory(path=Path("none"), pair=pair, config=settings, statistics=statistics, audio_dirs=())
    rate = settings.audio.sample_rate
    kinds = {"bank": f"{_ELSEWHERE.value}/bank/validation"}
    if _REAL.value:
        kinds["real"] = _REAL.value
    result = {}
    for kind, folder in kinds.items():
        material = gather(run, "validation", audio_dir=folder)
        tracks = material.reference
        if folder is not None:
            tracks = {source: [song.source for song in part] for (source, _), part in material.songs.items()}
        heard_real = {
            genre: [tagger.listen(ear, tagger.middle(track, rate), rate) for track in part] for genre, part in tracks.items()
        }
        width = style.bandwidth(np.concatenate([w for part in heard_real.values() for w, _ in part]))
        for (source, target), songs in material.songs.items():
            excerpts = [tagger.middle(song.source, rate) for song in songs]
            notes = [transcribed(one, rate) for one in excerpts]
            made = {"untouched input": excerpts}
            for name, convert in converters(run, genres, source, target).items():
                made[name] = [convert(one) for one in excerpts]
            heard = {name: [tagger.listen(ear, one, rate) for one in part] for name, part in made.items()}
            rows = tagger.compare(heard, heard_real[target], target, width)
            for name, figures in rows["methods"].items():
                kept = [content.agreement(old, transcribed(new, rate)) for old, new in zip(notes, made[name], strict=True)]
                figures |= {key: float(np.mean([one[key] for one in kept])) for key in ("pitch", "chroma", "chord", "beat")}
                shown = ", ".join(f"{key} {np.ravel(value)[0]:.3f}" for key, value in figures.items() if key != "gain")
                print(f"{kind}: {source} to {target}: {name}: {shown}", flush=True)
            result.setdefault(kind, {})[f"{source} to {target}"] = rows
    Path(_OUT.value).write_text(json.dumps(result, indent=1) + "\n")


def transcribed(waveform, rate):
    return transcription.transcribe(analysis.common(waveform, rate), analysis.ANALYSIS.sample_rate)


def converters(run, genres, source, target):
    """Each variant's conversion, [N] -> [N]."""
    settings = run.config
    direction = "ab" if (source, target) == run.pair else "ba"
    goal = next(genre for genre in genres if genre.name == target)
    usual = dict(
        audio=settings.audio,
        fine_structure=goal.fine_structure,
        context=models.context(settings.model),
        source=run.statistics[source],
        song_share=settings.model.song_share,
    )
    found = {}
    untrained = transport.begin(cyclegan.init_parameters(settings)["generator"], *genres)[direction]
    generators = {"untrained": translator.compiled(untrained, run, source, target)}
    generators |= {name: mixture_generator(run, genres, source, target, int(name[7:])) for name in MIXTURES}
    for variant in VARIANTS:
        path = Path(_JUDGE.value, f"{'_'.join(run.pair)}_{variant}.npy")
        if path.exists():
            parameters = np.load(path, allow_pickle=True).item()[direction]
            if variant == "semitones":
                found[variant] = Listening(parameters, run, source, target, usual)
            else:
                generators[variant] = translator.compiled(parameters, run, source, target)
    for name, generator in generators.items():
        translate = translator.Translator(generator=generator, **usual)
        found[name] = lambda waveform, translate=translate: translate(waveform, settings.audio.sample_rate)
    return found


class Listening:
    """A translator whose generator gets further inputs of the whole song."""

    def __init__(self, parameters, run, source, target, usual):
        self._run, self._source, self._target = run, source, target
        self._parameters, self._usual = parameters, usual

    def __call__(self, waveform):
        audio, model = self._run.config.audio, self._run.config.model
        gain = loudness.gain_to_reference(loudness.gating_blocks(waveform, audio.sample_rate), audio.sample_rate)
        extras = extras_of(gain * waveform, audio)[None]
        log_mel = sound.log_mel(gain * waveform, audio)
        song = levels.Levels(audio.n_mels)
        song.add(log_mel, pauses=False)
        before, after = self._run.statistics[self._source], self._run.statistics[self._target]
        mean, deviation = levels.blended(np.array(before.mean), np.array(before.deviation), song, model.song_share)
        standard = ((log_mel - mean) / deviation).astype(np.float32)[None]
        made = np.asarray(jax.jit(hearing(model).apply)({"params": self._parameters}, standard, extras))[0]
        wanted = np.minimum(made * np.array(after.deviation) + np.array(after.mean), after.highest).astype(np.float32)
        # The translator's own path makes sound of it: it is given the frames that it asks for.
        wanted = np.pad(wanted, ((0, 2), (0, 0)), "edge")  # a resampled song may have a frame more
        place = iter(windows_of(wanted, translator.FRESH, self._usual["context"], translator.FADE))
        translate = translator.Translator(generator=lambda window: next(place), **(self._usual | {"song_share": 0.0}))
        return translate(waveform, audio.sample_rate)


def windows_of(frames, fresh, context, fade):
    """Cut frames as the translator's windows lie."""
    from gst_jax.sound import streams

    for window, count in streams.windows([frames], fresh, context, fade + context, "reflect"):
        if count == 0:
            return
        yield window


if __name__ == "__main__":
    command.run(main)
