"""Measure the studio: how soon a long song is heard, and what many clients at once do to it.

    python scripts/studio_load.py --out=results/studio.json

Needs `pip install 'gst_jax[studio]'` and Linux, where a process tells how much memory it holds.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import command
import numpy as np
import soundfile
from absl import flags

from gst_jax.runs import provenance
from gst_jax.runs.atomic import write_text

_OUT = flags.DEFINE_string("out", "results/studio.json", "where the figures go")
_CLIENTS = flags.DEFINE_integer("clients", 20, "that convert at once")
_SECONDS = flags.DEFINE_float("seconds", 10.0, "of sound that each of them converts")
_REPEATS = flags.DEFINE_integer("repeats", 5, "times that a three-minute song is heard")

_RATE = 44_100
_WANTED = {"run": "folk_jazz (bundled)", "to": "jazz", "strength": 1.0, "band": 0}


class Client:
    """What a page does, without one."""

    def __init__(self, address: str) -> None:
        self._address = address.rstrip("/")

    def ask(self, path: str, content: bytes | None = None, **headers: str) -> bytes:
        request = urllib.request.Request(self._address + path, content, {"Origin": self._address, **headers})
        with urllib.request.urlopen(request, timeout=600) as answer:
            return answer.read()

    def upload(self, content: bytes) -> str:
        """Send a song; return where it is known."""
        return f"/api/songs/{json.loads(self.ask('/api/songs', content, **{'X-File-Name': 'song.mp3'}))['id']}"

    def convert(self, song: str) -> None:
        self.ask(song, json.dumps(_WANTED).encode())

    def heard(self, song: str, whole: bool) -> bytes:
        """Wait as a page does until something, or all of it, can be played; return the sound of the conversion."""
        while True:
            shown = json.loads(self.ask(song))
            (made,) = shown["conversions"]
            assert made["state"] in ("waiting", "running", "done"), made
            if made["whole"] if whole else shown["ready"][0]:
                player = json.loads(self.ask(f"{song}?player"))["player"]
                return self.ask(player["versions"][1]["src"])
            time.sleep(0.35)


def main() -> None:
    """Start a studio, measure, write."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [sys.executable, "-m", "gst_jax", "studio", "--noopen", "--port=0"]
        server = subprocess.Popen(arguments, cwd=folder, stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        try:
            client = Client(server.stdout.readline().split()[-1])
            _first(client, server.pid, _song(30.0, 0))  # the studio gets ready meanwhile
            memory = {"ready": _memory(server.pid)}
            songs = [_song(180.0, number) for number in range(_REPEATS.value)]
            firsts = [_first(client, server.pid, song) for song in songs]
            memory["three minutes"] = _memory(server.pid)
            took, lost = _crowd(client)
            memory["crowd"] = _memory(server.pid)
        finally:
            server.terminate()
            server.wait()
    found = {
        "provenance": provenance.collect(),
        "first_seconds_of_three_minutes": {
            "waited": sorted(round(waited, 2) for waited, _ in firsts),
            "processor": sorted(round(processor, 2) for _, processor in firsts),
        },
        "clients": _CLIENTS.value,
        "seconds_each": _SECONDS.value,
        "lost": lost,
        "waited": {f"p{share}": round(float(np.percentile(took, share)), 1) for share in (50, 95)},
        "peak_memory_mb": memory,
    }
    write_text(_OUT.value, json.dumps(found, indent=1) + "\n")
    print(json.dumps({name: value for name, value in found.items() if name != "provenance"}, indent=1))


def _first(client: Client, process: int, song: bytes) -> tuple[float, float]:
    """Return the seconds, and those of the processor, from the end of an upload until the first can be heard.

    All of the song is made before the next one comes.
    """
    place = client.upload(song)
    start = time.monotonic(), _processor(process)
    client.convert(place)
    client.heard(place, whole=False)
    took = time.monotonic() - start[0], _processor(process) - start[1]
    client.heard(place, whole=True)
    return took


def _crowd(client: Client) -> tuple[list[float], int]:
    """Have many clients convert at once: return how long each waited, and how many got not what they sent."""

    songs = [_song(_SECONDS.value, number) for number in range(_CLIENTS.value)]

    def one(song: bytes) -> tuple[float, bool]:
        start = time.monotonic()
        place = client.upload(song)
        client.convert(place)
        made = soundfile.info(io.BytesIO(client.heard(place, whole=True)))
        return time.monotonic() - start, abs(made.duration - _SECONDS.value) < 0.1

    with ThreadPoolExecutor(_CLIENTS.value) as pool:
        found: list[tuple[float, Any]] = list(pool.map(one, songs))
    return [took for took, _ in found], sum(not whole for _, whole in found)


def _song(seconds: float, seed: int) -> bytes:
    """Return an MP3 of plucked notes over noise, in two channels."""
    rng = np.random.default_rng(seed)
    when = np.arange(int(seconds * _RATE)) / _RATE
    note = (when * 4).astype(int)
    pitch = 220.0 * 2.0 ** (rng.choice([0, 2, 4, 7, 9, 12], note.max() + 1)[note] / 12)
    phase = 2 * np.pi * np.cumsum(pitch) / _RATE
    wave = sum(np.sin(phase * k) / k for k in range(1, 6)) * np.exp(-4 * (when % 0.25))
    stereo = 0.1 * np.stack([wave, np.roll(wave, 300)], 1) + 1e-3 * rng.standard_normal((len(wave), 2))
    file = io.BytesIO()
    soundfile.write(file, stereo, _RATE, format="MP3")
    return file.getvalue()


def _processor(process: int) -> float:
    """Return the seconds of processor time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(process: int) -> int:
    """Return the most memory that a process has held, in MB."""
    (line,) = [line for line in Path(f"/proc/{process}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return round(int(line.split()[1]) * 1024 / 1e6)


if __name__ == "__main__":
    command.run(main)
