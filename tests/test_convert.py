import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from threadpoolctl import threadpool_info

from gst_jax import config, sound
from gst_jax.conversion import jobs, planning
from gst_jax.conversion.translator import Translator
from gst_jax.runs.directory import RunDirectory, Statistics
from gst_jax.sound import fine_structure

AUDIO = config.AudioConfig(n_mels=64)
IDENTITY = Translator(AUDIO, lambda log_mel: log_mel, fine_structure.flat(AUDIO))
QUIETER_TREBLE = replace(IDENTITY, generator=lambda log_mel: log_mel - np.linspace(0, 20, 64, dtype=np.float32))


def write(path, seconds=0.5, rate=16_000, channels=1, subtype=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = 0.1 * np.random.default_rng(0).standard_normal((int(seconds * rate), channels))
    sound.write_wave(path, wave.astype(np.float32), rate, subtype)
    return path


@pytest.fixture
def run_dir(tmp_path):
    """Return a run without a checkpoint, which is enough to bypass the model."""
    path = tmp_path / "run"
    path.mkdir()
    flat = Statistics(mean=(0.0,) * 64, deviation=(1.0,) * 64, highest=(99.0,) * 64)
    RunDirectory(
        path=path,
        pair=("folk", "jazz"),
        config=config.load("configs/pictures.toml"),
        statistics={"folk": flat, "jazz": flat},
    ).write()
    return path


def plan(inputs, out, format=None, **options):
    """Return the jobs of a plan that leaves nothing out."""
    planned = planning.plan(inputs, out, "jazz", format, **options)
    assert not planned.refused and not planned.existing
    return planned.jobs


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "gst_jax.convert", *map(str, arguments)], capture_output=True, text=True, timeout=300
    )


@pytest.mark.parametrize(
    ("suffix", "subtype", "rate", "channels"),
    [
        ("wav", "PCM_16", 44_100, 2),
        ("wav", "PCM_24", 96_000, 3),
        ("wav", "FLOAT", 8_000, 8),
        ("flac", "PCM_24", 48_000, 2),
        ("ogg", "VORBIS", 22_050, 1),
        ("mp3", "MPEG_LAYER_III", 44_100, 2),
    ],
)
def test_a_file_keeps_its_length_rate_channels_and_kind(tmp_path, suffix, subtype, rate, channels):
    source = write(tmp_path / f"in.{suffix}", 0.7001, rate, channels, subtype)
    planned = plan([source], tmp_path / "out")
    jobs.convert(planned, QUIETER_TREBLE, tmp_path / "out")
    before, after = sound.read_wave(source), sound.read_wave(tmp_path / "out" / f"in.jazz.{suffix}")
    assert after.samples.shape == before.samples.shape
    assert (after.sample_rate, after.format, after.subtype) == (rate, suffix.upper(), subtype)
    assert not np.array_equal(after.samples, before.samples)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_strength_0_writes_the_input_s_samples(tmp_path, subtype):
    source = write(tmp_path / "in.wav", subtype=subtype)
    jobs.convert(plan([source], tmp_path / "out"), QUIETER_TREBLE, tmp_path / "out", strength=0)
    before, after = sound.read_wave(source), sound.read_wave(tmp_path / "out" / "in.jazz.wav")
    assert before.samples.tobytes() == after.samples.tobytes()


def test_a_quiet_file_converts_as_a_loud_one(tmp_path):
    translator = Translator(AUDIO, lambda log_mel: np.minimum(1.5 * log_mel, 5), fine_structure.flat(AUDIO))
    wave = 0.1 * np.random.default_rng(0).standard_normal((16_000 * 40, 1)).astype(np.float32)
    for name, level in (("loud", 1.0), ("quiet", 0.03)):
        sound.write_wave(tmp_path / f"{name}.wav", level * wave, 16_000, subtype="FLOAT")
    planned = plan([tmp_path / "loud.wav", tmp_path / "quiet.wav"], tmp_path / "out")
    jobs.convert(planned, translator, tmp_path / "out")
    loud, quiet = (sound.read_wave(job.target).samples for job in planned)
    assert quiet == pytest.approx(0.03 * loud, abs=1e-5)


def test_folders_keep_their_tree_and_any_name_works(tmp_path):
    names = ["a.wav", "deep/er/ b c.flac", "গান/আমার সোনার বাংলা.wav", "deep/🎷.ogg"]
    for name in names:
        write(tmp_path / "music" / name, 0.1)
    (tmp_path / "music" / "cover.txt").write_text("not sound")
    planned = plan([tmp_path / "music"], tmp_path / "out")
    jobs.convert(planned, IDENTITY, tmp_path / "out")
    written = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert written == {f"music/{name[: -len(Path(name).suffix)]}.jazz{Path(name).suffix}" for name in names}


def test_a_format_replaces_every_suffix(tmp_path):
    source = write(tmp_path / "in.wav", 0.1)
    planned = plan([source], tmp_path / "out", format="flac")
    jobs.convert(planned, IDENTITY, tmp_path / "out")
    assert sound.read_wave(tmp_path / "out" / "in.jazz.flac").format == "FLAC"


def test_a_file_given_twice_is_converted_once(tmp_path):
    source = write(tmp_path / "music" / "in.wav")
    assert len(plan([source, tmp_path / "music", source], tmp_path / "out")) == 1


def test_what_exists_is_left_unless_it_is_to_be_replaced(tmp_path):
    source = write(tmp_path / "in.wav")
    jobs.convert(plan([source], tmp_path / "out"), IDENTITY, tmp_path / "out")
    target = tmp_path / "out" / "in.jazz.wav"
    target.write_bytes(b"a recording of the user's own")
    again = planning.plan([source], tmp_path / "out", "jazz")
    assert again.jobs == [] and again.existing == [target]
    jobs.convert(plan([source], tmp_path / "out", overwrite=True), IDENTITY, tmp_path / "out")
    assert len(sound.read_wave(target).samples) == 8_000


def test_what_a_command_made_is_no_input_of_the_next(tmp_path, monkeypatch):
    write(tmp_path / "music" / "in.wav")
    monkeypatch.chdir(tmp_path / "music")
    for _ in range(2):
        planned = plan(["."], "converted", overwrite=True)
        assert [job.source.name for job in planned] == ["in.wav"]
        jobs.convert(planned, IDENTITY, "converted")
    assert len(list((tmp_path / "music").rglob("*.wav"))) == 2


@pytest.mark.parametrize(
    "name", ["ক" * 72, "x" * 251, "🎷" * 62, "leading", " space", "-dash", "%s {} $HOME `x`", "new\nline"], ids=repr
)
def test_any_name_that_a_file_may_have_is_written(tmp_path, name):
    source = write(tmp_path / f"{name}.wav")
    jobs.convert(plan([source], tmp_path / "out"), IDENTITY, tmp_path / "out")
    (written,) = (path.name for path in (tmp_path / "out").iterdir())
    assert written.endswith(".jazz.wav") and len(os.fsencode(written)) <= 255
    assert name.startswith(written.removesuffix(".jazz.wav")) and len(written) >= min(len(name), 60)


def test_a_file_is_what_a_call_makes_of_its_samples(tmp_path):
    source = write(tmp_path / "in.wav", 20, 44_100, 2, "FLOAT")
    jobs.convert(plan([source], tmp_path / "out"), QUIETER_TREBLE, tmp_path / "out")
    called = QUIETER_TREBLE(sound.read_wave(source).samples, 44_100)
    assert sound.read_wave(tmp_path / "out" / "in.jazz.wav").samples == pytest.approx(called, abs=1e-5)


def test_progress_ends_where_its_total_says(tmp_path):
    shown = []

    class Bar:
        def __init__(self, **options):
            self.done, self.total = 0.0, options["total"]
            shown.append(self)

        def update(self, seconds):
            self.done += seconds

        def close(self):
            pass

    source = write(tmp_path / "in.wav", 3.3)
    for strength in (0, 1):
        jobs.convert(
            plan([source], tmp_path / "out", overwrite=True), IDENTITY, tmp_path / "out", strength, progress=Bar
        )
    assert all(bar.done == pytest.approx(bar.total) for bar in shown) and len(shown) == 2


def test_what_cannot_be_converted_is_refused_before_the_work(tmp_path):
    good = write(tmp_path / "good" / "in.wav")
    other = write(tmp_path / "other" / "in.wav")
    flac = write(tmp_path / "good" / "in.flac")
    bad = tmp_path / "bad.wav"
    bad.write_text("this is not sound")
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out"
    for inputs, folder, format, message in [
        ([], out, None, "nothing to convert"),
        ([tmp_path / "none.wav"], out, None, "none.wav does not exist"),
        ([tmp_path / "empty"], out, None, "empty holds no sound file"),
        ([good, other], out, None, "would both become"),
        ([good, flac], out, "ogg", "would both become"),
        ([good], out, "exe", "--format='exe' is not one of wav, flac"),
    ]:
        with pytest.raises(ValueError, match=message):
            plan(inputs, folder, format)
    assert not out.exists()


def test_an_output_is_never_an_input(tmp_path):
    source, made = write(tmp_path / "music" / "in.wav"), write(tmp_path / "music" / "in.jazz.wav")
    (tmp_path / "link").symlink_to(source.parent)
    for out in (source.parent, tmp_path / "link"):
        with pytest.raises(config.ConfigError, match="an input is never replaced"):
            planning.plan([source, made], out, "jazz")


def test_bad_files_are_named_and_the_good_ones_done(tmp_path):
    write(tmp_path / "music" / "a.wav", 0.1)
    (tmp_path / "music" / "b.wav").write_text("this is not sound")
    (tmp_path / "music" / "c.mp3").touch()
    bad = np.full(1_000, np.nan, np.float32)
    soundfile.write(tmp_path / "music" / "d.wav", bad, 16_000, "FLOAT")
    write(tmp_path / "music" / "e.flac", 0.1)
    (tmp_path / "music" / "f.mid").touch()
    planned = planning.plan([tmp_path / "music"], tmp_path / "out", "jazz")
    assert [Path(message.split(" ")[0]).name for message in planned.refused] == ["b.wav", "c.mp3"]
    assert [path.name for path in planned.foreign] == ["f.mid"]
    written = []
    failed = jobs.convert(planned.jobs, IDENTITY, tmp_path / "out", on_written=lambda job: written.append(job.target))
    assert len(failed) == 1 and "d.wav holds samples that are NaN" in failed[0]
    assert [path.name for path in written] == ["a.jazz.wav", "e.jazz.flac"]
    assert sorted((tmp_path / "out" / "music").iterdir()) == written


def test_files_converted_at_once_are_those_converted_one_by_one(tmp_path):
    for number in range(4):
        write(tmp_path / "music" / f"{number}.wav", 1 + number, channels=1 + number % 2)
    (tmp_path / "music" / "2.wav").write_bytes((tmp_path / "music" / "3.wav").read_bytes()[:-1_000])
    outputs = []
    for at_once in (1, 3):
        out = tmp_path / str(at_once)
        planned = planning.plan([tmp_path / "music"], out, "jazz")
        assert not jobs.convert(planned.jobs, QUIETER_TREBLE, out, at_once=at_once)
        outputs.append({path.name: path.read_bytes() for path in (out / "music").iterdir()})
    assert len(outputs[0]) == 4 and outputs[0] == outputs[1]


def test_conversions_at_once_leave_the_threads_of_products_as_they_were(tmp_path):
    """Were each to set and restore the limit, which is of the whole process, one would keep that of another."""
    sources = [write(tmp_path / f"{number}.wav", 1 + 3 * (number % 2)) for number in range(6)]
    before = threadpool_info()
    seen = []
    watching = replace(QUIETER_TREBLE, generator=lambda mel: seen.append(threadpool_info()) or mel)
    jobs.convert(plan(sources, tmp_path / "out"), watching, tmp_path / "out", at_once=3)
    blas = [[one["num_threads"] for one in found if one["user_api"] == "blas"] for found in seen]
    assert blas and all(set(counts) == {1} for counts in blas)
    assert threadpool_info() == before


def test_a_failure_that_ends_all_ends_the_files_under_way_and_leaves_nothing_of_them(tmp_path):
    sources = [write(tmp_path / f"{number}.wav", 1 if number == 0 else 60) for number in range(4)]
    written = []

    def refuse(job):
        written.append(job.target)
        raise OSError("the disk is full")

    out = tmp_path / "out"
    with pytest.raises(OSError, match="full"):
        jobs.convert(plan(sources, out), QUIETER_TREBLE, out, on_written=refuse, at_once=3)
    assert list(out.iterdir()) == written == [out / "0.jazz.wav"]


def test_the_command_lists_what_it_could_not_do(tmp_path, run_dir):
    write(tmp_path / "music" / "a.wav", 0.1)
    (tmp_path / "music" / "b.wav").write_text("this is not sound")
    (tmp_path / "music" / "c.mid").touch()
    arguments = [f"--run={run_dir}", "--to=jazz", tmp_path / "music", f"--out={tmp_path / 'out'}", "--bypass_model"]
    done = command(*arguments)
    assert done.returncode == 1
    assert "gst_jax: not converted:" in done.stderr and "b.wav is not sound" in done.stderr
    assert "a.jazz_bypass.wav" in done.stdout and "c.mid" in done.stdout
    again = command(*arguments)
    assert "left as they are, 1 in all" in again.stdout


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    source = write(tmp_path / "in.wav")
    out = write(tmp_path / "out.wav")
    with pytest.raises(OSError, match="out.wav"):
        jobs.convert(plan([source], out), IDENTITY, out)


def test_a_full_disk_leaves_nothing_half_written(tmp_path):
    source = write(tmp_path / "in.wav", 20)
    code = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
        "from gst_jax import config; from gst_jax.sound import fine_structure;"
        "from gst_jax.conversion import jobs, planning; from gst_jax.conversion.translator import Translator;"
        f"out = {str(tmp_path / 'out')!r}; planned = planning.plan([{str(source)!r}], out, 'jazz').jobs;"
        "audio = config.AudioConfig(n_mels=64);"
        "jobs.convert(planned, Translator(audio, lambda log_mel: log_mel, fine_structure.flat(audio)), out)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode != 0 and "OSError" in done.stderr
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_the_command_converts(tmp_path, run_dir):
    source = write(tmp_path / "in.wav", 1.0, 44_100, 2)
    done = command(f"--run={run_dir}", "--to=jazz", source, f"--out={tmp_path / 'out'}", "--bypass_model")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'out' / 'in.jazz_bypass.wav'}\n"
    assert len(sound.read_wave(tmp_path / "out" / "in.jazz_bypass.wav").samples) == 44_100


def test_several_strengths_get_a_file_each(tmp_path, run_dir):
    source = write(tmp_path / "in.wav")
    done = command(
        f"--run={run_dir}", "--to=folk", source, f"--out={tmp_path / 'out'}", "--bypass_model", "--strength=0,0.5"
    )
    assert done.returncode == 0, done.stderr
    names = ["in.folk_bypass-0.5.wav", "in.folk_bypass-0.wav"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    assert done.stdout.split() == [str(tmp_path / "out" / name) for name in reversed(names)]


def test_a_format_that_cannot_hold_the_sound_is_refused_before_the_work(tmp_path):
    source = write(tmp_path / "in.wav", channels=6)
    with pytest.raises(sound.AudioError, match="in.jazz.mp3 as MP3 .* with 6 channels"):
        raise sound.AudioError(planning.plan([source], tmp_path / "out", "jazz", "mp3").refused[0])


def test_a_file_that_ends_too_soon_is_converted_as_far_as_it_goes(tmp_path):
    source = write(tmp_path / "in.flac", 30)
    planned = plan([source], tmp_path / "out")
    source.write_bytes(source.read_bytes()[:100_000])
    with pytest.warns(sound.AudioWarning, match="in.flac is cut off or damaged: 26.4 s are missing"):
        assert not jobs.convert(planned, IDENTITY, tmp_path / "out")
    assert len(sound.read_wave(tmp_path / "out" / "in.jazz.flac").samples) == pytest.approx(3.6 * 16_000, rel=0.02)


def test_a_conversion_that_is_no_sound_is_never_written(tmp_path):
    source = write(tmp_path / "in.wav", 8)
    for wild in (np.nan, np.inf):
        broken = replace(IDENTITY, generator=lambda log_mel, wild=wild: log_mel + np.float32(wild))
        failed = jobs.convert(plan([source], tmp_path / "out"), broken, tmp_path / "out")
        assert len(failed) == 1 and "in.wav: the conversion came out as NaN or infinite levels" in failed[0]
    assert not list((tmp_path / "out").iterdir())


def test_what_a_killed_conversion_left_is_swept_by_the_next(tmp_path):
    source = write(tmp_path / "in.wav")
    code = (
        "import os, signal; from gst_jax.runs.atomic import replacing\n"
        f"with replacing({str(tmp_path / 'out' / 'x.wav')!r}) as path:\n"
        "    path.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    (tmp_path / "out").mkdir()
    subprocess.run([sys.executable, "-c", code])
    assert len(list((tmp_path / "out").glob(".gst_jax*"))) == 1
    jobs.convert(plan([source], tmp_path / "out"), IDENTITY, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["in.jazz.wav"]


@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGHUP", 129), ("SIGINT", 130)])
def test_a_conversion_that_is_ended_leaves_no_half_file(tmp_path, run_dir, hearing, name, status):
    source = write(tmp_path / "in.wav", 400)
    arguments = [f"--run={run_dir}", "--to=jazz", str(source), f"--out={tmp_path / 'out'}", "--bypass_model"]
    command_line = [sys.executable, "-m", "gst_jax.convert", *arguments]
    with subprocess.Popen([*hearing, *command_line], stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not (tmp_path / "out").exists():
            time.sleep(0.02)
        time.sleep(0.5)
        process.send_signal(getattr(signal, name))
        _, errors = process.communicate(timeout=60)
    assert process.returncode == status and "Traceback" not in errors
    assert (name == "SIGINT") == ("interrupted; the files listed are done, and the same command goes on" in errors)
    assert not list((tmp_path / "out").iterdir())


def test_hot_float_samples_keep_their_shape(tmp_path):
    """12 dB above full scale: kept in float, brought down by one gain in integers, and said; never crushed."""
    wave = np.random.default_rng(0).standard_normal((64_000, 1)).astype(np.float32)
    soundfile.write(tmp_path / "hot.wav", wave, 16_000, "FLOAT")
    jobs.convert(plan([tmp_path / "hot.wav"], tmp_path / "out"), IDENTITY, tmp_path / "out")
    kept = sound.read_wave(tmp_path / "out" / "hot.jazz.wav").samples
    assert kept == pytest.approx(wave, abs=0.1)
    with pytest.warns(sound.AudioWarning, match="hot.jazz.flac is 1..* dB quieter"):
        jobs.convert(plan([tmp_path / "hot.wav"], tmp_path / "out", "flac"), IDENTITY, tmp_path / "out")
    lowered = sound.read_wave(tmp_path / "out" / "hot.jazz.flac").samples
    ratio = (lowered * wave).sum() / (wave * wave).sum()
    assert lowered == pytest.approx(ratio * wave, abs=0.02)
    assert ratio == pytest.approx(10 ** (-1.5 / 20) / np.abs(wave).max(), rel=0.02)


def test_an_empty_option_is_refused(tmp_path, run_dir):
    source = write(tmp_path / "in.wav")
    for options in (["--out="], [f"--out={tmp_path / 'out'}", "--strength="]):
        done = command(f"--run={run_dir}", "--to=jazz", source, *options)
        assert done.returncode == 1 and "must not be empty" in done.stderr


def test_a_mistake_is_one_line_and_status_1(tmp_path, run_dir):
    source = write(tmp_path / "in.wav")
    out = f"--out={tmp_path / 'out'}"
    for arguments, message in [
        ([f"--run={run_dir}", "--to=rock", source, out], "--to='rock' is not a genre"),
        ([f"--run={tmp_path / 'none'}", "--to=jazz", source, out], "is not a run directory"),
        ([f"--run={run_dir}", "--to=jazz", out], "nothing to convert"),
        ([f"--run={run_dir}", "--to=jazz", source, out, "--route=magic"], "unknown route 'magic'"),
        ([f"--run={run_dir}", "--to=jazz", source, out, "--strength=0.5,2"], "strength must lie in 0 to 1, not 2"),
    ]:
        done = command(*arguments)
        assert done.returncode == 1
        assert done.stderr.startswith("gst_jax: ") and done.stderr.count("\n") == 1, done.stderr
        assert message in done.stderr
    assert not Path(tmp_path / "out").exists()


@pytest.mark.parametrize(("pair", "genre"), [("folk_rock", "rock"), ("folk_rock", "folk"), ("folk_jazz", "jazz")])
def test_the_generators_in_the_repository_convert_at_once(tmp_path, pair, genre):
    time = np.arange(3 * 22_050) / 22_050
    plucked = sum(np.sin(2 * np.pi * 220 * k * time) / k for k in range(1, 20)) * np.exp(-4 * (time % 0.5))
    before = np.stack([plucked, np.roll(plucked, 99)], axis=1).astype(np.float32) * 0.2
    source = tmp_path / "song.wav"
    sound.write_wave(source, before, 22_050, "FLOAT")
    done = command(f"--run=pretrained/{pair}", f"--to={genre}", source, f"--out={tmp_path / 'out'}")
    assert done.returncode == 0, done.stderr
    after = sound.read_wave(tmp_path / "out" / f"song.{genre}.wav").samples
    assert after.shape == before.shape
    assert np.abs(after - before).max() > 0.01 and 0.5 < after.std() / before.std() < 2


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "channels"), [(44_100, 2), (8_000, 8)])
def test_an_hour_converts_to_the_sample_in_little_memory(tmp_path, rate, channels):
    block = 0.1 * np.random.default_rng(0).standard_normal((10 * rate, channels)).astype(np.float32)
    blocks = (block if part < 360 else block[:7] for part in range(361))
    sound.write_blocks(tmp_path / "hour.flac", blocks, rate, channels, sound.choose_kind("x.flac", rate, channels))
    measured = (
        "from absl import app; from gst_jax import convert; from gst_jax.runs import provenance\n"
        "try: app.run(lambda arguments: convert.main(arguments[1:]))\n"
        "finally: print(provenance.peak_memory_mb())"
    )
    arguments = ["--run=pretrained/folk_rock", "--to=rock", str(tmp_path / "hour.flac"), f"--out={tmp_path / 'out'}"]
    done = subprocess.run([sys.executable, "-c", measured, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    header = sound.read_header(tmp_path / "out" / "hour.rock.flac")
    assert (header.frames, header.sample_rate, header.channels) == (3600 * rate + 7, rate, channels)
    assert float(done.stdout.splitlines()[-1]) < 1500
