"""Make music that no model here learned from: our tunes on another sound bank, and tunes arranged by other software.

    apt install fluid-soundfont-gm mma
    python scripts/elsewhere.py --bank=/usr/share/sounds/sf2/FluidR3_GM.sf2 --out=elsewhere

Writes elsewhere/SET/SPLIT/GENRE/NUMBER.flac. The set `bank` holds the paired tunes of the corpus as each genre
arranges them, played by the General MIDI synthesizer alone: another bank, its own room, another balance, no modelled
string or drum, no amplifier. The set `mma` holds new tunes over the grooves of MMA, the Musical MIDI Accompaniment of
Bob van der Poel, which plays their chords in each genre.
"""

from __future__ import annotations

import io
import wave
from pathlib import Path

import command
import midi_scores
import midirenderer
import numpy as np
import pretty_midi
from absl import flags
from tqdm import tqdm

from gst_jax import corpus, sound

COUNTS = {"validation": 8, "test": 8}

_BANK = flags.DEFINE_string("bank", None, "General MIDI sound bank, .sf2", required=True)
_MMA = flags.DEFINE_string("mma", "mma", "the program mma; nothing: leave its set out")
_OUT = flags.DEFINE_string("out", None, "folder to make", required=True)


def main() -> None:
    """Render every file that is missing."""
    bank, out = Path(_BANK.value).read_bytes(), Path(_OUT.value)
    jobs = [
        (kind, split, genre, number)
        for kind in ("bank", "mma")[: 2 if _MMA.value else 1]
        for split, count in COUNTS.items()
        for genre in corpus.GENRES
        for number in range(count)
    ]
    for kind, split, genre, number in tqdm(jobs, unit="file"):
        path = out / kind / split / genre / f"{number:02}.flac"
        if not path.exists():
            if kind == "bank":
                score = midi_scores.on_another_bank(split, genre, number)
            else:
                score = midi_scores.by_mma(_MMA.value, split, genre, number)
            path.parent.mkdir(parents=True, exist_ok=True)
            sound.write_wave(path, play(score, bank), 48_000, subtype="PCM_16", format="FLAC")


def play(score: pretty_midi.PrettyMIDI, bank: bytes) -> np.ndarray:
    """Render a score: float32 [N, 2] at 48 kHz, peak at -1 dBFS."""
    midi = io.BytesIO()
    score.write(midi)
    with wave.open(io.BytesIO(midirenderer.render_wave_from(bank, midi.getvalue()))) as reader:
        frames = np.frombuffer(reader.readframes(reader.getnframes()), dtype="<i2").reshape(-1, 2) / 32768.0
    return (0.89 / np.abs(frames).max() * frames).astype(np.float32)


if __name__ == "__main__":
    command.run(main)
