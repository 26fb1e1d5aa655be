import json
import shutil
import signal
import threading
from dataclasses import replace

import jax
import numpy as np
import pytest

from gst_jax import config, data, sound
from gst_jax.learning import checkpoint, cyclegan, loop, stepping
from gst_jax.learning.loop import TrainingError
from gst_jax.learning.transport import gaussian_transport
from gst_jax.runs import seals
from gst_jax.runs.directory import RunDirectory

PAIR = ("harp", "organ")
# Two segments from each of two tracks a genre, two a batch: two steps an epoch.
SETTINGS = config.load(
    "configs/smoke.toml", ["training.epochs=6", "training.log_every=2", "training.checkpoint_every=5"]
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GST_JAX_CACHE", str(tmp_path / "cache"))


def train(run_dir, audio_dir, settings=SETTINGS, **options):
    audio_dirs = options.pop("audio_dirs", () if audio_dir is None else (audio_dir,))
    return loop.train(options.pop("pair", PAIR), settings, run_dir, audio_dirs=audio_dirs, **options)


def stop_at(step):
    def on_step(seen, total, metrics):
        if seen == step:
            signal.raise_signal(signal.SIGTERM)

    return on_step


def final_state(run_dir, settings=SETTINGS):
    with checkpoint.open_checkpoints(RunDirectory.open(run_dir)) as checkpoints:
        return checkpoint.restore(checkpoints, cyclegan.abstract_state(settings))


def log_of(run_dir):
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, audio_dir):
    """A finished run with its summary; not to be changed."""
    run_dir = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GST_JAX_CACHE", str(tmp_path_factory.mktemp("cache")))
        return run_dir, train(run_dir, audio_dir)


def test_every_batch_of_every_epoch_trains(uninterrupted):
    run_dir, summary = uninterrupted
    assert (summary.steps, summary.total, summary.updates, summary.skipped) == (12, 12, 3, 0)
    assert summary.finished and not summary.interrupted
    state = final_state(run_dir)
    assert int(state.step) == 12 and int(state.updates) == 3


def test_the_last_batches_count_because_epochs_are_rounded_up_to_whole_updates():
    assert loop.total_steps(75, config.load("configs/pictures.toml")) == 752
    assert loop.total_steps(4, SETTINGS) == 24


def test_a_run_begins_with_the_transport_of_its_own_audio(tmp_path, audio_dir):
    """Also one that takes what another pair learned."""
    small = [
        "model.channels=4",
        "model.residual_blocks=1",
        "model.discriminator_channels=4",
        "model.transport_taps=5",
    ]
    settings = config.load("configs/frames.toml", small)
    train(tmp_path / "first", audio_dir, settings, minutes=0)
    train(tmp_path / "second", audio_dir, settings, minutes=0, pair=PAIR[::-1], init_from=tmp_path / "first")
    genres = data.load_pair(PAIR, [audio_dir], settings)
    for run_dir, (source, target) in (("first", genres), ("second", genres[::-1])):
        first, second = (
            checkpoint.load_generator(RunDirectory.open(tmp_path / run_dir), direction) for direction in ("ab", "ba")
        )
        there, back = (gaussian_transport(*pair, 5) for pair in ((source, target), (target, source)))
        np.testing.assert_array_equal(first["transport"]["kernel"], there)
        np.testing.assert_array_equal(second["transport"]["kernel"], back)
    learned = [
        checkpoint.load_generator(RunDirectory.open(tmp_path / name), "ab")["FrameConv_0"]["kernel"]
        for name in ("first", "second")
    ]
    np.testing.assert_array_equal(*learned)


def test_the_log_has_one_line_an_interval(uninterrupted):
    entries = log_of(uninterrupted[0])
    assert [entry["step"] for entry in entries] == [2, 4, 6, 8, 10, 12]
    assert [entry["update"] for entry in entries] == [0, 1, 1, 2, 2, 3]
    assert entries[-1]["epoch"] == 6.0
    assert all(np.isfinite(value) for entry in entries for value in entry.values())
    assert all(entry["segments_per_second"] > 0 for entry in entries)


@pytest.mark.parametrize("step", [3, 8])  # in the middle of an accumulation; right after an update
def test_resume_is_bit_exact(tmp_path, audio_dir, uninterrupted, step):
    run_dir = tmp_path / "run"
    first = train(run_dir, audio_dir, on_step=stop_at(step))
    assert first.interrupted and first.steps == step
    seen = []
    second = train(run_dir, audio_dir, on_step=lambda seen_now, total, metrics: seen.append(seen_now))
    assert seen == list(range(step + 1, 13))
    assert second.finished
    expected = final_state(uninterrupted[0])
    for (path, x), y in zip(jax.tree.leaves_with_path(final_state(run_dir)), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(x, y, err_msg=jax.tree_util.keystr(path))
    assert [entry["step"] for entry in log_of(run_dir)] == [2, 4, 6, 8, 10, 12]


def test_a_run_goes_on_in_the_precision_in_which_it_began(tmp_path, audio_dir, monkeypatch):
    """Also on a machine where the other one is faster, by the same command."""
    small = ["model.channels=4", "model.residual_blocks=1", "model.discriminator_channels=4"]
    settings = config.load("configs/frames.toml", [*small, "training.precision=auto"])
    for name, is_fast in (("bfloat16", True), ("float32", False)):
        monkeypatch.setattr(cyclegan, "multiplies_bfloat16", lambda is_fast=is_fast: is_fast)
        train(tmp_path / name, audio_dir, settings, minutes=0)
        monkeypatch.setattr(cyclegan, "multiplies_bfloat16", lambda is_fast=is_fast: not is_fast)
        train(tmp_path / name, audio_dir, settings, minutes=0)
        assert RunDirectory.open(tmp_path / name).config.training.precision == name


def test_processes_train_in_float32_where_it_is_best_for_one_of_them(tmp_path, audio_dir, monkeypatch):
    settings = config.load("smoke", ["training.precision=auto"])
    monkeypatch.setattr(cyclegan, "multiplies_bfloat16", lambda: True)
    monkeypatch.setattr(loop.processes, "agree", lambda wishes: [True for _ in wishes])  # another one has them all
    train(tmp_path / "run", audio_dir, settings)
    assert RunDirectory.open(tmp_path / "run").config.training.precision == "float32"


def test_a_finished_run_stays_as_it_is_and_more_epochs_prolong_it(tmp_path, audio_dir):
    short = config.load("configs/smoke.toml", ["training.epochs=2"])
    assert train(tmp_path / "run", audio_dir, short).steps == 4
    again = train(tmp_path / "run", audio_dir, short)
    assert again.steps == 4 and again.finished
    longer = config.load("configs/smoke.toml", ["training.epochs=4"])
    assert train(tmp_path / "run", audio_dir, longer).steps == 8


def test_a_finished_run_is_not_touched(tmp_path, audio_dir):
    short = config.load("configs/smoke.toml", ["training.epochs=2"])
    train(tmp_path / "run", audio_dir, short)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    train(tmp_path / "run", audio_dir, short)
    assert before == {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}


def test_every_call_that_trained_stays_known(tmp_path, audio_dir):
    for _ in range(2):
        train(tmp_path / "run", audio_dir, on_step=stop_at(4))
        train(tmp_path / "run", audio_dir)
    assert len(RunDirectory.open(tmp_path / "run").history) == 2


def test_an_exported_run_is_not_trained_on(tmp_path, audio_dir, uninterrupted):
    checkpoint.export_generators(RunDirectory.open(uninterrupted[0]), tmp_path / "small")
    with pytest.raises(TrainingError, match="exported"):
        train(tmp_path / "small", audio_dir)
    with pytest.raises(checkpoint.CheckpointError, match="exported run"):
        train(tmp_path / "run", audio_dir, init_from=tmp_path / "small")
    assert not (tmp_path / "run").exists()


def test_a_resumed_run_needs_its_start_no_more(tmp_path, audio_dir, uninterrupted):
    start = tmp_path / "start"
    shutil.copytree(uninterrupted[0], start)
    options = {"init_from": start, "on_step": stop_at(3)}
    assert train(tmp_path / "run", audio_dir, **options).interrupted
    shutil.rmtree(start)
    assert train(tmp_path / "run", audio_dir, **options | {"on_step": lambda *_: None}).finished


@pytest.mark.parametrize(("shift", "accepted"), [(0.005, True), (0.02, False)])
def test_audio_that_another_machine_measures_a_little_differently_is_the_same(
    tmp_path, audio_dir, uninterrupted, shift, accepted
):
    run = RunDirectory.open(uninterrupted[0])
    genres = data.load_pair(run.pair, run.audio_dirs, run.config)
    other = tuple(
        replace(genre, statistics=replace(genre.statistics, mean=tuple(np.add(genre.statistics.mean, shift))))
        for genre in genres
    )
    if accepted:
        assert [genre.statistics for genre in data.as_trained(other, run)] == list(run.statistics.values())
    else:
        with pytest.raises(sound.AudioError, match="is not what"):
            data.as_trained(other, run)


def test_minutes_stop_the_run_with_everything_saved(tmp_path, audio_dir):
    summary = train(tmp_path / "run", audio_dir, minutes=0)
    assert summary.steps == 0 and not summary.finished and not summary.interrupted
    assert int(final_state(tmp_path / "run").step) == 0


def test_init_from_starts_with_what_another_run_learned(tmp_path, audio_dir, uninterrupted):
    train(tmp_path / "run", audio_dir, pair=("organ", "harp"), init_from=uninterrupted[0], minutes=0)
    started, learned = final_state(tmp_path / "run"), final_state(uninterrupted[0])
    assert int(started.step) == 0
    for x, y in zip(jax.tree.leaves(started.parameters), jax.tree.leaves(learned.parameters), strict=True):
        np.testing.assert_array_equal(x, y)
    wider = config.load("configs/smoke.toml", ["model.channels=8"])
    with pytest.raises(TrainingError, match="model.channels: 4 -> 8"):
        train(tmp_path / "other", audio_dir, wider, init_from=uninterrupted[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"settings": config.load("configs/smoke.toml", ["loss.cycle=3"])}, "loss.cycle: 2.0 -> 3.0"),
        ({"pair": ("organ", "harp")}, "pair: harp_organ -> organ_harp"),
    ],
)
def test_a_run_directory_of_other_settings_is_refused(audio_dir, uninterrupted, changes, message):
    with pytest.raises(TrainingError, match=message):
        train(uninterrupted[0], audio_dir, **changes)


def test_the_folder_of_the_audio_is_asked_for_where_it_is_left_out(uninterrupted, audio_dir):
    with pytest.raises(TrainingError, match=f"was trained on {audio_dir}; give --audio_dir={audio_dir} to go on"):
        train(uninterrupted[0], None)


@pytest.fixture
def split_dirs(tmp_path, audio_dir):
    """The toy genres in two folders, one of which holds a file of each genre, the other the rest."""
    for genre in PAIR:
        for number, path in enumerate(sorted((audio_dir / genre).iterdir())):
            target = tmp_path / ("b" if number else "a") / genre / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
    return [tmp_path / "a", tmp_path / "b"]


def test_a_run_on_several_folders_goes_on_whatever_their_order(tmp_path, split_dirs):
    train(tmp_path / "whole", None, audio_dirs=split_dirs)
    assert train(tmp_path / "run", None, audio_dirs=split_dirs, on_step=stop_at(3)).steps == 3
    assert train(tmp_path / "run", None, audio_dirs=split_dirs[::-1]).finished
    for x, y in zip(*(jax.tree.leaves(final_state(tmp_path / name)) for name in ("whole", "run")), strict=True):
        np.testing.assert_array_equal(x, y)
    assert RunDirectory.open(tmp_path / "run").audio_dirs == tuple(map(str, split_dirs))
    a, b = split_dirs
    options = f"trained on {a} and {b}; give --audio_dir={a} --audio_dir={b} to go on"
    for other in ([], [a], [a, data.CORPUS]):
        with pytest.raises(TrainingError, match=options):
            train(tmp_path / "run", None, audio_dirs=other)


def test_a_run_of_one_folder_that_was_recorded_before_there_could_be_more_goes_on(tmp_path, audio_dir):
    assert train(tmp_path / "run", audio_dir, on_step=stop_at(3)).steps == 3
    file = tmp_path / "run" / "config.json"
    tree = seals.unsealed(file.read_text())
    (tree["audio_dir"],) = tree.pop("audio_dirs")
    file.write_text(json.dumps(tree))
    assert RunDirectory.open(tmp_path / "run").audio_dirs == (str(audio_dir),)
    with pytest.raises(TrainingError, match=f"give --audio_dir={audio_dir} to go on"):
        train(tmp_path / "run", None)
    assert train(tmp_path / "run", audio_dir).finished


def test_changed_audio_is_refused(tmp_path, audio_dir):
    copy = tmp_path / "audio"
    for genre in PAIR:
        (copy / genre).mkdir(parents=True)
        for path in (audio_dir / genre).iterdir():
            (copy / genre / path.name).write_bytes(path.read_bytes())
    train(tmp_path / "run", copy, minutes=0)
    sorted((copy / "harp").iterdir())[0].unlink()
    with pytest.raises(sound.AudioError, match="the harp is not what"):
        train(tmp_path / "run", copy)


def test_two_processes_cannot_train_in_one_directory(tmp_path, audio_dir):
    outcomes = []

    def on_step(step, total, metrics):
        if step == 1:
            try:
                train(tmp_path / "run", audio_dir)
            except TrainingError as error:
                outcomes.append(str(error))

    train(tmp_path / "run", audio_dir, on_step=on_step)
    assert len(outcomes) == 1 and "another process is training" in outcomes[0]


def test_it_runs_outside_the_main_thread(tmp_path, audio_dir):
    summaries = []
    thread = threading.Thread(target=lambda: summaries.append(train(tmp_path / "run", audio_dir, minutes=0)))
    thread.start()
    thread.join()
    assert summaries[0].steps == 0


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, audio_dir):
    wild = config.load("configs/smoke.toml", ["training.learning_rate=1e30", "training.epochs=20"])
    with pytest.raises(TrainingError, match="is not finite at step"):
        train(tmp_path / "run", audio_dir, wild)


def test_a_missing_genre_is_an_error_before_anything_is_written(tmp_path, audio_dir):
    with pytest.raises(ValueError, match="no folder 'lute'"):
        train(tmp_path / "run", audio_dir, pair=("harp", "lute"))
    with pytest.raises(ValueError, match="built-in corpus has no genre 'lute'"):
        train(tmp_path / "run", None, pair=("folk", "lute"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("devices", "batch_size", "used"), [(4, 2, 2), (3, 2, 1), (8, 12, 4)])
def test_a_batch_is_divided_among_as_many_devices_as_divide_it(monkeypatch, devices, batch_size, used):
    several = jax.devices() * devices
    monkeypatch.setattr(jax, "devices", lambda: several)
    monkeypatch.setattr(stepping, "Mesh", lambda devices, axes: len(devices))
    monkeypatch.setattr(stepping, "NamedSharding", lambda mesh, spec: mesh)
    with pytest.warns(UserWarning, match=f"training on {used} of {devices} devices.*batch_size={devices}"):
        placement = stepping.place(config.load(overrides=[f"training.batch_size={batch_size}"]))
    assert placement.whole == placement.divided == used


def test_a_run_begun_before_there_was_a_setting_goes_on_as_it_began(tmp_path, audio_dir):
    """By the same command, which does not name the setting; one that does is refused."""
    before = config.load(
        "configs/smoke.toml",
        ["training.epochs=4", "training.checkpoint_every=5", "model.song_share=0", "data.disturbance=0"],
    )
    train(tmp_path / "whole", audio_dir, before)
    train(tmp_path / "old", audio_dir, before, on_step=stop_at(3))
    file = tmp_path / "old" / "config.json"
    tree = seals.unsealed(file.read_text())
    del tree["config"]["model"]["song_share"], tree["config"]["data"]["disturbance"]
    file.write_text(json.dumps(tree))
    today = ["training.epochs=4", "training.checkpoint_every=5"]
    with pytest.raises(TrainingError, match="model.song_share: 0.0 -> 0.3"):
        train(tmp_path / "old", audio_dir, config.load("configs/smoke.toml", [*today, "model.song_share=0.3"]))
    assert train(tmp_path / "old", audio_dir, config.load("configs/smoke.toml", today)).finished
    whole, old = (final_state(tmp_path / name, before) for name in ("whole", "old"))
    jax.tree.map(np.testing.assert_array_equal, whole, old)
    assert RunDirectory.open(tmp_path / "old").config.model.song_share == 0
