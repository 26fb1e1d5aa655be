"""Write the page that shows a run, for the ear and for the eye, in one HTML file of less than 3 MB."""

from __future__ import annotations

import html
import json
import os
from pathlib import Path
from typing import Any

from gst_jax import sound
from gst_jax.presentation import ages, listening, player, sections
from gst_jax.presentation.listening import Song
from gst_jax.presentation.pictures import draw_curves, draw_spectrograms
from gst_jax.presentation.player import Version
from gst_jax.runs.atomic import replacing, write_text
from gst_jax.runs.directory import RunDirectory
from gst_jax.types import Progress

Player = dict[str, Any]  # from `player.player`


def write(
    run_dir: str | os.PathLike[str], progress: Progress | None = None, out: str | os.PathLike[str] | None = None
) -> Path:
    """Convert songs in both directions, then write the page that plays them and says how the run went.

    The songs were not trained on, where there are such. Every file is replaced whole. It may be called while another
    process trains the run: it reads what was saved.

    Args:
        run_dir: of a run with a checkpoint, or a bundled one.
        progress: called like `tqdm.tqdm` on the songs.
        out: where the page goes, alone; None is into the run, with sounds and pictures as files beside it.

    Returns:
        The path of the page.

    Raises:
        ConfigError, CheckpointError, AudioError: when there is no such run, it learned nothing yet, or its audio
            changed.
    """
    run = RunDirectory.open(run_dir)
    found = listening.songs(run)
    shown = found if progress is None else progress(found, desc="samples", unit="song")
    songs = [(song, listening.versions(run, song)) for song in shown]
    players = [_player(song, versions) for song, versions in songs]
    if out is not None:
        write_text(out, page(run, players))
        return Path(out)
    run.sweep()
    run.samples.mkdir(exist_ok=True)
    run.pictures.mkdir(exist_ok=True)
    samples = _samples(songs)
    for name, sample in samples.items():
        sound.write_wave(run.samples / f"{name}.wav", sample.samples, sample.sample_rate, "PCM_16")
    curves = draw_curves(sections.lines(run.log), sections.lines(run.measures), run.config)
    _save(curves, run.pictures / "training_curves.png")
    _save(draw_spectrograms(run, samples), run.pictures / "spectrograms.png")
    write_text(run.players, json.dumps(players))
    ages.add_best(run)
    return refresh(run)


def refresh(run: RunDirectory) -> Path:
    """Write the page anew with what there is of the run: it takes a moment, and converts nothing.

    Returns:
        The path of the page.
    """
    write_text(run.report, page(run, sections.stored(run.players)))
    return run.report


def page(run: RunDirectory, players: list[Player]) -> str:
    """Return the page of a run as HTML.

    Args:
        run: with what it logged, measured, and converted at several ages.
        players: of its songs.
    """
    a, b = run.pair
    parts = [
        f"<h1>{html.escape(a.capitalize())} ⇄ {html.escape(b)}</h1>",
        f'<p class="lead">{sections.where(run)}</p>',
        sections.listen(players),
        sections.learning(run),
        sections.held_out(run),
        sections.losses(run),
        sections.evaluated(run),
        sections.settings(run),
    ]
    return player.page(f"{a} ⇄ {b}", "\n".join(filter(None, parts)))


def _player(song: Song, versions: list[Version]) -> Player:
    """Return the player of a song."""
    title = f"{song.source.capitalize()} to {song.target}, {song.name}"
    file = f"{song.source}_to_{song.target}_{song.name.replace(' ', '_')}"
    hint = "" if song.truth is None else f"True {song.target} is this tune, arranged and played as {song.target}."
    return player.player(title, [player.entry(version, file) for version in versions], song.target, hint)


def _samples(songs: list[tuple[Song, list[Version]]]) -> dict[str, sound.Sound]:
    """Return the first song of each direction and its conversions by the names of their files."""
    found: dict[str, sound.Sound] = {}
    for song, versions in songs:
        conversion = f"fake_{song.target}_from_{song.source}"
        for version in versions:
            is_whole = version.strength == 1
            name = f"real_{song.source}" if version is versions[0] else conversion if is_whole else None
            if name is not None:
                name += "-band" if version.has_band else ""
                found.setdefault(name, sound.Sound(version.samples, version.sample_rate, "WAV", "PCM_16"))
    return found


def _save(figure: Any, path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
