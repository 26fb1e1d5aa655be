import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from gst_jax import config
from gst_jax.learning import checkpoint, cyclegan
from gst_jax.learning.checkpoint import CheckpointError
from gst_jax.runs.directory import RunDirectory, Statistics
from gst_jax.sound import fine_structure

SMOKE = config.load("configs/smoke.toml")
LEVEL = Statistics(mean=(0.0,) * 64, deviation=(1.0,) * 64, highest=(99.0,) * 64)


def write_run(run_dir, settings):
    run = RunDirectory(
        pair=("harp", "organ"),
        config=settings,
        statistics={"harp": LEVEL, "organ": LEVEL},
        path=Path(run_dir),
    )
    run.write_fine_structures([fine_structure.flat(settings.audio)] * 2)
    run.write()


def state_of(step, value):
    """A state whose every number is told apart by its step."""
    state = cyclegan.init_state(SMOKE)
    state = jax.tree.map(lambda x: (x + value).astype(x.dtype), state)
    return state.replace(step=jax.numpy.int32(step))


def largest_file(folder):
    return max((path for path in Path(folder).rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


@pytest.fixture
def run_dir(tmp_path):
    """A run with checkpoints of steps 10, 20, 30."""
    write_run(tmp_path, SMOKE)
    with checkpoint.open_checkpoints(RunDirectory.open(tmp_path)) as checkpoints:
        for step in (10, 20, 30):
            checkpoint.save(checkpoints, state_of(step, step))
    return tmp_path


def restore(run_dir, settings=SMOKE):
    run = RunDirectory(path=run_dir, pair=("harp", "organ"), config=settings, statistics={})
    with checkpoint.open_checkpoints(run) as checkpoints:
        return checkpoint.restore(checkpoints, cyclegan.abstract_state(settings))


def test_what_is_saved_comes_back_bit_for_bit(run_dir):
    for x, y in zip(jax.tree.leaves(restore(run_dir)), jax.tree.leaves(state_of(30, 30)), strict=True):
        np.testing.assert_array_equal(x, y)
        assert x.dtype == y.dtype


def test_nothing_saved_gives_nothing(tmp_path):
    assert restore(tmp_path) is None


def test_only_the_newest_are_kept(run_dir):
    with checkpoint.open_checkpoints(RunDirectory.open(run_dir)) as checkpoints:
        checkpoint.save(checkpoints, state_of(40, 40))
    assert sorted(path.name for path in (run_dir / "checkpoints").iterdir()) == ["20", "30", "40"]


def test_what_a_killed_process_left_half_written_is_gone_before_anything_else(run_dir):
    half = run_dir / "checkpoints" / "40.orbax-checkpoint-tmp"
    shutil.copytree(run_dir / "checkpoints" / "30", half)
    with checkpoint.open_checkpoints(RunDirectory.open(run_dir)) as checkpoints:
        assert not half.exists()  # not some time later, by a thread that outlives a training which is refused
        assert checkpoints.latest.step == 30


def test_saving_a_step_twice_is_harmless(run_dir):
    with checkpoint.open_checkpoints(RunDirectory.open(run_dir)) as checkpoints:
        checkpoint.save(checkpoints, state_of(30, 99))
    assert int(restore(run_dir).step) == 30


@pytest.mark.parametrize("harm", ["flip one bit", "cut short", "delete", "no seal"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(run_dir, harm):
    file = largest_file(run_dir / "checkpoints" / "30")
    content = file.read_bytes()
    if harm == "flip one bit":
        middle = len(content) // 2
        file.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    elif harm == "cut short":
        file.write_bytes(content[: len(content) // 2])
    elif harm == "delete":
        file.unlink()
    else:
        (run_dir / "checkpoints" / "30" / "crc32.json").unlink()
    with pytest.warns(UserWarning, match="30 is damaged"):
        generator = checkpoint.load_generator(RunDirectory.open(run_dir), "ab")
    expected = state_of(20, 20)
    for x, y in zip(jax.tree.leaves(generator), jax.tree.leaves(expected.ema["ab"]), strict=True):
        np.testing.assert_array_equal(x, y)
    with pytest.warns(UserWarning, match="step 30 is damaged"):
        assert int(restore(run_dir).step) == 20
    assert (run_dir / "damaged" / "30").is_dir()


def test_damage_twice_at_one_step_is_put_aside_twice(run_dir):
    for _ in range(3):
        with checkpoint.open_checkpoints(RunDirectory.open(run_dir)) as checkpoints:
            checkpoint.save(checkpoints, state_of(30, 30))
        (run_dir / "checkpoints" / "30" / "crc32.json").unlink()
        with pytest.warns(UserWarning, match="step 30 is damaged; it was moved to"):
            assert int(restore(run_dir).step) == 20
    assert sorted(path.name for path in (run_dir / "damaged").iterdir()) == ["30", "30-2", "30-3"]


def test_there_is_a_whole_checkpoint_at_every_moment(tmp_path, monkeypatch):
    """Orbax deletes what is too old before the seal of the new one is written: keep more than one."""
    settings = config.load("configs/smoke.toml", ["training.keep_checkpoints=1"])
    write_run(tmp_path, settings)
    whole = []
    seal = checkpoint.write_text

    def killed_before_the_seal(target, text):
        whole.append(checkpoint.newest(RunDirectory.open(tmp_path)))
        seal(target, text)

    with checkpoint.open_checkpoints(RunDirectory.open(tmp_path)) as checkpoints:
        checkpoint.save(checkpoints, state_of(10, 10))
        monkeypatch.setattr(checkpoint, "write_text", killed_before_the_seal)
        with pytest.warns(UserWarning, match="damaged; trying the one before"):
            checkpoint.save(checkpoints, state_of(20, 20))
            checkpoint.save(checkpoints, state_of(30, 30))
    assert whole == [10, 20]


def test_a_seal_written_on_windows_is_whole(run_dir):
    seal = run_dir / "checkpoints" / "30" / "crc32.json"
    sums = json.loads(seal.read_text())
    assert any("/" in path for path in sums) and not any("\\" in path for path in sums)
    seal.write_text(json.dumps({path.replace("/", "\\"): value for path, value in sums.items()}))
    assert int(restore(run_dir).step) == 30


def test_an_exported_run_gives_no_start_to_another(run_dir, tmp_path):
    checkpoint.export_generators(RunDirectory.open(run_dir), tmp_path / "small")
    with pytest.raises(CheckpointError, match="exported run.*discriminators were left out.*exported from"):
        checkpoint.load_parameters(RunDirectory.open(tmp_path / "small"))


def test_all_damaged_is_an_error(run_dir):
    for step in (10, 20, 30):
        (run_dir / "checkpoints" / str(step) / "crc32.json").unlink()
    with pytest.warns(UserWarning), pytest.raises(CheckpointError, match="no whole checkpoint"):
        checkpoint.load_generator(RunDirectory.open(run_dir), "ab")


@pytest.mark.parametrize("override", ["model.channels=8", "model.residual_blocks=2"])
def test_a_checkpoint_of_another_model_is_refused(run_dir, override):
    other = config.load("configs/smoke.toml", [override])
    with pytest.raises(CheckpointError, match="another model"):
        restore(run_dir, other)
    write_run(run_dir, other)
    with pytest.raises(CheckpointError, match="another model"):
        checkpoint.load_generator(RunDirectory.open(run_dir), "ab")


def test_generators_and_parameters_load_apart(run_dir):
    expected = state_of(30, 30)
    for direction in ("ab", "ba"):
        loaded = checkpoint.load_generator(RunDirectory.open(run_dir), direction)
        for x, y in zip(jax.tree.leaves(loaded), jax.tree.leaves(expected.ema[direction]), strict=True):
            np.testing.assert_array_equal(x, y)
    loaded = checkpoint.load_parameters(RunDirectory.open(run_dir))
    assert jax.tree.structure(loaded) == jax.tree.structure(expected.parameters)
    for x, y in zip(jax.tree.leaves(loaded), jax.tree.leaves(expected.parameters), strict=True):
        np.testing.assert_array_equal(x, y)


def test_the_seal_covers_every_file(run_dir):
    folder = run_dir / "checkpoints" / "30"
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert set(json.loads((folder / "crc32.json").read_text())) == files - {"crc32.json"}


def test_a_full_disk_is_noticed_before_anything_is_written(run_dir, monkeypatch):
    before = sorted(run_dir.rglob("*"))
    full = SimpleNamespace(free=1000)
    with checkpoint.open_checkpoints(RunDirectory.open(run_dir)) as checkpoints:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
        with pytest.raises(CheckpointError, match="has 0.0 MB free"):
            checkpoint.save(checkpoints, state_of(40, 40))
    assert sorted(run_dir.rglob("*")) == before


def test_exported_generators_convert_as_the_run_does_to_half_precision(run_dir, tmp_path):
    checkpoint.export_generators(RunDirectory.open(run_dir), tmp_path / "small")
    for direction in ("ab", "ba"):
        whole, small = (
            checkpoint.load_generator(RunDirectory.open(folder), direction)
            for folder in (run_dir, tmp_path / "small")
        )
        for (path, x), y in zip(jax.tree.leaves_with_path(whole), jax.tree.leaves(small), strict=True):
            assert y.dtype == np.float32
            np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-6, err_msg=jax.tree_util.keystr(path))
    for kept, exported in zip(
        RunDirectory.open(run_dir).read_fine_structures(),
        RunDirectory.open(tmp_path / "small").read_fine_structures(),
        strict=True,
    ):
        np.testing.assert_array_equal(kept, exported)
    size = sum(path.stat().st_size for path in (tmp_path / "small").rglob("*"))
    assert size < sum(path.stat().st_size for path in run_dir.rglob("*") if path.is_file()) / 5
    with pytest.raises(checkpoint.CheckpointError, match="exists"):
        checkpoint.export_generators(RunDirectory.open(run_dir), tmp_path / "small")
    write_run(tmp_path / "small", config.load("configs/smoke.toml", ["model.channels=8"]))
    with pytest.raises(checkpoint.CheckpointError, match="another model"):
        checkpoint.load_generator(RunDirectory.open(tmp_path / "small"), "ab")


def test_a_digest_tells_weights_apart():
    first, same, other = (cyclegan.init_parameters(SMOKE)["generator"] for _ in range(3))
    other["ab"] = jax.tree.map(lambda leaf: np.nextafter(leaf, np.float32(1)), other["ab"])
    assert checkpoint.digest(first) == checkpoint.digest(same)
    assert checkpoint.digest(first) != checkpoint.digest(other)
    assert checkpoint.digest(first) != checkpoint.digest({"ab": first["ba"], "ba": first["ab"]})
