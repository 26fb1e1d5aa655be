"""Fill the disk, forbid writing, take the locks away, move the folders, set the clock back; see that nothing is lost.

    python scripts/disk_faults.py --out=results/reliability_disk.json
    python scripts/disk_faults.py --parts="full disk"

A trial of a full disk has held where the command said in one line which file did not fit and what to do, left nothing
half-written, and gave the undisturbed result once there was room. Disks are small ones in memory, which only the
superuser of Linux may mount; without that their parts are left out.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import command
import damage
import trials
from absl import flags

_OUT = flags.DEFINE_string("out", "results/reliability_disk.json", "where the rows go; those of other parts stay")
_PARTS = flags.DEFINE_list(
    "parts", ["full disk", "read-only", "no locks", "two at once", "moved", "damaged run", "damaged cache"], "to try"
)
_FILLS = flags.DEFINE_integer("fills", 10, "how full a disk is made, in how many steps")

_MB = 1_000_000


def main() -> None:
    """Try each part, write its rows."""
    parts: dict[str, Callable[[Path], Iterator[trials.Trial]]] = {
        "full disk": _full,
        "read-only": _read_only,
        "no locks": _without_locks,
        "two at once": _two,
        "moved": _moved,
        "damaged run": damage.run,
        "damaged cache": damage.cache,
    }
    for part in _PARTS.value:
        if part in ("full disk", "read-only") and not _may_mount():
            print(f"{part}: left out, as this user may not mount a disk")
            continue
        with tempfile.TemporaryDirectory() as folder:
            found = []
            for trial in parts[part](Path(folder)):
                found.append(trial)
                print("held" if trial[1] else "NOT HELD", *trial[::2], sep="; ", flush=True)
                trials.write(_OUT.value, part, trials.rows(found))  # what was tried counts, wherever this is stopped


@contextlib.contextmanager
def _disk(place: Path, size: int) -> Iterator[Path]:
    """Mount a disk of so many bytes, in memory."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "trial", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def _may_mount() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        try:
            with _disk(Path(folder, "disk"), _MB):
                return True
        except (OSError, subprocess.CalledProcessError):
            return False


def _one_line(status: int, said: str, *words: str) -> str:
    """Say what is wrong with how a command refused; nothing where all is well."""
    last = said.strip().splitlines()[-1:] or [""]
    if status != 1 or "Traceback" in said or not any(word in last[0] for word in words):
        return f"status {status}: {said[-1500:]}"
    return ""


def _commands(folder: Path) -> dict[str, tuple[list[str], str, str]]:
    """Return commands to give on a disk: arguments, where their last one, which is a place, leads, where mels go."""
    music = trials.make_music(folder / "music", seconds=8.0)
    song = [str(music / "harp" / "tune 0.wav"), str(music / "organ" / "tune 1.wav")]
    convert = ["convert", *song, "--run=folk_jazz", "--to=jazz"]
    return {
        "training": (trials.training(music, Path()), "--run_dir=", "run"),
        "preparing": (["prepare", "--config=smoke", f"--audio_dir={music}"], "", ""),
        "converting to WAV": (convert, "--out=", "out"),
        "converting to MP3": ([*convert, "--format=mp3"], "--out=", "out"),
        "converting to M4A": ([*convert, "--format=m4a"], "--out=", "out"),
        "converting to Opus with a band and stems": (
            [*convert, "--format=opus", "--band=1", "--stems={disk}/stems"],
            "--out=",
            "out",
        ),
        "exporting as ONNX": (["export", "--run=folk_jazz", "--to=jazz"], "--out=", "x.onnx"),
        "exporting as StableHLO": (
            ["export", "--run=folk_jazz", "--to=jazz", "--format=stablehlo"],
            "--out=",
            "x.zip",
        ),
    }


def _on(disk: Path, given: tuple[list[str], str, str]) -> list[str]:
    arguments, option, name = given
    filled = [text.replace("{disk}", str(disk)) for text in arguments]
    return [*filled, *([f"{option}{disk / name}"] if option else [])]


def _full(folder: Path) -> Iterator[trials.Trial]:
    """Fill a disk so far that each time another write is the one that does not fit."""
    compiled = str(folder / "compiled")
    for name, given in _commands(folder).items():
        with _disk(folder / name.replace(" ", "_"), 200 * _MB) as disk:
            cache = disk / "cache"
            status, said = trials.run(_on(disk, given), folder / "log", cache, JAX_COMPILATION_CACHE_DIR=compiled)
            assert status == 0, said
            needed, whole = _used(disk), _content(disk)
            for number in range(_FILLS.value):
                shutil.rmtree(cache, ignore_errors=True)
                for path in disk.iterdir():
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
                room = int(needed * number / _FILLS.value) // 4096 * 4096
                filler = disk / "filler"
                with filler.open("wb") as file:
                    os.posix_fallocate(file.fileno(), 0, 200 * _MB - 64 * 4096 - room)
                    with contextlib.suppress(OSError):
                        while shutil.disk_usage(disk).free > room:
                            file.seek(0, os.SEEK_END)
                            file.write(b"0" * min(4096, shutil.disk_usage(disk).free - room))
                            file.flush()
                status, said = trials.run(_on(disk, given), folder / "log", cache, JAX_COMPILATION_CACHE_DIR=compiled)
                wrong = "" if status == 0 else _one_line(status, said, "the disk is full", "make room")
                if half := trials.half_written(disk):
                    wrong = wrong or f"half-written: {half}"
                filler.unlink()
                wrong = wrong or _goes_on(_on(disk, given), disk, folder / "log", cache, compiled, whole)
                yield f"full disk, {name}", not wrong, f"{room} bytes free: {wrong}"


def _goes_on(arguments: list[str], disk: Path, log: Path, cache: Path, compiled: str, whole: dict[str, str]) -> str:
    """Give a command again; say what is wrong with its end, nothing where all is well."""
    status, said = trials.run(arguments, log, cache, JAX_COMPILATION_CACHE_DIR=compiled)
    if status != 0 and "exists and is left" not in said:
        return f"does not go on: status {status}: {said[-800:]}"
    if left := [*trials.leftovers(disk), *trials.half_written(disk)]:
        return f"left {left}"
    different = whole.items() ^ _content(disk).items()
    return f"other files: {sorted(name for name, _ in different)}" if different else ""


def _content(disk: Path) -> dict[str, str]:
    """Return digests of what must be the same each time: sounds, models, what a run learned."""
    found = {
        name: value
        for name, value in trials.digest_of_files(disk).items()
        if not name.startswith("cache") and (Path(name).suffix in (".wav", ".mp3", ".opus", ".m4a", ".mid", ".onnx"))
    }
    run = disk / "run"
    return found | (trials.apart(trials.digests_of_run, run) if run.exists() else {})


def _used(disk: Path) -> int:
    usage = shutil.disk_usage(disk)
    return usage.total - usage.free


def _read_only(folder: Path) -> Iterator[trials.Trial]:
    """Give commands on a disk that can only be read."""
    for name, given in _commands(folder).items():
        with _disk(folder / name.replace(" ", "_"), 100 * _MB) as disk:
            cache = folder / "cache" if given[1] else disk / "cache"  # which is all that preparing writes to
            arguments = _on(disk, given)
            if name == "training":  # one that goes on
                status, said = trials.run([*arguments, "--set=training.epochs=4"], folder / "log", cache)
                assert status == 0, said
            subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
            status, said = trials.run(arguments, folder / "log", cache)
            wrong = _one_line(status, said, "can only be read")
            subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
            status, said = trials.run(arguments, folder / "log", cache)
            wrong = wrong or ("" if status == 0 else f"does not go on: {said[-800:]}")
            yield f"read-only disk, {name}", not wrong, wrong


_NO_LOCKS = """
import errno, fcntl, os
def refuse(*rest):
    raise OSError(errno.{name}, os.strerror(errno.{name}))
fcntl.flock = fcntl.lockf = refuse
"""


def _without_locks(folder: Path) -> Iterator[trials.Trial]:
    """Train where the file system has no locks."""
    music = trials.make_music(folder / "music")
    for name in ("ENOLCK", "ENOTSUP", "ENOSYS"):
        place = folder / name
        place.mkdir()
        (place / "sitecustomize.py").write_text(_NO_LOCKS.format(name=name))
        paths = os.pathsep.join([str(place), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        arguments = trials.training(music, place / "run", "--set=training.epochs=4")
        status, said = trials.run(arguments, folder / "log", folder / "cache", PYTHONPATH=paths)
        wrong = "" if status == 0 and "lock" in said else said[-800:]
        yield f"a file system without locks ({name}), training", not wrong, wrong


def _two(folder: Path) -> Iterator[trials.Trial]:
    """Have two commands at once write to one folder."""
    music = trials.make_music(folder / "music", seconds=20.0)
    status, said = trials.run(trials.training(music, folder / "whole"), folder / "log", folder / "cache")
    assert status == 0, said
    reference = trials.apart(trials.digests_of_run, folder / "whole")
    arguments = trials.training(music, folder / "run")
    logs = folder / "first", folder / "second"
    both = [trials.start(arguments, log, folder / "cache") for log in logs]
    statuses = [process.wait(600) for process in both]
    said = "".join(log.read_text() for log in logs)
    wrong = "" if sorted(statuses) == [0, 1] and "another process is training in" in said else said[-800:]
    wrong = wrong or ("" if trials.apart(trials.digests_of_run, folder / "run") == reference else "another result")
    yield "two trainings of one run at once: one is refused", not wrong, wrong
    for attempt in range(3):
        out = folder / f"out {attempt}"
        arguments = ["convert", str(music), "--to=jazz", f"--out={out}"]
        both = [trials.start(arguments, log, folder / "cache") for log in logs]
        statuses = [process.wait(600) for process in both]
        wrong = "" if statuses == [0, 0] else "".join(log.read_text() for log in logs)[-800:]
        left = [*trials.leftovers(out), *trials.half_written(out)]
        same = len(set(map(str, [trials.digest_of_files(folder / f"out {number}") for number in range(attempt + 1)])))
        wrong = wrong or (f"left {left}" if left else "" if same == 1 else "other files")
        yield "two conversions into one folder at once: the same whole files", not wrong, wrong


def _moved(folder: Path) -> Iterator[trials.Trial]:
    """Stop a training, move what it needs or set the clock back, go on."""
    music = trials.make_music(folder / "music")
    status, said = trials.run(trials.training(music, folder / "whole"), folder / "log", folder / "cache")
    assert status == 0, said
    reference = trials.apart(trials.digests_of_run, folder / "whole")
    for what in ("the run moved", "the music moved", "both moved, and the cache", "the clock set back a year"):
        place = folder / what
        place.mkdir()
        old = shutil.copytree(music, place / "music", copy_function=shutil.copy)
        arguments = trials.training(old, place / "run")
        _stop_half_way(arguments, place, folder / "log")
        run, now, cache = place / "run", old, place / "cache"
        if "run" in what or "both" in what:
            run = run.rename(place / "elsewhere")
        if "music" in what or "both" in what:
            now = old.rename(place / "songs")
        if "cache" in what:
            cache = cache.rename(place / "caches")
        if "clock" in what:  # what was written before now seems to come from the future
            then = time.time() + 365 * 86_400
            for path in [*run.rglob("*"), *cache.rglob("*"), *now.rglob("*")]:
                os.utime(path, (then, then))
        status, said = trials.run(trials.training(now, run), folder / "log", cache)
        made = trials.apart(trials.digests_of_run, run) if status == 0 else {}
        wrong = "" if made == reference else f"{said[-800:]} {made} {reference}"
        yield f"{what} between stop and resume: the same bits", not wrong, wrong


def _stop_half_way(arguments: list[str], place: Path, log: Path) -> None:
    process = trials.start(arguments, log, place / "cache")
    steps = place / "run" / "metrics.jsonl"
    while process.poll() is None and not (steps.exists() and len(steps.read_text().splitlines()) > 3):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(300) in (130, 143), log.read_text()


if __name__ == "__main__":
    if sys.platform != "linux":
        sys.exit("these trials need Linux")
    command.run(main)
