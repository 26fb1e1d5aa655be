"""Write scores for a General MIDI synthesizer: tunes of the corpus, and tunes that MMA arranges."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pretty_midi

from gst_jax import corpus
from gst_jax.corpus import library
from gst_jax.corpus.arrangement import Hit
from gst_jax.corpus.composition import Tune, compose
from gst_jax.corpus.orchestra import draw_seats, orchestrate

Random = np.random.Generator
Timed = tuple[float, float, int, int]  # a note: onset and length in seconds, MIDI pitch, velocity

# General MIDI in place of what the corpus models.
PROGRAMS = {"dotara": 105, "tanpura": 104, "lute": 24}
HAND_DRUMS = {"low": 64, "back": 60, "ghost": 61, "tick": 54, "open": 63, "high": 60, "mid": 62, "floor": 64}
HAND_DRUMS |= {"ride": 69, "crash": 54}
GROOVES = {
    "folk": ("Folk", "FolkBallad", "GuitarBallad", "BlueGrass", "FolkWalk", "HillCountry"),
    "rock": ("HeavyMetal", "BasicRock", "Rock1", "60sRock", "Rock128", "SoftRock"),
    "jazz": ("Swing", "EasySwing", "JazzCombo", "Bebop", "NiteJazz", "JazzGuitar"),
}
NOTES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
SOLOISTS = {"folk": (73, 110, 105, 22), "rock": (29, 30, 30, 29), "jazz": (66, 56, 65, 11)}


def on_another_bank(split: str, genre: str, number: int) -> pretty_midi.PrettyMIDI:
    """Seat a tune of the corpus at General MIDI instruments, balanced and panned anew."""
    arrangement = library.arrangement_of(library.CorpusFile("", split, number, genre, genre))
    rng = np.random.default_rng([ord(split[0]), number, corpus.GENRES.index(genre)])
    seats = orchestrate(genre, draw_seats(rng), rng)
    score = pretty_midi.PrettyMIDI(resolution=960)
    for role, notes in arrangement.parts.items():
        player = seats.instruments[role]
        program = PROGRAMS.get(player.model, player.program)
        middle = float(np.median([note.pitch for note in notes]))
        shift = 12 * round(((player.low + player.high) / 2 - middle) / 12)
        add(score, program, [(n.onset, n.duration, n.pitch + shift, n.velocity) for n in notes], player.level, rng)
    add_drums(score, arrangement.drums, dict(seats.kit.keys) or HAND_DRUMS, seats.kit.program, rng)
    return score


def by_mma(mma: str, split: str, genre: str, number: int) -> pretty_midi.PrettyMIDI:
    """Let the program `mma` play the chords of a new tune, and add its melody."""
    rng = np.random.default_rng([7, ord(split[0]), number, corpus.GENRES.index(genre)])
    tune = next(tune for tune in iter(lambda: compose(rng, 20.0, (96, 132)), None) if tune.meter == 4)
    with tempfile.TemporaryDirectory() as folder:
        file, midi = Path(folder, "tune.mma"), Path(folder, "tune.mid")
        bars = "\n".join(f"{bar + 1} {chord_name(tune, bar)}" for bar in range(tune.bars))
        groove = GROOVES[genre][number % len(GROOVES[genre])]
        file.write_text(f"Tempo {tune.tempo}\nGroove {groove}\n{bars}\n", encoding="ascii")
        subprocess.run([mma, "-f", midi, file], check=True, capture_output=True)
        score = pretty_midi.PrettyMIDI(str(midi))
    beat, octave = tune.beat_seconds, 4 if genre == "jazz" else 5
    solo = [(t.onset * beat, 0.95 * t.duration * beat, tune.pitch(t.degree, octave), 96) for t in tune.melody]
    soloists = SOLOISTS[genre]
    add(score, soloists[number % len(soloists)], solo, 0.0, rng)
    return score


def chord_name(tune: Tune, bar: int) -> str:
    """Name the triad of a bar as MMA wants it."""
    root, third, fifth = tune.chord(bar)
    kinds = {(4, 7): "", (3, 7): "m", (3, 6): "dim", (4, 8): "aug"}
    return NOTES[root % 12] + kinds[third - root, fifth - root]


def add(score: pretty_midi.PrettyMIDI, program: int, notes: Sequence[Timed], level: float, rng: Random) -> None:
    """Seat one more player, somewhere in the room."""
    player = pretty_midi.Instrument(program)
    player.notes = [pretty_midi.Note(velocity, pitch, on, on + seconds) for on, seconds, pitch, velocity in notes]
    player.control_changes = mixed(level, rng)
    score.instruments.append(player)


def add_drums(
    score: pretty_midi.PrettyMIDI, hits: Sequence[Hit], keys: dict[str, int], kit: int, rng: Random
) -> None:
    """Seat the drummer."""
    player = pretty_midi.Instrument(kit, is_drum=True)
    player.notes = [pretty_midi.Note(hit.velocity, keys[hit.stroke], hit.onset, hit.onset + 0.1) for hit in hits]
    player.control_changes = mixed(0.0, rng)
    score.instruments.append(player)


def mixed(level: float, rng: Random) -> list[pretty_midi.ControlChange]:
    """Return volume, pan and room of a player."""
    volume = 90 * 10 ** ((level + rng.normal(0, 1.5)) / 40)
    values = {7: volume, 10: rng.uniform(24, 104), 91: rng.uniform(20, 70), 93: 0}
    return [pretty_midi.ControlChange(number, int(np.clip(value, 0, 127)), 0.0) for number, value in values.items()]
