"""Kill the studio while it takes in files, converts or has a training run; used by crashes.py.

A trial has held where the next start leaves no temporary file of the one that was killed, and does what it is asked;
a training goes on by itself, and the next studio knows of it.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import trials

_WANTED = {"run": "folk_jazz (bundled)", "to": "jazz", "strength": 1.0, "band": 0}


class Studio:
    """A studio in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        """Start it."""
        for name in ("tmp", "home"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.folder = folder
        environment = {"TMPDIR": str(folder / "tmp"), "GST_JAX_CACHE": str(folder / "cache")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gst_jax", "studio", "--noopen", "--port=0"],
            cwd=folder / "home",
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().split()[-1].rstrip("/")

    def ask(self, path: str, content: bytes | None = None, **headers: str) -> Any:
        """Return what it answers."""
        request = urllib.request.Request(self.address + path, content, {"Origin": self.address, **headers})
        with urllib.request.urlopen(request, timeout=600) as answer:
            return json.loads(answer.read())

    def begin_to_send(self, path: str, content: bytes) -> socket.socket:
        """Send half of a file."""
        host = self.address.split("/")[2]
        sender = socket.create_connection((host.split(":")[0], int(host.split(":")[1])))
        lines = [
            f"POST {path} HTTP/1.1",
            f"Host: {host}",
            f"Origin: {self.address}",
            "X-File-Name: a.wav",
            "X-Genre: harp",
        ]
        sender.sendall("\r\n".join([*lines, f"Content-Length: {len(content)}", "", ""]).encode())
        sender.sendall(content[: len(content) // 2])
        return sender

    def begin_to_convert(self, song: bytes) -> str:
        """Have a song converted; return where it is known."""
        place = f"/api/songs/{self.ask('/api/songs', song, **{'X-File-Name': 'a.wav'})['id']}"
        self.ask(place, json.dumps(_WANTED).encode())
        return place

    def end(self, number: int) -> None:
        """Send it a signal, and wait."""
        self.process.send_signal(number)
        self.process.wait(60)


def rows(folder: Path, rng: random.Random, few: int) -> list[trials.Trial]:
    """Kill studios, each with other work at hand."""
    music = trials.make_music(folder / "music", seconds=20.0)
    song = (music / "harp" / "tune 0.wav").read_bytes()
    found: list[trials.Trial] = []
    for what in ("a song is sent", "music to train on is sent", "a song is converted"):
        place = folder / what
        for _ in range(few):
            studio = Studio(place)
            if what == "a song is converted":
                studio.begin_to_convert(song)
            else:
                path = "/api/songs" if "song" in what else f"/api/music/{_batch(studio)}"
                sender = studio.begin_to_send(path, song)
            time.sleep(rng.uniform(0.05, 2.0))
            studio.end(signal.SIGKILL)
            found.append((f"SIGKILL of the studio while {what}", *_next(place, song)))
            if what != "a song is converted":
                sender.close()
    return found + [_training(folder / f"training {number}", music) for number in range(max(few // 5, 1))]


def _batch(studio: Studio) -> str:
    return studio.ask("/api/music", b"{}")["batch"]


def _next(place: Path, song: bytes) -> tuple[bool, str]:
    """Start the studio again, see that it works, end it; say whether that held, and what went wrong."""
    studio = Studio(place)
    made = studio.begin_to_convert(song)
    while (state := studio.ask(made)["conversions"][0]["state"]) in ("waiting", "running"):
        time.sleep(0.2)
    studio.end(signal.SIGTERM)
    left = [*trials.leftovers(place), *(place / "tmp").iterdir()]
    return state == "done" and not left, f"{state}, left {left}"


def _training(place: Path, music: Path) -> trials.Trial:
    """Kill a studio that has started a training, and see that it comes to its end."""
    what = "SIGKILL of the studio while it has a training run: that goes on"
    (place / "home").mkdir(parents=True)
    shutil.copytree(music, place / "home" / "my_music")
    studio = Studio(place)
    sides = [{"folder": f"my_music/{genre}"} for genre in ("harp", "organ")]
    look = studio.ask("/api/looks", json.dumps({"sides": sides, "settings": "trial"}).encode())["id"]
    while studio.ask(f"/api/looks/{look}")["state"] in ("waiting", "running"):
        time.sleep(0.2)
    name = studio.ask("/api/trainings", json.dumps({"do": "start", "look": look}).encode())["name"]
    time.sleep(5)
    studio.end(signal.SIGKILL)
    studio = Studio(place)
    states = []
    while not states or states[-1] in ("running", "stopping"):
        states += [run["state"] for run in studio.ask("/api/trainings") if run["name"] == name]
        time.sleep(0.5)
    studio.end(signal.SIGTERM)
    left = [*trials.leftovers(place), *(place / "tmp").iterdir()]
    return what, states[-1] == "finished" and not left, f"{states[-1]}, left {left}"
