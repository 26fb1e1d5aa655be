"""Damage each file of a run and of the cache, one at a time; used by disk_faults.py.

A trial has held where what follows is as if nothing had been damaged, where a warning says that the checkpoint before
was taken, where an error names the file, or where lines of a history are missing and nothing else. What is never
right is another result in silence.
"""

from __future__ import annotations

import functools
import json
import random
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import trials

_HARMS = ("cut short", "one bit flipped", "emptied")
_COMPILED = "JAX_COMPILATION_CACHE_DIR"
_MORE = 8  # bits that are flipped, one at a time, in a file that decides what is converted
_LINES = {"metrics.jsonl": "log", "measures.jsonl": "measures"}  # files that are a history, and where results show it
_DECIDE = ("config.json", "measures.jsonl", "best.npz", "fine_structure.npz")


def run(folder: Path) -> Iterator[trials.Trial]:
    """Damage each file of a run, then go on with it, and convert by it."""
    trials.load(folder / "compiled")
    yield from trials.apart(_run, folder)


def cache(folder: Path) -> Iterator[trials.Trial]:
    """Damage each file of the cache, then train by it."""
    trials.load(folder / "compiled")
    yield from trials.apart(_mels, folder)
    music, place = trials.make_music(folder / "music"), folder / "cache"
    compiled = {_COMPILED: str(place / "compiled")}  # JAX knows a program by this folder too
    arguments = trials.training(music, folder / "whole", "--set=training.epochs=4")
    status, said = trials.run(arguments, folder / "log", place, **compiled)
    assert status == 0, said
    reference = trials.apart(trials.digests_of_run, folder / "whole")
    place.rename(folder / "kept")
    for name in sorted(path.name for path in (folder / "kept" / "compiled").iterdir()):
        for harm in _HARMS:
            shutil.copytree(folder / "kept", place)
            harmed = place / "compiled" / name
            _harm(harmed, harm, random.Random(f"{name} {harm}"))
            arguments = trials.training(music, folder / "run", "--set=training.epochs=4")
            status, said = trials.run(arguments, folder / "log", place, **compiled)
            made = trials.apart(trials.digests_of_run, folder / "run") if status == 0 else {}
            wrong = "" if made == reference else f"another run: {said[-800:]}"
            wrong = wrong or ("" if harmed.exists() and harmed.stat().st_size > 1000 else "not compiled anew")
            yield f"compiled programs, {harm}", not wrong, f"{name}: {wrong}"
            for used in (place, folder / "run"):
                shutil.rmtree(used)


def _harm(path: Path, harm: str, rng: random.Random) -> None:
    """Damage a file."""
    content = bytearray(path.read_bytes())
    if harm == "one bit flipped" and content:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(
        content if harm == "one bit flipped" else content[: len(content) // 2 if harm == "cut short" else 0]
    )


def _run(folder: Path) -> list[trials.Trial]:
    music, begun, copy = trials.make_music(folder / "music"), folder / "begun", folder / "copy"
    _train(music, begun, 8, shows=True)
    reference = {shows: _went_on(music, begun, copy, shows) for shows in (False, True)}
    converted = {kind: _converted(begun, copy, kind) for kind in ("best", "newest", "before")}
    newest = max(int(path.name) for path in (begun / "checkpoints").iterdir())
    found: list[trials.Trial] = []

    def tried(what: str, name: str, make: Callable[[], Any], right: list[Any]) -> None:
        wrong = _wrong(make, right)
        print("held" if not wrong else "NOT HELD", name, what, wrong, flush=True)
        found.append((what, not wrong, f"{name}: {wrong}"))

    for path in sorted(path for path in begun.rglob("*") if path.is_file() and path.stat().st_size):
        name = str(path.relative_to(begun))
        is_checkpoint, shows = name.startswith("checkpoints"), "/" in name and not name.startswith("checkpoints")
        if is_checkpoint and not name.startswith(f"checkpoints/{newest}/"):
            continue
        for harm, number in [*((harm, 0) for harm in _HARMS), *((_HARMS[1], more) for more in range(1, _MORE))]:
            hurt = _hurting(name, harm, random.Random(f"{name} {harm} {number}"))
            if number == 0:
                went_on = functools.partial(_went_on, music, begun, copy, shows, hurt)
                make = functools.partial(_but_lost_lines, name, went_on, reference[shows])
                tried(f"a file of a {_part(name)}, {harm}; the training goes on", name, make, [reference[shows]])
            if number == 0 or name in _DECIDE:
                kind = "newest" if is_checkpoint else "best"
                right = [converted[kind], *([converted["before"]] if is_checkpoint else [])]
                make = functools.partial(_converted, begun, copy, kind, hurt)
                tried(f"a file of a {_part(name)}, {harm}; a song is converted", name, make, right)
    return found


def _but_lost_lines(name: str, make: Callable[[], dict[str, str]], whole: dict[str, str]) -> dict[str, str]:
    """Return a result; where the damaged file is a history, with the lines that nothing could bring back."""
    made, part = make(), _LINES.get(name)
    if part is None or not all(line in json.loads(whole[part]) for line in json.loads(made[part])):
        return made
    return made | {part: whole[part]}


def _part(name: str) -> str:
    return "checkpoint" if name.startswith("checkpoints") else "run beside its checkpoints"


def _hurting(name: str, harm: str, rng: random.Random) -> Callable[[Path], None]:
    return lambda run_dir: _harm(run_dir / name, harm, rng)


def _wrong(make: Callable[[], Any], right: list[Any]) -> str:
    """Say what is wrong with what damage led to; nothing where all is well."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            made = make()
        except (ValueError, OSError) as error:
            return "" if "/copy" in str(error) else f"an error that names no file: {error!r}"
        except Exception as error:  # noqa: BLE001, which is what is looked for here
            return f"{error!r}"
    if made == right[0] or (made in right and any("damaged" in str(warning.message) for warning in said)):
        return ""
    return f"another result: {made}, not {right}"


def _train(music: Path, run_dir: Path, epochs: int, shows: bool) -> None:
    from gst_jax import config
    from gst_jax.evaluation import held_out
    from gst_jax.learning import loop
    from gst_jax.presentation import live, report

    settings = config.load("smoke", [*trials.LENGTH, f"training.epochs={epochs}"])
    watching: Any = dict(listen=held_out.prepare)
    watching |= dict(on_measure=live.Live(run_dir).on_measure) if shows else {}
    loop.train(("harp", "organ"), settings, run_dir, audio_dirs=[str(music)], **watching)
    if shows:
        report.write(run_dir)


def _went_on(
    music: Path, begun: Path, copy: Path, shows: bool, hurt: Callable[[Path], None] = lambda run_dir: None
) -> Any:
    """Return what a run becomes that goes on after something happened to it, with what shows it or without."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(begun, copy)
    hurt(copy)
    _train(music, copy, 12, shows)
    return trials.digests_of_run(copy)


def _converted(begun: Path, copy: Path, kind: str, hurt: Callable[[Path], None] = lambda run_dir: None) -> str:
    """Return a digest of what the best generator makes of a song; or the newest, or the one before that."""
    from gst_jax.conversion.translator import Translator
    from gst_jax.runs.directory import RunDirectory

    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(begun, copy)
    if kind != "best":
        (copy / "best.npz").unlink()
    if kind == "before":
        shutil.rmtree(max((copy / "checkpoints").iterdir(), key=lambda path: int(path.name)))
    hurt(copy)
    song = np.random.default_rng(0).uniform(-0.1, 0.1, 3 * trials.RATE).astype(np.float32)
    made = Translator.from_run(RunDirectory.open(copy), "organ")(song, trials.RATE)
    return trials.digest([made.tobytes()])


def _mels(folder: Path) -> list[trials.Trial]:
    """Damage each file of the log-mels."""
    from gst_jax import config, data

    music = trials.make_music(folder / "music")
    settings = config.load("smoke", [])

    def load(place: Path) -> list[str]:
        genres = data.load_genres([music], ["harp", "organ"], settings.audio, settings.data, place)
        return [
            trials.digest([np.array(genre.log_mel).tobytes(), genre.fine_structure.tobytes()]) for genre in genres
        ]

    whole = folder / "mels"
    reference, found = load(whole), []
    for path in sorted(path for path in whole.rglob("*") if path.is_file()):
        for harm in _HARMS:
            copy = folder / "copy"
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(whole, copy)
            _harm(copy / path.relative_to(whole), harm, random.Random(f"{path.suffix} {harm}"))
            wrong = _wrong(lambda copy=copy: load(copy), [reference])
            found.append((f"log-mels in the cache, {harm}", not wrong, f"{path.name}: {wrong}"))
    return found
