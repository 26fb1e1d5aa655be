"""The page of a run: what is on it, that it needs nothing else, that it grows while the run trains."""

import json
import re
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from gst_jax import config, data, sound
from gst_jax.evaluation import held_out
from gst_jax.learning import loop
from gst_jax.presentation import ages, live, report, sections
from gst_jax.runs.directory import RunDirectory


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory, audio_dir):
    run_dir = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GST_JAX_CACHE", str(tmp_path_factory.mktemp("cache")))
        settings = config.load("configs/smoke.toml", ["training.epochs=2"])
        loop.train(("harp", "organ"), settings, run_dir, audio_dirs=[audio_dir])
        report.write(run_dir)
    return run_dir


def test_the_run_directory_is_complete(run_dir):
    names = {str(path.relative_to(run_dir)) for path in run_dir.rglob("*") if "checkpoints/" not in str(path)}
    assert names == {
        ".lock",
        "config.json",
        "fine_structure.npz",
        "metrics.jsonl",
        "summary.json",
        "checkpoints",
        "audio_samples",
        "audio_samples/real_harp.wav",
        "audio_samples/fake_organ_from_harp.wav",
        "audio_samples/real_organ.wav",
        "audio_samples/fake_harp_from_organ.wav",
        "audio_samples/players.json",
        "visualizations",
        "visualizations/training_curves.png",
        "visualizations/spectrograms.png",
        "report.html",
    }


def test_samples_are_sound_and_conversions_differ_from_their_sources(run_dir):
    for source, target in (("harp", "organ"), ("organ", "harp")):
        real = sound.read_wave(run_dir / "audio_samples" / f"real_{source}.wav").samples
        fake = sound.read_wave(run_dir / "audio_samples" / f"fake_{target}_from_{source}.wav").samples
        assert fake.shape == real.shape
        assert np.abs(fake).max() < 1.0 and np.sqrt(np.mean(fake**2)) > 0.01
        assert np.sqrt(np.mean((fake - real) ** 2)) > 0.05 * np.sqrt(np.mean(real**2))


def players_of(page: Path) -> list[dict]:
    """Return what the players of a page are given."""
    text = page.read_text(encoding="utf-8")
    return [json.loads(part) for part in re.findall(r'<script type="application/json">(.+?)</script>', text)]


def test_the_page_needs_nothing_but_itself(run_dir):
    page = (run_dir / "report.html").read_text(encoding="utf-8")
    assert all(link == "data:," for link in re.findall(r'(?:src|href)="([^"]*)', page))
    versions = [version for player in players_of(run_dir / "report.html") for version in player["versions"]]
    assert len(versions) == 2 * 6
    assert all(version[name].startswith("data:") for version in versions for name in ("src", "picture"))
    assert not re.findall(r"https?://(?!www.w3.org)", page)


def test_both_directions_are_heard_beside_what_learned_nothing(run_dir):
    for player, target in zip(players_of(run_dir / "report.html"), ("organ", "harp"), strict=True):
        found = [(version["name"], version.get("strength")) for version in player["versions"]]
        assert found == [
            ("Original", None),
            ("Converted", 0.5),
            ("Converted", 0.75),
            ("Converted", 1.0),
            ("Equaliser", None),
            ("Untrained", None),
        ]
        assert player["target"] == target and player["versions"][3]["chosen"]


def test_the_page_is_small_and_tells_no_folder_of_its_maker(run_dir, audio_dir):
    page = (run_dir / "report.html").read_text(encoding="utf-8")
    assert len(page) < 3_000_000
    assert str(audio_dir.parent) not in page and str(run_dir.parent) not in page
    assert str(Path.home()) not in page


def test_names_of_genres_cannot_break_the_page(tmp_path, rng, monkeypatch):
    monkeypatch.setenv("GST_JAX_CACHE", str(tmp_path / "cache"))
    names = ("<i>folk", "rock & roll")
    for name in names:
        (tmp_path / "music" / name).mkdir(parents=True)
        for number in range(2):
            wave = 0.1 * rng.standard_normal(4 * 16_000).astype(np.float32)
            sound.write_wave(tmp_path / "music" / name / f"{number}.wav", wave, 16_000)
    settings = config.load("configs/smoke.toml")
    loop.train(names, settings, tmp_path / "run", audio_dirs=[tmp_path / "music"], minutes=0)
    page = report.write(tmp_path / "run")
    assert players_of(page)[0]["title"] == "<i>folk to rock & roll, song 1"  # the script shows it as text
    written = re.sub(r"<script.+?</script>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert "&lt;i&gt;folk" in written and "<i>" not in written and "& roll" not in written


def test_samples_come_from_a_track_held_out_of_training(run_dir, audio_dir):
    _, held_out = data.split_tracks(sound.find_audio(audio_dir / "harp"), 0.1)
    real = sound.read_wave(run_dir / "audio_samples" / "real_harp.wav").samples
    np.testing.assert_allclose(real, sound.read_wave(held_out[0]).samples, atol=1e-4)


def test_samples_come_from_what_the_training_held_out_and_never_from_a_jingle(tmp_path, rng, monkeypatch):
    """Files too short to train on count for nothing, also in the division into training and held-out ones."""
    monkeypatch.setenv("GST_JAX_CACHE", str(tmp_path / "cache"))
    for genre in ("harp", "organ"):
        (tmp_path / genre).mkdir()
        for number in range(20):
            seconds = 0.5 if number % 2 else 4.3
            wave = 0.1 * rng.standard_normal(int(16_000 * seconds)).astype(np.float32)
            sound.write_wave(tmp_path / genre / f"track {number:02}.wav", wave, 16_000)
    settings = config.load("configs/smoke.toml")
    loop.train(("harp", "organ"), settings, tmp_path / "run", audio_dirs=[tmp_path], minutes=0)
    report.write(tmp_path / "run")
    for genre in data.load_run(RunDirectory.open(tmp_path / "run")):
        real = sound.read_wave(tmp_path / "run" / "audio_samples" / f"real_{genre.name}.wav").samples
        trained = [sound.read_wave(track.path).samples for track in genre.tracks]
        held_out = [sound.read_wave(path).samples for path in genre.held_out]
        assert len(held_out) == 1 and np.allclose(real, held_out[0], atol=1e-4)
        assert not any(np.allclose(real, one, atol=1e-4) for one in trained)


def test_a_run_stopped_before_its_first_log_line_has_a_page_too(tmp_path, audio_dir, monkeypatch):
    monkeypatch.setenv("GST_JAX_CACHE", str(tmp_path / "cache"))
    settings = config.load("configs/smoke.toml")
    loop.train(("harp", "organ"), settings, tmp_path / "run", audio_dirs=[audio_dir], minutes=0)
    assert len(players_of(report.write(tmp_path / "run"))) == 2


@pytest.fixture(scope="module")
def shown_run(tmp_path_factory, audio_dir):
    """A run that was shown while it trained, without a limit on the time that takes; nothing else made its page."""
    run_dir = tmp_path_factory.mktemp("shown")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GST_JAX_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(live, "_SHARE", 1e9)
        settings = config.load("configs/smoke.toml", ["training.epochs=6", "training.measure_every=4"])
        watcher = live.Live(run_dir)
        options = {"listen": held_out.prepare, "on_measure": watcher.on_measure}
        loop.train(("harp", "organ"), settings, run_dir, audio_dirs=[audio_dir], **options)
    return run_dir


def test_while_it_trains_one_hears_it_learn(shown_run):
    """The page is there without a command, with the same seconds at each age, and the best of them is named."""
    run = RunDirectory.open(shown_run)
    measured = [entry for entry in sections.lines(run.measures) if entry["step"] >= 0]
    (player,) = players_of(run.report)
    assert [version["step"] for version in player["versions"]] == [-1] + [entry["step"] for entry in measured]
    assert len({version["seconds"] for version in player["versions"]}) == 1
    assert len({version["src"] for version in player["versions"]}) == len(player["versions"])
    best = max(measured[1:], key=lambda entry: entry["score"])
    named = [version["step"] for version in player["versions"] if version["note"].startswith("the best")]
    assert named == [best["step"]]


def test_the_page_says_what_was_measured_beside_equaliser_and_start(shown_run):
    page = (shown_run / "report.html").read_text(encoding="utf-8")
    text = re.search(r"<p>(At its best, .+?)</p>", page, re.DOTALL)[1]
    measures = sections.lines(shown_run / "measures.jsonl")
    for entry in (measures[0], measures[1], max(measures[2:], key=lambda entry: entry["score"])):
        assert f"{entry['score']:.2f}" in text
    for line in ("flat", "start"):
        assert len(re.findall(f'<line class="{line}" x1="40"', page)) == 3 + (line == "flat")
    assert page.count('<circle class="best"') == 3


def test_showing_stops_where_it_would_cost_more_than_its_share(shown_run, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(ages, "song", lambda run: np.zeros(1))
    monkeypatch.setattr(ages, "add", lambda *_: calls.append(1))
    monkeypatch.setattr(report, "refresh", lambda run: None)
    clock = iter([0.0, 2.0, 300.0, 700.0, 702.0, 1000.0])  # begin and end of a call, or the begin of one that waits
    monkeypatch.setattr(live.time, "monotonic", lambda: next(clock))
    watcher = live.Live(tmp_path)
    counts = []
    for step in (0, 1, 2, 3):
        watcher.on_measure(RunDirectory.open(shown_run), {"ab": None}, step, 0.0)
        counts.append(len(calls))
    # 2 s are due after 667 s, 4 s after 1333 s.
    assert counts == [1, 1, 2, 2]


@pytest.mark.parametrize("count", [8, 11, 50, 100, 151])
def test_ages_are_few_and_spread_with_the_first_the_last_and_the_best(count):
    steps: list[int] = []
    for number in range(count):
        steps = ages.spread([*steps, 400 * number])
    assert len(steps) == 7 and (steps[0], steps[-1]) == (0, 400 * (count - 1))
    gaps = np.diff(steps)
    assert gaps[:-1].max() <= 2.5 * gaps[:-1].min()  # the newest is as near to the one before as it happens to be
    assert gaps[-1] <= 2 * gaps[:-1].max()
    for best in range(400, 400 * count, 400):
        assert best in ages.spread(sorted({*steps, best}), best)


def test_a_report_while_another_process_writes_a_line_is_of_the_whole_lines(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 1}\n{"step": 2}\n{"st')
    assert sections.lines(tmp_path / "log.jsonl") == [{"step": 1}, {"step": 2}]
    assert sections.lines(tmp_path / "none.jsonl") == []


def test_a_full_report_survives_what_is_shown_after_it(shown_run, monkeypatch, tmp_path_factory):
    """`gst_jax report` on a run that trains: its songs stay on the page when the training refreshes it."""
    monkeypatch.setenv("GST_JAX_CACHE", str(tmp_path_factory.mktemp("cache")))
    report.write(shown_run)
    assert len(players_of(shown_run / "report.html")) == 3
    report.refresh(RunDirectory.open(shown_run))
    assert len(players_of(shown_run / "report.html")) == 3


def events(folder: Path) -> list:
    """Return what was written for TensorBoard, oldest file first: records of length, checksum, event, checksum."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            found.append(Event.FromString(content[12 : 12 + length]))
            content = content[16 + length :]
    return found


def test_tensorboard_gets_losses_scores_sound_and_spectrogram_and_a_resumed_run_hides_what_it_repeats(
    tmp_path, audio_dir, monkeypatch
):
    pytest.importorskip("tensorboardX", reason="pip install 'gst_jax[tensorboard]'")
    monkeypatch.setenv("GST_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(live, "_SHARE", 1e9)
    overrides = ["training.measure_every=4", "training.log_every=2", "training.patience=0"]
    for epochs in (2, 4):
        watcher = live.Live(tmp_path / "run", tensorboard=True)
        settings = config.load("configs/smoke.toml", [*overrides, f"training.epochs={epochs}"])
        loop.train(
            ("harp", "organ"),
            settings,
            tmp_path / "run",
            audio_dirs=[audio_dir],
            listen=held_out.prepare,
            on_measure=watcher.on_measure,
            on_step=lambda step, total, metrics, watcher=watcher: watcher.on_log(step, metrics),
        )
        watcher.close()
    written = events(RunDirectory.board(tmp_path / "run"))
    by_tag: dict[str, list[int]] = {}
    for event in written:
        for value in event.summary.value:
            by_tag.setdefault(value.tag, []).append(event.step)
    assert by_tag["generator/adversarial"] == [2, 4, 6, 8]
    assert by_tag["held_out/score"] == by_tag["harp_to_organ"][::2] == [0, 4, 8]  # sound and picture share a name
    starts = [event.step for event in written if event.HasField("session_log")]
    assert starts == [0, 6]  # of two files; what came at step 6 or later before the second would be hidden


def test_tensorboard_that_is_not_installed_is_said_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(config.ConfigError, match=r"pip install 'gst_jax\[tensorboard\]'"):
        live.Live(tmp_path, tensorboard=True)
    live.Live(tmp_path)


@pytest.mark.slow
def test_the_page_of_a_built_in_pair_holds_the_truth_and_the_band_and_stays_small(tmp_path, monkeypatch):
    monkeypatch.setenv("GST_JAX_CACHE", str(tmp_path / "cache"))
    players = players_of(report.write("folk_jazz", out=tmp_path / "page.html"))
    assert (tmp_path / "page.html").stat().st_size < 3_000_000 - 50_000 * 8  # room for curves and a song at its ages
    assert len(players) == 4
    for player, target in zip(players, ("jazz", "jazz", "folk", "folk"), strict=True):
        assert player["versions"][-1]["name"] == f"True {target}"
        assert any(version.get("band") for version in player["versions"])
