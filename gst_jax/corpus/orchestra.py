"""Say which instruments a genre gives to each role of an arrangement."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Instrument:
    """How a role sounds."""

    program: int = -1  # General MIDI, when the bank plays it
    model: str = ""  # of `strings`, when it is modelled
    low: int = 48  # comfortable range, MIDI pitches
    high: int = 84
    level: float = 0.0  # dB
    pan: float = 0.0  # -1 left to 1 right
    room: float = 0.2  # share sent to the room
    drive: float | None = None  # dB into the amplifier, None for no amplifier
    takes: int = 1  # played twice: once to the left, once to the right
    echo: float = 0.0


@dataclass(frozen=True)
class Kit:
    """A drum set: modelled (`percussion`) or of the bank, with the key of each stroke."""

    model: str = ""
    program: int = 0
    keys: tuple[tuple[str, int], ...] = ()
    level: float = 0.0
    room: float = 0.15


@dataclass(frozen=True)
class Orchestration:
    """The instruments of one recording, by role, with its drums, its room, its loudness."""

    instruments: dict[str, Instrument]
    kit: Kit
    room_seconds: float
    room_brightness: float
    saturation: float  # dB into the final soft clipper


_ROCK_KEYS = (
    ("low", 36),
    ("back", 38),
    ("ghost", 38),
    ("tick", 42),
    ("open", 46),
    ("high", 50),
    ("mid", 47),
    ("floor", 43),
    ("ride", 51),
    ("crash", 49),
)
_JAZZ_KEYS = (
    ("low", 36),
    ("back", 38),
    ("ghost", 37),
    ("tick", 44),
    ("open", 45),
    ("high", 48),
    ("mid", 45),
    ("floor", 41),
    ("ride", 51),
    ("crash", 59),
)

# Instruments at the same seat of a role are each other's counterparts: when folk's flute plays, jazz's tenor would.
_SEATS: dict[str, dict[str, tuple[Instrument, ...]]] = {
    "folk": {
        "lead": (
            Instrument(program=73, low=65, high=86, room=0.35),  # flute, for a bansuri
            Instrument(program=111, low=62, high=82, level=-2, room=0.35),  # shehnai
            Instrument(program=110, low=58, high=82, level=-1, room=0.3),  # fiddle, for an esraj
            Instrument(model="dotara", low=55, high=79, level=2, room=0.2),
        ),
        "harmony": (Instrument(program=73, low=60, high=80, level=-6, pan=0.3, room=0.35),),
        "chords": (
            Instrument(model="dotara", low=48, high=76, level=-3, pan=-0.35),
            Instrument(program=107, low=48, high=76, level=-4, pan=-0.35),  # koto, for a swarmandal
            Instrument(program=106, low=48, high=76, level=-4, pan=-0.35),  # shamisen
            Instrument(program=104, low=48, high=76, level=-5, pan=-0.35),  # sitar
        ),
        "pad": (
            Instrument(program=20, low=48, high=76, level=-11, pan=0.3),  # reed organ, for a harmonium
            Instrument(program=21, low=48, high=76, level=-12, pan=0.3),
        ),
        "drone": (Instrument(model="tanpura", low=40, high=66, level=-11, room=0.3),),
        "bass": (Instrument(model="lute", low=33, high=52, level=-5, room=0.1),),
    },
    "rock": {
        "lead": (
            Instrument(program=29, low=57, high=84, drive=20, echo=0.25),
            Instrument(program=30, low=57, high=84, drive=30, echo=0.25),
            Instrument(program=30, low=55, high=84, drive=24, echo=0.3),
            Instrument(program=27, low=52, high=79, drive=28, echo=0.2),
        ),
        "harmony": (Instrument(program=30, low=57, high=84, drive=28, level=-5, pan=-0.4),),
        "chords": (
            Instrument(program=30, low=40, high=67, level=-1, drive=30, takes=2, room=0.08),
            Instrument(program=29, low=40, high=67, level=-1, drive=34, takes=2, room=0.08),
            Instrument(program=27, low=40, high=67, level=-1, drive=36, takes=2, room=0.08),
            Instrument(program=29, low=40, high=67, level=-1, drive=26, takes=2, room=0.08),
        ),
        "pad": (
            Instrument(program=18, low=52, high=79, level=-10, pan=0.2, drive=8),
            Instrument(program=16, low=52, high=79, level=-10, pan=0.2, drive=14),
        ),
        "drone": (Instrument(program=27, low=45, high=70, level=-10, pan=-0.2, drive=12),),
        "bass": (
            Instrument(program=34, low=28, high=50, level=-2, room=0.02, drive=8),
            Instrument(program=33, low=28, high=50, level=-2, room=0.02, drive=4),
        ),
    },
    "jazz": {
        "lead": (
            Instrument(program=66, low=52, high=79, room=0.25),
            Instrument(program=56, low=57, high=81, level=-1, room=0.25),
            Instrument(program=65, low=56, high=81, level=-1, room=0.25),
            Instrument(program=26, low=50, high=76, level=1, room=0.2, drive=0),
        ),
        "harmony": (Instrument(program=57, low=45, high=70, level=-6, pan=0.3),),
        "chords": (
            Instrument(program=0, low=48, high=76, level=-4, pan=-0.3),
            Instrument(program=26, low=48, high=74, level=-5, pan=-0.3),
            Instrument(program=4, low=48, high=76, level=-5, pan=-0.3),
            Instrument(program=0, low=48, high=76, level=-3, pan=-0.3),
        ),
        "pad": (
            Instrument(program=11, low=53, high=79, level=-11, pan=0.35, room=0.3),
            Instrument(program=16, low=53, high=79, level=-13, pan=0.35),
        ),
        "drone": (Instrument(program=26, low=43, high=67, level=-12, pan=0.2),),
        "bass": (
            Instrument(program=32, low=28, high=50, level=-2, room=0.06),
            Instrument(program=32, low=28, high=50, level=-3, room=0.06),
        ),
    },
}
_KITS = {
    "folk": (Kit(model="tabla", level=-2), Kit(model="dhol", level=-2)),
    "rock": (Kit(program=16, keys=_ROCK_KEYS, level=2), Kit(program=8, keys=_ROCK_KEYS, level=2)),
    "jazz": (
        Kit(program=40, keys=_JAZZ_KEYS, level=-4, room=0.12),
        Kit(program=0, keys=_JAZZ_KEYS, level=-5, room=0.12),
    ),
}
# Seconds of reverberation (from, to), brightness, dB into the final clipper.
_ROOMS = {"folk": ((0.9, 1.5), 0.5, -3.0), "rock": ((0.5, 0.9), 0.8, 3.0), "jazz": ((0.6, 1.0), 0.35, -3.0)}


def orchestrate(genre: str, seats: dict[str, int], rng: np.random.Generator) -> Orchestration:
    """Seat the players of a genre.

    Args:
        genre: a key of the tables above.
        seats: any non-negative number for each role and for "drums"; taken modulo the players there are.
        rng: decides the room.
    """
    players = {role: choice[seats[role] % len(choice)] for role, choice in _SEATS[genre].items()}
    (shortest, longest), brightness, saturation = _ROOMS[genre]
    return Orchestration(
        instruments=players,
        kit=_KITS[genre][seats["drums"] % len(_KITS[genre])],
        room_seconds=round(float(rng.uniform(shortest, longest)), 1),
        room_brightness=brightness,
        saturation=saturation + float(rng.uniform(-1, 1)),
    )


def draw_seats(rng: np.random.Generator) -> dict[str, int]:
    """Choose a seat for each role."""
    return {role: int(rng.integers(12)) for role in ("lead", "harmony", "chords", "pad", "drone", "bass", "drums")}
