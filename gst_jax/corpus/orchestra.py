"""Choose the instruments that play the roles of an arrangement in each genre."""

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
    takes: int = 1  # 2: played twice, once to the left, once to the right
    echo: float = 0.0  # gain of its first repeat
    tone: float | None = None  # Hz above which the sound is softened


@dataclass(frozen=True)
class Kit:
    """A drum set: modelled (`percussion`) or of the bank, with the key of each stroke."""

    model: str = ""
    program: int = 0
    keys: tuple[tuple[str, int], ...] = ()
    level: float = 0.0  # dB
    room: float = 0.15  # share sent to the room
    tone: float | None = None  # Hz above which the sound is softened


@dataclass(frozen=True)
class Orchestration:
    """The instruments of one recording, and how it is mixed."""

    instruments: dict[str, Instrument]  # by role
    kit: Kit
    room_seconds: float  # reverberation time
    room_brightness: float  # 0 dull to 1 bright
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
            Instrument(program=73, low=65, high=86, level=-1, room=0.35),  # flute, for a bansuri
            Instrument(program=111, low=62, high=82, level=-4, room=0.35, tone=3500),  # shehnai
            Instrument(program=110, low=58, high=82, level=-3, room=0.3, tone=3500),  # fiddle, for an esraj
            Instrument(model="dotara", low=55, high=79, level=2, room=0.2),
        ),
        "harmony": (
            Instrument(program=75, low=58, high=79, level=-5, pan=0.35, room=0.35),  # pan flute
            Instrument(program=104, low=50, high=74, level=-3, pan=0.35, tone=4000),  # sitar
            Instrument(model="dotara", low=48, high=72, level=-2, pan=0.35),
        ),
        "chords": (
            Instrument(model="dotara", low=48, high=76, level=0, pan=-0.35),
            Instrument(program=107, low=48, high=76, level=-1, pan=-0.35),  # koto, for a swarmandal
            Instrument(program=106, low=48, high=76, level=-1, pan=-0.35),  # shamisen
            Instrument(program=104, low=48, high=76, level=-2, pan=-0.35, tone=4000),
        ),
        "pad": (
            Instrument(program=20, low=48, high=76, level=-13, pan=0.3, tone=3000),  # reed organ, for a harmonium
            Instrument(program=21, low=48, high=76, level=-14, pan=0.3, tone=3000),
        ),
        "drone": (Instrument(model="tanpura", low=40, high=66, level=-14, room=0.3, tone=2500),),
        "bass": (Instrument(model="lute", low=33, high=52, level=-1, room=0.1),),
    },
    "rock": {
        "lead": (
            Instrument(program=29, low=57, high=84, level=-3, drive=20, echo=0.25),
            Instrument(program=30, low=57, high=84, level=-3, drive=30, echo=0.25),
            Instrument(program=30, low=55, high=84, level=-3, drive=24, echo=0.3),
            Instrument(program=27, low=52, high=79, level=-2, drive=28, echo=0.2),
        ),
        "harmony": (
            Instrument(program=30, low=57, high=84, drive=28, level=-6, pan=-0.4),
            Instrument(program=29, low=55, high=82, drive=24, level=-6, pan=-0.4),
        ),
        "chords": (
            Instrument(program=30, low=40, high=67, level=-1, drive=30, takes=2, room=0.08),
            Instrument(program=29, low=40, high=67, level=-1, drive=34, takes=2, room=0.08),
            Instrument(program=27, low=40, high=67, level=-1, drive=36, takes=2, room=0.08),
            Instrument(program=29, low=40, high=67, level=-1, drive=26, takes=2, room=0.08),
        ),
        "pad": (
            Instrument(program=18, low=52, high=79, level=-11, pan=0.2, drive=8),
            Instrument(program=16, low=52, high=79, level=-11, pan=0.2, drive=14),
        ),
        "drone": (Instrument(program=27, low=45, high=70, level=-12, pan=-0.2, drive=12),),
        "bass": (
            Instrument(program=34, low=28, high=50, level=2, room=0.02, drive=8, tone=2500),
            Instrument(program=33, low=28, high=50, level=2, room=0.02, drive=4, tone=2500),
        ),
    },
    "jazz": {
        "lead": (
            Instrument(program=66, low=52, high=79, level=-2, room=0.25, tone=3500),
            Instrument(program=56, low=57, high=81, level=-4, room=0.25, tone=2200),
            Instrument(program=65, low=56, high=81, level=-4, room=0.25, tone=2200),
            Instrument(program=26, low=50, high=76, level=1, room=0.2, tone=2500),
        ),
        "harmony": (
            Instrument(program=57, low=45, high=70, level=-6, pan=0.3, tone=2500),  # trombone
            Instrument(program=71, low=50, high=77, level=-6, pan=0.3, tone=3000),  # clarinet
            Instrument(program=11, low=53, high=79, level=-4, pan=0.3),  # vibraphone
        ),
        "chords": (
            Instrument(program=0, low=48, high=76, level=-2, pan=-0.3, tone=4000),
            Instrument(program=26, low=48, high=74, level=-3, pan=-0.3, tone=3000),
            Instrument(program=4, low=48, high=76, level=-3, pan=-0.3),
            Instrument(program=0, low=48, high=76, level=-1, pan=-0.3, tone=4000),
        ),
        "pad": (
            Instrument(program=11, low=53, high=79, level=-11, pan=0.35, room=0.3),
            Instrument(program=16, low=53, high=79, level=-15, pan=0.35, tone=2000),
        ),
        "drone": (Instrument(program=26, low=43, high=67, level=-13, pan=0.2, tone=2500),),
        "bass": (
            Instrument(program=32, low=28, high=50, level=2, room=0.06),
            Instrument(program=32, low=28, high=50, level=1, room=0.06, tone=1500),
        ),
    },
}
_KITS = {
    "folk": (Kit(model="tabla", level=2), Kit(model="dhol", level=2)),
    "rock": (Kit(program=16, keys=_ROCK_KEYS, level=7), Kit(program=8, keys=_ROCK_KEYS, level=7)),
    "jazz": (
        Kit(program=40, keys=_JAZZ_KEYS, level=-2, tone=3500),
        Kit(program=0, keys=_JAZZ_KEYS, level=-3, tone=3500),
    ),
}
# Seconds of reverberation (from, to), brightness, dB into the final clipper.
_ROOMS = {"folk": ((0.9, 1.5), 0.4, -4.0), "rock": ((0.5, 0.9), 0.8, 2.0), "jazz": ((0.6, 1.0), 0.3, -4.0)}


def orchestrate(genre: str, seats: dict[str, int], rng: np.random.Generator) -> Orchestration:
    """Seat the players of a genre.

    Args:
        genre: a key of the tables above.
        seats: from `draw_seats`: for each role, and for "drums", the number of a player, modulo how many there are.
        rng: chooses the room.
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
    """Draw a seat for each role, the same for all genres."""
    return {role: int(rng.integers(12)) for role in ("lead", "harmony", "chords", "pad", "drone", "bass", "drums")}
