import json
import os
import subprocess
import sys

import jax
import pytest

from gst_jax import config
from gst_jax.learning import cyclegan
from gst_jax.runs import startup
from gst_jax.speed import benchmark

FEW = ["--set=audio.segment_seconds=0.6", "--config=configs/smoke.toml"]


def run(*arguments, environment=None):
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=os.environ | (environment or {})
    )


def test_arithmetic_of_one_layer_is_counted_by_hand():
    assert benchmark.layer_gflop(("same size", (10, 6, 5), (3, 3, 5, 7), 1)) == pytest.approx(2e-9 * 60 * 9 * 35)
    assert benchmark.layer_gflop(("halved", (10, 6, 5), (4, 4, 5, 7), 2)) == pytest.approx(2e-9 * 15 * 16 * 35)
    assert benchmark.layer_gflop(("one less", (10, 6, 5), (4, 4, 5, 7), 1)) == pytest.approx(2e-9 * 45 * 16 * 35)
    assert benchmark.layer_gflop(("doubled", (10, 6, 5), (3, 3, 5, 7), 0)) == pytest.approx(2e-9 * 240 * 9 * 35)
    assert benchmark.layer_gflop(("frames", (11, 5), (4, 5, 7), 2)) == pytest.approx(2e-9 * 6 * 4 * 35)


@pytest.mark.parametrize("name", ["pictures", "frames"])
def test_layers_are_those_of_the_networks(name):
    """Every kernel of the parameters is measured, and none that is not there."""
    settings = config.load(f"configs/{name}.toml")
    state = jax.eval_shape(lambda: cyclegan.init_state(settings))
    kernels = {leaf.shape for leaf in jax.tree.leaves(state.parameters) if leaf.shape[0] > 1}
    assert {layer[2] for layer in benchmark.layers(settings)} == kernels


def test_a_second_genre_segment_doubles_the_arithmetic():
    one, two = (
        benchmark.step_gflop(config.load("configs/pictures.toml", [f"training.batch_size={size}"])) for size in (1, 2)
    )
    assert two == pytest.approx(2 * one)
    assert 70 < two < 85  # 12 segments through a generator of 2.0 GFLOP, forward with two gradients


@pytest.mark.slow
def test_quick_bench_writes_every_number(tmp_path):
    out = tmp_path / "bench.json"
    done = run("-m", "gst_jax.bench", "--quick", f"--out={out}", *FEW)
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    for section, key in (
        ("train_step", "median_ms"),
        ("train_step", "compile_s"),
        ("machine", "sgemm_gflops"),
        ("convert", "times_real_time"),
        ("memory", "peak_mb"),
        ("start", "first_step_cold_s"),
    ):
        assert result[section][key] > 0
    assert result["provenance"]["command"].startswith("python -m gst_jax.bench --quick")
    assert len(result["layers"]) == 12 and "train step" in done.stdout


def test_bench_names_a_missing_folder_before_it_measures(tmp_path):
    done = run("-m", "gst_jax.bench", f"--out={tmp_path}/none/bench.json")
    assert done.returncode == 1
    assert done.stderr.startswith("gst_jax: --out=") and len(done.stderr.splitlines()) == 1


SETTINGS = """
import os
from gst_jax.runs import startup
startup.prepare(1)
cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
print(os.environ.get("GLIBC_TUNABLES"), os.environ["JAX_COMPILATION_CACHE_DIR"], cores)
"""


def test_start_keeps_what_the_user_chose():
    chosen = {"GLIBC_TUNABLES": "glibc.malloc.check=0", "JAX_COMPILATION_CACHE_DIR": "mine"}
    assert run("-c", SETTINGS, environment=chosen).stdout.split() == ["glibc.malloc.check=0", "mine", "1"]


@pytest.mark.parametrize(
    ("platform", "chosen", "flags"),
    [
        ("cpu", "", ""),
        ("cuda", "", "--xla_gpu_deterministic_ops=true"),
        ("cuda", "--xla_dump_to=a", "--xla_dump_to=a --xla_gpu_deterministic_ops=true"),
        ("cuda", "--xla_gpu_deterministic_ops=false", "--xla_gpu_deterministic_ops=false"),
    ],
)
def test_a_gpu_is_asked_for_the_same_bits_each_time(monkeypatch, platform, chosen, flags):
    monkeypatch.setenv("JAX_PLATFORMS", platform)
    monkeypatch.setenv("XLA_FLAGS", chosen)
    startup.make_reproducible()
    assert os.environ["XLA_FLAGS"] == flags


@pytest.mark.skipif(sys.platform != "linux", reason="asked of glibc")
def test_start_keeps_memory_on_large_pages_in_the_same_command(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    script = tmp_path / "script.py"
    script.write_text(SETTINGS + "import sys; print(sys.argv[1:])")
    os.environ.pop("GLIBC_TUNABLES", None)
    lines = run(str(script), "a b", "--flag").stdout.splitlines()
    assert {"glibc.malloc.hugetlb=1", "glibc.malloc.mmap_max=0"} < set(lines[0].split()[0].split(":"))
    assert lines[1:] == ["['a b', '--flag']"]
