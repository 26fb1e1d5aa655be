"""Give 2,000 bad files to every reader: each must end in a result or in one line, within limits of time and memory.

    python scripts/bad_files.py --out=results/reliability_files.json

Needs `pip install 'gst_jax[studio]'` and Linux. Takes a quarter of an hour on two cores.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import command
import guarded
import odd_files
import readers
import special_files
import trials
from absl import flags
from guarded import Outcome

from gst_jax import sound

_OUT = flags.DEFINE_string("out", "results/reliability_files.json", "where the figures go")
_SHARE = flags.DEFINE_float("share", 1.0, "of the 2,000 files that are made")
_TRAINED = flags.DEFINE_integer("trained", 5, "one file of so many, of each kind, is also read for training")
_CONVERTED = flags.DEFINE_integer("converted", 16, "one file of so many, of each kind, is also converted")
_FOLDER = flags.DEFINE_integer("folder", 100_000, "files in one folder")


def calls(files: list[tuple[str, Path]]) -> Iterator[tuple[str, Path]]:
    """Yield which reader gets which file: all are read, trained on, and of each kind some converted."""
    seen: Counter[str] = Counter()
    for kind, path in files:
        yield "reader", path
        if kind == odd_files.HOURS:  # which take their time with the others
            continue
        number, seen[kind] = seen[kind], seen[kind] + 1
        is_special = kind == special_files.SPECIAL
        is_found = path.suffix in sound.SUFFIXES and path.name[0] != "." and path.is_file()  # in a folder
        if is_found and (is_special or number % _TRAINED.value == 0):
            yield "training", path
        if number % _CONVERTED.value == 0:
            yield "conversion", path


def send(address: str, path: Path) -> Outcome:
    """Upload a file to the studio, as its page does."""
    begun = time.monotonic()
    name = urllib.parse.quote(path.name.encode("utf-8", "replace"))
    request = urllib.request.Request(
        f"{address}/api/songs", path.read_bytes(), {"Origin": address, "X-File-Name": name}
    )
    try:
        with urllib.request.urlopen(request, timeout=guarded.HANGS) as answer:
            said, fault, seconds = "", "", json.loads(answer.read())["seconds"]
    except urllib.error.HTTPError as error:
        said, seconds = json.loads(error.read())["error"], 0.0
        fault = "" if error.code == 400 and len(said.splitlines()) == 1 else f"answers {error.code}: {said}"
    except OSError as error:
        said, fault, seconds = "", f"does not answer: {error}", 0.0
    return Outcome(said, fault, time.monotonic() - begun, 0.0, seconds)


def by_studio(files: list[Path]) -> tuple[list[Outcome], float]:
    """Send files to one running studio; return what it answered, and the most memory that it held, in MB."""
    arguments = [sys.executable, "-m", "gst_jax", "studio", "--noopen", "--port=0"]
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(arguments, cwd=folder, stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        try:
            address = server.stdout.readline().split()[-1].rstrip("/")
            with ThreadPoolExecutor(2) as pool:
                found = list(pool.map(lambda path: send(address, path), files))
            return found, guarded.memory(server.pid, "VmHWM") / 1e6
        finally:
            server.terminate()
            server.wait()


def by_command(folder: Path, *arguments: str) -> Outcome:
    """Give a whole folder to a command: it ends, and says a line for each file at most, without a traceback."""
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "gst_jax", *arguments], cwd=folder, capture_output=True, text=True, errors="replace"
    )
    lines = done.stderr.splitlines()
    told = next((line for line in lines if "Traceback" in line or len(line) > 1_000), "")
    fault = told or (f"exit status {done.returncode}" if done.returncode not in (0, 1) else "")
    return Outcome(lines[-1] if lines else "", fault, time.monotonic() - begun, 0.0)


def big_folder(folder: Path) -> Outcome:
    """Look for sound among many files, one of which is a song."""
    folder.mkdir()
    for number in range(_FOLDER.value - 1):
        (folder / f"{number}.{'mp3' if number % 2 else 'txt'}").touch()
    sound.write_wave(folder / "song.wav", odd_files.samples(), 44_100)
    begun = time.process_time()
    files = sound.find_audio(folder)
    refused = 0
    for path in files:
        try:
            sound.read_header(path)
        except sound.AudioError:
            refused += 1
    fault = "" if len(files) - refused == 1 else f"{len(files) - refused} files are read"
    return Outcome("", fault, time.process_time() - begun, 0.0)


def row(what: str, found: list[Outcome]) -> dict[str, object]:
    faults = [outcome for outcome in found if outcome.fault]
    sounds = sum(not outcome.said for outcome in found if not outcome.fault)
    note = f"{sounds} gave sound, {len(found) - sounds - len(faults)} one line"
    return {"what": what, "tried": len(found), "held": len(found) - len(faults), "note": note}


def measured(outcomes: list[Outcome], uses: Counter[str]) -> list[tuple[str, float, str]]:
    """Return figures of the files that were read in processes with limits."""
    seconds = sorted(outcome.seconds for outcome in outcomes)
    return [
        *((f"files through the {reader}", count, "") for reader, count in uses.items()),
        ("processor time of a file, median", round(seconds[len(seconds) // 2], 3), "s"),
        ("processor time of a file, longest", round(seconds[-1], 1), "s"),
        ("memory of a file, most", round(max(outcome.memory for outcome in outcomes) / 1e6), "MB"),
    ]


def main() -> None:
    """Make the files, try them, write."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TMPDIR"], os.environ["GST_JAX_CACHE"] = folder, str(Path(folder, "cache"))
        files = list(odd_files.make(Path(folder, "files"), _SHARE.value))
        files += ((special_files.SPECIAL, path) for path in special_files.make(Path(folder, "files", "special")))
        kind_of = {path: kind for kind, path in files}
        rows: dict[str, list[Outcome]] = {}
        uses: Counter[str] = Counter()
        for reader, path, outcome in guarded.try_all(readers.start, calls(files), workers=2):
            rows.setdefault(kind_of[path], []).append(outcome)
            uses[reader] += 1
            if outcome.fault:
                print(f"{kind_of[path]}: {reader}: {path}: {outcome.fault}", flush=True)
        all_read = [outcome for found in rows.values() for outcome in found]
        small = [path for _, path in files if path.is_file() and path.stat().st_size < 5_000_000]
        rows["uploads to the studio"], memory = by_studio(small)
        specials = str(Path(folder, "files", "special"))
        whole = [("convert", specials, "--to=jazz", "--out=out"), ("prepare", f"--audio_dir={folder}/files")]
        rows["whole folders by the commands"] = [by_command(Path(folder), *arguments) for arguments in whole]
        many = big_folder(Path(folder, "many"))
        rows[f"a folder of {_FOLDER.value:,} files"] = [many]
        executed = [str(path) for place in (folder, ".") for path in Path(place).rglob("executed")]
    for what, found in rows.items():
        for outcome in found:
            if outcome.fault and outcome not in all_read:
                print(f"{what}: {outcome.fault}", flush=True)
    figures = measured(all_read, uses)
    figures += [
        ("files", len(files), ""),
        ("kinds of container and sample that libsndfile writes, among them", len(odd_files.every_kind()), ""),
        ("memory of the studio after all uploads, most", round(memory), "MB"),
        (f"looking through a folder of {_FOLDER.value:,} files", round(many.seconds, 1), "s"),
        ("programs started, files written elsewhere", len(executed), ""),
    ]
    made = [row(what, outcomes) for what, outcomes in rows.items()]
    trials.write(_OUT.value, "files", made, itertools.starmap(trials.figure, figures))


if __name__ == "__main__":
    command.run(main)
