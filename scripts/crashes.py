"""Kill the commands at random moments, give them again, and see that nothing is lost and nothing is half.

    python scripts/crashes.py --out=results/reliability_crashes.json
    python scripts/crashes.py --parts=convert,export --kills=10

A trial is one kill. After some of them the same command is left to its end; a trial has held where no file lay half
under its final name after the kill, the command left as it promises, and what came in the end is, bit for bit, what
comes undisturbed, with no temporary file beside it.
"""

from __future__ import annotations

import itertools
import json
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import command
import studio_kills
import trials
from absl import flags

_OUT = flags.DEFINE_string("out", "results/reliability_crashes.json", "where the rows go; those of other parts stay")
_PARTS = flags.DEFINE_list("parts", ["train", "prepare", "convert", "export", "studio"], "what is killed")
_KILLS = flags.DEFINE_integer("kills", 50, "by each signal, of a training; of the others a fifth as many, at least")
_SEED = flags.DEFINE_integer("seed", 0, "of the moments")
_WITHIN = flags.DEFINE_float("within", 600.0, "minutes, after which no more trainings are begun")

START = time.monotonic()

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


class Place:
    """A part of a training: how to know that it began, and how long it usually takes, in seconds."""

    def __init__(self, name: str, seconds: float, began: Callable[[Path, str], bool]) -> None:
        self.name, self.seconds, self.began = name, seconds, began


def _newest_step(run_dir: Path) -> int:
    lines = (run_dir / "metrics.jsonl").read_text().splitlines() if (run_dir / "metrics.jsonl").exists() else []
    return json.loads(lines[-1])["step"] if lines and lines[-1].endswith("}") else 0


def _is_writing_checkpoint(run_dir: Path, said: str) -> bool:
    folder = run_dir / "checkpoints"
    return folder.is_dir() and any(not (path / "crc32.json").exists() for path in folder.iterdir())


STARTS = "while it starts and decodes"
COMPILES = "while it compiles"  # into a cache of its own, which the last call uses
PLACES = (
    Place(STARTS, 5.0, lambda run_dir, said: True),
    Place(COMPILES, 8.0, lambda run_dir, said: "; compiling" in said),
    Place("while it measures before training", 3.0, lambda run_dir, said: "reading what to measure by" in said),
    Place("while it trains", 2.0, lambda run_dir, said: "starting" in said or "going on at" in said),
    Place("while a checkpoint is written", 0.15, _is_writing_checkpoint),
    Place(
        "while it measures on held-out music",
        1.5,
        lambda run_dir, said: "going on at" in said and _newest_step(run_dir) % 8 == 0 and _newest_step(run_dir) > 0,
    ),
    Place("while the report is written", 4.0, lambda run_dir, said: "writing the report" in said),
)


def main() -> None:
    """Try each part, write its rows."""
    parts = {
        "train": _train,
        "prepare": _prepare,
        "convert": _convert,
        "export": _export,
        "studio": studio_kills.rows,
    }
    for part in _PARTS.value:
        with tempfile.TemporaryDirectory() as folder:
            few = max(_KILLS.value // 5, 1)
            found = list(parts[part](Path(folder), random.Random(f"{part} {_SEED.value}"), few))
        trials.write(_OUT.value, part, trials.rows(found))
        for what, held, wrong in found:
            if not held:
                print(f"{what}: {wrong}", flush=True)


def _train(folder: Path, rng: random.Random, few: int) -> list[trials.Trial]:
    """Kill trainings, each in every place once."""
    music = trials.make_music(folder / "music")
    undisturbed = trials.run(trials.training(music, folder / "whole"), folder / "whole.log", folder / "cache")
    assert undisturbed[0] == 0, undisturbed[1]
    reference = trials.apart(trials.digests_of_run, folder / "whole")
    trials.load(folder / "cache" / "compiled")
    chains = -(-_KILLS.value * len(SIGNALS) // len(PLACES))
    numbers = itertools.cycle(SIGNALS)  # 3 signals and 7 places have no common factor: all pairs come
    drawn = [[(place, next(numbers), rng.random()) for place in PLACES] for _ in range(chains)]
    found: list[trials.Trial] = []
    for number, kills in enumerate(drawn):
        if time.monotonic() - START < 60 * _WITHIN.value:
            found += _train_chain(music, reference, folder / f"chain {number}", kills)
            trials.write(_OUT.value, "train", trials.rows(found))
            print(f"{len(found)} kills of trainings, {sum(not held for _, held, _ in found)} not held", flush=True)
    return found


def _train_chain(
    music: Path, reference: dict[str, str], folder: Path, kills: list[tuple[Place, signal.Signals, float]]
) -> list[trials.Trial]:
    """Kill one training several times, each time in another place, and see that it ends as it should."""
    folder.mkdir()
    run_dir, cache, log = folder / "run", folder / "cache", folder / "log"
    arguments = trials.training(music, run_dir)
    found: list[trials.Trial] = []
    for place, number, share in kills:
        process: Any
        if place.name in (STARTS, COMPILES):
            process = trials.start(arguments, log, cache)
        else:
            process = trials.Forked(arguments, log, cache)
        while process.poll() is None and not place.began(run_dir, log.read_text(errors="replace")):
            time.sleep(0.002)
        time.sleep(share * place.seconds)
        if process.poll() is None:
            process.send_signal(number)
            status = process.wait(300)
            wrong = _wrong(number, status, log.read_text(errors="replace"), run_dir, cache)
            found.append((f"{number.name} {place.name}", not wrong, wrong))
    status, said = trials.run(arguments, log, cache)
    wrong = "" if status == 0 else said[-500:]
    if not wrong and (other := dict(trials.apart(trials.digests_of_run, run_dir).items() - reference.items())):
        wrong = f"ended with another {other}, not {reference}"
    if not wrong and (left := [*trials.leftovers(folder), *trials.half_written(folder)]):
        wrong = f"left {left}"
    shutil.rmtree(folder)
    return _ended(found, wrong)


def _wrong(number: signal.Signals, status: int, said: str, *folders: Path) -> str:
    """Say what a killed command did that it should not; nothing where all is well."""
    if half := trials.half_written(*folders):
        return f"half-written: {half}"
    if number == signal.SIGKILL:
        return ""
    if status == -number and "Traceback" not in said:  # Python itself was starting or ending: 130 or 143 to a shell
        return ""
    if status == 1 and "exists and is left as it is" in said:  # the call before it had ended before it was killed
        return ""
    allowed = {0, 130} if number == signal.SIGINT else {0, 130, 143}  # 0: it was done before it heard
    if status not in allowed or "Traceback" in said or "Exception ignored" in said:
        return f"status {status}: {said[-1500:]}"
    if status and number == signal.SIGINT and "interrupted" not in said and "stopping" not in said:
        return f"no word of the interruption: {said[-500:]}"
    return ""


def _killed(
    arguments: list[str], folder: Path, out: Path, rng: random.Random, kills: int, longest: float, what: str
) -> list[trials.Trial]:
    """Give a command so many times, each time killed at a random moment; then let it come to its end."""
    found: list[trials.Trial] = []
    for number in itertools.islice(itertools.cycle(SIGNALS), kills):
        process = trials.start(arguments, folder / "log", folder / "cache")
        time.sleep(rng.uniform(0, longest))
        if process.poll() is None:
            process.send_signal(number)
            status = process.wait(300)
            wrong = _wrong(number, status, (folder / "log").read_text(errors="replace"), out)
            found.append((f"{number.name} {what}", not wrong, wrong))
    status, said = trials.run(arguments, folder / "log", folder / "cache")
    wrong = "" if status == 0 or "exists and is left" in said else said[-500:]
    if not wrong and (left := [*trials.leftovers(out), *trials.half_written(out)]):
        wrong = f"left {left}"
    return _ended(found, wrong)


def _ended(found: list[trials.Trial], wrong: str) -> list[trials.Trial]:
    """Have trials fail where what followed them did not end as it should."""
    return [(what, held and not wrong, before or wrong) for what, held, before in found]


def _prepare(folder: Path, rng: random.Random, few: int) -> list[trials.Trial]:
    """Kill what renders the built-in corpus and decodes it."""

    def content(cache: Path) -> list[str]:
        return [*trials.digest_of_files(cache / "corpus").values(), *trials.digests_of_mels(cache)]

    arguments = ["prepare", "--pair=folk_jazz", "--config=smoke"]
    status, said = trials.run(arguments, folder / "log", folder / "whole")
    assert status == 0, said
    found: list[trials.Trial] = []
    for number in range(-(-few // 2)):  # six at a time, which are to interrupt one another's work
        place = folder / str(number)
        place.mkdir()
        killed = _killed(arguments, place, place / "cache", rng, 6, 9.0, "while music is rendered and decoded")
        is_same = content(folder / "whole") == content(place / "cache")
        found += _ended(killed, "" if is_same else "other files than undisturbed")
    return found


def _convert(folder: Path, rng: random.Random, few: int) -> list[trials.Trial]:
    """Kill conversions of a file, of a folder, with a band."""
    music = trials.make_music(folder / "music", seconds=20.0)
    kinds = {"a file is converted": [str(music / "harp" / "tune 0.wav")], "a folder is converted": [str(music)]}
    kinds["a folder is converted with a band"] = [str(music), "--band=1", "--format=mp3"]
    return [
        trial
        for what, inputs in kinds.items()
        for trial in _in_rounds(["convert", "--to=jazz", *inputs], "--out=", folder / what, rng, few, what)
    ]


def _export(folder: Path, rng: random.Random, few: int) -> list[trials.Trial]:
    """Kill what writes a model for other programs."""
    what = "a model is exported"
    return _in_rounds(["export", "--run=folk_jazz", "--to=jazz"], "--out=", folder / what, rng, few, what, "x.onnx")


def _in_rounds(
    arguments: list[str], option: str, folder: Path, rng: random.Random, rounds: int, what: str, name: str = ""
) -> list[trials.Trial]:
    """Kill a command by each signal, then let it end; so often, each time into a new folder."""
    folder.mkdir()
    whole = folder / "whole"
    whole.mkdir()
    start = time.monotonic()
    for _ in range(2):  # the second time with compiled programs
        start = time.monotonic()
        shutil.rmtree(whole)
        whole.mkdir()
        status, said = trials.run([*arguments, f"{option}{whole / name}"], folder / "log", folder / "cache")
        assert status == 0, said
    longest, wanted = time.monotonic() - start, trials.digest_of_files(whole)
    found = []
    for number in range(rounds):
        out = folder / str(number)
        out.mkdir()
        killed = _killed([*arguments, f"{option}{out / name}"], folder, out, rng, 3, longest, f"while {what}")
        is_same = trials.digest_of_files(out) == wanted
        found += _ended(killed, "" if is_same else "other files than undisturbed")
    return found


if __name__ == "__main__":
    command.run(main)
