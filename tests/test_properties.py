"""Promises that hold for anything one can think of: tried on what hypothesis thinks of."""

import json
import os
import re
import subprocess
import sys
import tomllib
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gst_jax import config, data, sound
from gst_jax.conversion import jobs, planning, synthesis
from gst_jax.conversion.accompaniment import Band
from gst_jax.conversion.translator import Translator, check_strength
from gst_jax.evaluation.metrics import content, style
from gst_jax.sound import fine_structure, loudness, streams, tags
from gst_jax.sound.analysis import LOG_MEL_FLOOR

AUDIO = config.AudioConfig(n_mels=64)
FLAT = fine_structure.flat(AUDIO)
TILT = Translator(AUDIO, lambda log_mel: log_mel - np.linspace(0, 20, 64, dtype=np.float32), FLAT)
few = settings(
    max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
many = settings(max_examples=200, deadline=None, derandomize=True)

rates = st.sampled_from([8_000, 11_025, 16_000, 22_050, 44_100])
seeds = st.integers(0, 10**6)


def waveform(seed, seconds, rate, channels):
    rng = np.random.default_rng(seed)
    wave = rng.standard_normal((1 + int(seconds * rate), channels)) * 10 ** rng.uniform(-3, 0)
    wave *= rng.uniform(0, 1, channels)  # some channels hardly sound
    return wave.astype(np.float32)


# Conversion ---------------------------------------------------------------------------------------------------------


@few
@given(seed=seeds, rate=rates, seconds=st.floats(0, 2), channels=st.integers(1, 3), cuts=st.lists(st.floats(0, 1)))
def test_a_stream_cut_anywhere_is_the_call(seed, rate, seconds, channels, cuts):
    wave = waveform(seed, seconds, rate, channels)
    blocks = np.split(wave, sorted(int(cut * len(wave)) for cut in cuts))
    streamed = np.concatenate(list(TILT.stream(lambda: blocks, rate)))
    called = TILT(wave, rate)
    assert streamed.shape == called.shape == wave.shape
    assert streamed == pytest.approx(called, abs=1e-4 * max(1e-3, float(np.abs(called).max())))


@few
@given(seed=seeds, rate=rates, strength=st.floats(0.05, 1), route=st.sampled_from(synthesis.ROUTES))
def test_a_conversion_is_as_loud_as_its_source(seed, rate, strength, route):
    wave = waveform(seed, 2.0, rate, 2)
    out = TILT(wave, rate, strength, route)
    before, after = (loudness.energy(one, rate) for one in (wave, out))
    limited = np.abs(wave).max() > 0.5
    assert after <= before * 1.01 and after >= before * (0.3 if limited else 0.98)


@few
@given(seed=seeds, rate=rates, channels=st.integers(1, 8))
def test_strength_0_is_the_input_bit_for_bit(seed, rate, channels):
    wave = waveform(seed, 0.3, rate, channels)
    assert TILT(wave, rate, 0).tobytes() == wave.tobytes()


@many
@given(st.one_of(st.floats(), st.text(max_size=5)))
def test_a_strength_is_a_number_from_0_to_1_or_refused(value):
    try:
        strength = check_strength(value)
    except ValueError as error:
        assert "strength must" in str(error)
    else:
        assert 0 <= strength <= 1


def test_a_conversion_is_the_same_in_another_process():
    code = (
        "import numpy as np, hashlib; from gst_jax.conversion.translator import Translator\n"
        "wave = np.random.default_rng(0).standard_normal((44_100, 2)).astype(np.float32) / 10\n"
        "out = Translator.from_run('pretrained/folk_rock', to='rock')(wave, 22_050)\n"
        "print(hashlib.sha256(out.tobytes()).hexdigest())"
    )
    hashes = [
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    ]
    assert len(hashes[0]) == 65 and hashes[0] == hashes[1]


@few
@given(
    seed=seeds,
    seconds=st.floats(0, 1.5),
    rate=st.sampled_from([8_000, 11_025, 44_100, 96_000, 192_000]),
    channels=st.integers(1, 8),
    strength=st.floats(0, 1),
    level=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_an_output_is_exactly_as_long_as_its_input(tmp_path, seed, seconds, rate, channels, strength, level):
    """Whatever the length, the rate, the channels, the strength and the band, through files as through the call."""
    wave = np.clip(waveform(seed, seconds, rate, channels), -1, 1)
    assert TILT(wave, rate, strength).shape == wave.shape
    source, out = tmp_path / f"{seed}.wav", tmp_path / f"out{seed}"
    sound.write_wave(source, wave, rate, "FLOAT")
    plan = planning.plan([source], out, "jazz", overwrite=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sound.AudioWarning)  # that nobody can play along with noise
        assert not jobs.convert(plan.jobs, TILT, out, strength, band=Band("jazz", level) if level else None)
    made = sound.read_wave(plan.jobs[0].target)
    assert made.samples.shape == wave.shape and made.sample_rate == rate
    if strength == 0 and not level:
        assert made.samples.tobytes() == wave.tobytes()


def test_a_command_writes_the_same_bytes_each_time(tmp_path):
    """Two fresh processes, with a band, whose outputs would differ by a clock, a hash seed or a thread."""
    sound.write_wave(tmp_path / "song.wav", 0.3 * waveform(0, 6, 22_050, 2).clip(-1, 1), 22_050)
    command = [sys.executable, "-m", "gst_jax", "convert", tmp_path / "song.wav", "--to=jazz", "--band=1"]
    for number in "01":
        environment = os.environ | {"PYTHONHASHSEED": number}
        done = subprocess.run(
            [*command, f"--out={tmp_path / number}"], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    one, other = (next((tmp_path / number).iterdir()).read_bytes() for number in "01")
    assert one == other


# Settings -----------------------------------------------------------------------------------------------------------

DEFAULTS = config.to_dict(config.Config())
WORDS = {
    "model.architecture": config.ARCHITECTURES,
    "loss.adversarial_loss": config.ADVERSARIAL_LOSSES,
    "training.precision": config.PRECISIONS,
}


def values_of(name, default):
    """Return what a setting may be, sensible or not, of its type."""
    if name in WORDS:
        return st.sampled_from(WORDS[name])
    if isinstance(default, bool):
        return st.booleans()
    near = st.sampled_from([default, 0, 1, 2, 31, 32, 64, 96, 1024, 16_000])
    if isinstance(default, int):
        return near | st.integers(-1, 10**6)
    return near.map(float) | st.floats(-1, 10**5) | st.floats(0, 1)


trees = st.fixed_dictionaries(
    {},
    optional={
        section: st.fixed_dictionaries(
            {}, optional={key: values_of(f"{section}.{key}", default) for key, default in keys.items()}
        )
        for section, keys in DEFAULTS.items()
    },
)


def as_toml(tree):
    return "".join(
        f"[{section}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
        for section, keys in tree.items()
    )


@settings(max_examples=1000, deadline=None, derandomize=True)
@given(trees)
def test_settings_are_refused_with_name_and_range_or_survive_toml_and_json(tree):
    try:
        made = config.from_dict(tree)
    except config.ConfigError as error:
        section, _, key = re.search(r"(\w+)(\.)(\w+)", str(error)).groups()
        assert key in DEFAULTS[section]
        assert re.search(r"must be|needs|at most|above|rise", str(error)), error
        return
    whole = config.to_dict(made)
    assert config.from_dict(json.loads(json.dumps(whole))) == made
    assert config.from_dict(tomllib.loads(as_toml(tree))) == made == config.from_dict(tomllib.loads(as_toml(whole)))


tiny = st.builds(
    lambda audio, data, model, loss, training: {
        "audio": audio, "data": data, "model": model, "loss": loss, "training": training
    },
    st.fixed_dictionaries(
        {"segment_seconds": st.sampled_from([0.6, 1.0]), "n_mels": st.sampled_from([32, 36, 64])},
        optional={
            "sample_rate": st.sampled_from([8_000, 11_025, 16_000]),
            "f_max": st.sampled_from([3_000.0, 4_000.0]),
            "n_fft": st.sampled_from([256, 600, 1024]),
            "hop_length": st.sampled_from([50, 128]),
            "f_min": st.sampled_from([0.0, 100.0]),
        },
    ),
    st.fixed_dictionaries(
        {}, optional={"speed_semitones": st.integers(0, 1), "disturbance": st.floats(0, 1)}
    ),
    st.fixed_dictionaries(
        {"channels": st.integers(1, 6), "residual_blocks": st.just(1), "discriminator_channels": st.integers(1, 6)},
        optional={
            "architecture": st.sampled_from(config.ARCHITECTURES),
            "residual": st.booleans(),
            "transport_taps": st.sampled_from([0, 1, 5]),
            "song_share": st.floats(0, 1),
        },
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "adversarial": st.floats(0, 2),
            "cycle": st.floats(0, 20),
            "identity": st.floats(0, 5),
            "adversarial_loss": st.sampled_from(config.ADVERSARIAL_LOSSES),
            "gradient_penalty": st.floats(0, 1),
        },
    ),
    st.fixed_dictionaries(
        {"batch_size": st.integers(1, 3), "accumulation_steps": st.integers(1, 2)},
        optional={
            "learning_rate": st.floats(1e-6, 1e-2),
            "beta1": st.floats(0, 0.99),
            "beta2": st.floats(0, 0.9999),
            "ema_decay": st.floats(0, 0.9999),
            "precision": st.sampled_from(config.PRECISIONS),
            "seed": st.integers(0, 2**32 - 1),
        },
    ),
)  # fmt: skip


@pytest.mark.slow
@settings(few, max_examples=6, phases=[Phase.generate])
@given(tree=tiny)
def test_every_accepted_config_trains_one_step(tmp_path_factory, audio_dir, tree):
    import jax

    from gst_jax.learning import cyclegan, stepping

    try:
        accepted = config.from_dict(tree)
    except config.ConfigError:
        return
    cache = tmp_path_factory.mktemp("cache")
    genres = data.load_genres([audio_dir], ["harp", "organ"], accepted.audio, accepted.data, cache)
    batch, placement = data.Batches(*genres, accepted).batch_at(0), stepping.place(accepted)
    step, _ = stepping.compile_step(accepted, placement, batch)
    state, losses = step(placement.state(cyclegan.init_state(accepted)), placement.batch(batch))
    assert int(state.step) == 1 and int(state.skipped) == 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((losses, state.parameters)))


# Names --------------------------------------------------------------------------------------------------------------


@many
@given(st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="/\0"), min_size=1, max_size=300))
def test_any_name_is_shortened_to_what_a_file_may_have(stem):
    name = planning._shortened(stem, ".jazz.flac")
    assert len(os.fsencode(name)) <= 255 and name.endswith(".jazz.flac")
    assert stem.startswith(name.removesuffix(".jazz.flac"))
    assert len(os.fsencode(stem)) > 240 or name == stem + ".jazz.flac"


@many
@given(
    st.lists(st.text("ab_", min_size=1, max_size=4), min_size=2, max_size=5, unique=True), st.text("ab_", max_size=9)
)
def test_a_pair_is_understood_in_one_way_or_refused(genres, pair):
    try:
        a, b = config.parse_pair(pair, genres)
    except config.ConfigError as error:
        assert pair in str(error)
    else:
        assert f"{a}_{b}" == pair and a != b and a and b


# Files --------------------------------------------------------------------------------------------------------------


@few
@given(
    seed=seeds,
    seconds=st.floats(0.01, 1),
    rate=st.sampled_from([8_000, 44_100, 48_000, 96_000]),
    channels=st.integers(1, 2),
    kind=st.sampled_from(
        [("wav", "PCM_24"), ("wav", "FLOAT"), ("flac", "PCM_24"), ("aiff", "PCM_24"), ("caf", "FLOAT")]
    ),
)
def test_what_is_written_is_read_to_the_sample(tmp_path, seed, seconds, rate, channels, kind):
    wave = np.clip(waveform(seed, seconds, rate, channels), -1, 1)
    path = tmp_path / f"{seed}.{kind[0]}"
    sound.write_wave(path, wave, rate, kind[1])
    read = sound.read_wave(path)
    assert read.sample_rate == rate and read.samples.shape == wave.shape
    assert read.samples == pytest.approx(wave, abs=2**-22)


words = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=30).map(str.strip).filter(bool)


@few
@given(title=words, artist=words, suffix=st.sampled_from(["mp3", "flac", "ogg", "aiff"]))
def test_any_title_is_kept(tmp_path, title, artist, suffix):
    path = tmp_path / f"song.{suffix}"
    kind = sound.choose_kind(path, 44_100, 1)
    wave = np.zeros((4_410, 1), np.float32)
    sound.write_blocks(path, [wave], 44_100, 1, kind, tags.Tags({"title": [title], "artist": [artist]}, []))
    kept = sound.read_tags(path, sound.read_header(path)).texts
    assert kept["title"] == [title] and kept["artist"] == [artist]


# Measures and streams -----------------------------------------------------------------------------------------------


@many
@given(st.lists(st.integers(0, 40), max_size=30), st.integers(1, 12), st.integers(0, 5), st.integers(0, 5))
def test_windows_hold_every_row_once(sizes, size, before, after):
    rows = np.arange(sum(sizes))[:, None]
    blocks = np.split(rows, np.cumsum(sizes)[:-1]) if sizes else []
    if not len(rows):
        return
    middles = [
        window[before : before + fresh] for window, fresh in streams.windows(blocks, size, before, after, "constant")
    ]
    assert (np.concatenate(middles) == rows).all()


@many
@given(st.integers(1, 10**7), rates)
def test_gating_blocks_cut_evenly(length, rate):
    sizes = np.diff(loudness.gating_edges(length, rate))
    assert sizes.sum() == length and np.ptp(sizes) <= 1


@many
@given(st.lists(st.floats(0, 100), max_size=20), st.lists(st.floats(0, 100), max_size=20), st.floats(0.001, 1))
def test_an_f_measure_is_symmetric_and_at_most_one(one, other, tolerance):
    one, other = np.sort(one), np.sort(other)
    measure = content.event_f_measure(one, other, tolerance)
    assert 0 <= measure <= 1 and measure == content.event_f_measure(other, one, tolerance)
    assert content.event_f_measure(one, one, tolerance) == 1


@few
@given(seeds)
def test_distances_of_a_set_to_itself_are_the_least(seed):
    rng = np.random.default_rng(seed)
    one = [rng.standard_normal((6, 3)) for _ in range(5)]
    far = [tracks + 3 for tracks in one]
    means = style.kernel_means(one, one, 1.5)
    assert means == pytest.approx(means.T) and (means <= 1).all()
    to_far = style.kernel_distance(means, style.kernel_means(far, far, 1.5), style.kernel_means(one, far, 1.5))
    assert style.kernel_distance(means, means, means) < to_far
    assert style.frechet_distance(np.concatenate(one), np.concatenate(one)) == pytest.approx(0, abs=1e-6)


@many
@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8, unique=True), st.floats(0, 0.9))
def test_a_split_is_whole_and_does_not_depend_on_the_order(names, fraction):
    files = [data.genres.Path(f"/music/{name}.wav") for name in names]
    training, held_out = data.split_tracks(files, fraction)
    assert sorted(training + held_out) == sorted(files) and training
    again = data.split_tracks(files[::-1], fraction)
    assert (set(again[0]), set(again[1])) == (set(training), set(held_out))
    assert bool(held_out) is (fraction > 0 and len(files) > 1)


@few
@given(seed=seeds, level=st.floats(-120, 40))
def test_no_level_falls_below_the_floor(seed, level):
    wave = np.random.default_rng(seed).standard_normal(8_000).astype(np.float32) * np.float32(10 ** (level / 20))
    frames = sound.log_mel(wave, AUDIO)
    assert frames.min() >= LOG_MEL_FLOOR and np.isfinite(frames).all()
