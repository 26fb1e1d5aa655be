"""Write a band's part as a MIDI file whose bars are those of the song."""

from __future__ import annotations

import os
from collections.abc import Sequence

import mido
import numpy as np

from gst_jax.band import playing
from gst_jax.band.lead_sheet import LeadSheet
from gst_jax.runs.atomic import replacing
from gst_jax.types import Array

_TICKS = 960  # in a beat
_DRUMS = 9  # General MIDI's channel of drums
_HIT = 0.1  # seconds that a stroke is held
# What comes closest, in General MIDI, to instruments that are modelled.
_PROGRAMS = {"dotara": 105, "lute": 24, "tanpura": 104}  # banjo, guitar, sitar
_KEYS = {"low": 64, "back": 60, "ghost": 61, "tick": 60, "open": 63, "high": 60, "ride": 53, "crash": 55}


def write(path: str | os.PathLike[str], sheet: LeadSheet, genre: str) -> None:
    """Write what `playing.play` plays, a track for each player, in the song's time.

    Args:
        path: the MIDI file, replaced whole.
        sheet: the song.
        genre: one of `playing.GENRES`.

    Raises:
        OSError: when it cannot be written.
    """
    arrangement, players = playing.arrange(sheet, genre), playing.seat(genre)
    times, ticks, tempo = _grid(sheet)
    file = mido.MidiFile(ticks_per_beat=_TICKS)
    file.tracks.append(_track("tempo", tempo))

    def at(seconds: float) -> int:
        return round(float(np.interp(seconds, times, ticks)))

    for channel, (role, notes) in enumerate(arrangement.parts.items()):
        player = players.instruments[role]
        program = _PROGRAMS[player.model] if player.model else player.program
        wheel = int(np.clip(round(sheet.tuning / 100 * 4096), -8192, 8191))
        events = [
            (0, mido.Message("program_change", channel=channel, program=program)),
            (0, mido.Message("pitchwheel", channel=channel, pitch=wheel)),
        ]
        for note in notes:
            events += _note(channel, note.pitch, note.velocity, at(note.onset), at(note.onset + note.duration))
        file.tracks.append(_track(role, events))
    keys = _KEYS | dict(players.kit.keys)
    strokes = []
    for hit in arrangement.drums:
        strokes += _note(_DRUMS, keys[hit.stroke], hit.velocity, at(hit.onset), at(hit.onset + _HIT))
    file.tracks.append(_track("drums", strokes))
    with replacing(path) as temporary:
        file.save(temporary)


def _grid(sheet: LeadSheet) -> tuple[Array, Array, list[tuple[int, mido.MetaMessage]]]:
    """Return moments with their ticks, and the tempo of each beat: whole bars before the song's first one, too."""
    beat = float(np.diff(sheet.beats).mean())
    before = sheet.meter * max(1, round(sheet.beats[0] / (sheet.meter * beat))) if sheet.beats[0] > 0 else 0
    intro = np.linspace(0, sheet.beats[0], before, endpoint=False)
    times = np.concatenate([intro, sheet.beats])
    ticks = _TICKS * np.arange(len(times))
    events = [(0, mido.MetaMessage("time_signature", numerator=sheet.meter, denominator=4))]
    for tick, seconds in zip(ticks, np.diff(times), strict=False):
        events.append((int(tick), mido.MetaMessage("set_tempo", tempo=round(1e6 * float(seconds)))))
    # Beyond the last beat a chord rings on at the last tempo.
    last = times[-1] + (times[-1] - times[-2])
    return np.append(times, last), np.append(ticks, ticks[-1] + _TICKS), events


def _note(channel: int, pitch: int, velocity: int, start: int, end: int) -> list[tuple[int, mido.Message]]:
    return [
        (start, mido.Message("note_on", channel=channel, note=pitch, velocity=velocity)),
        (max(end, start + 1), mido.Message("note_off", channel=channel, note=pitch)),
    ]


def _track(name: str, events: Sequence[tuple[int, mido.Message | mido.MetaMessage]]) -> mido.MidiTrack:
    """Return a track of events at ticks; where one note ends as another begins, the end comes first."""
    track = mido.MidiTrack([mido.MetaMessage("track_name", name=name)])
    now = 0
    for tick, message in sorted(events, key=lambda event: (event[0], event[1].type == "note_on")):
        track.append(message.copy(time=tick - now))
        now = tick
    return track
