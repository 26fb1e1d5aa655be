"""Look over music before training: what is there, and how long it will take.

For example:

  gst_jax prepare --audio_dir=my_music
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from absl import flags

from gst_jax.runs import command_line

if TYPE_CHECKING:
    from gst_jax.config import Config
    from gst_jax.data import Genre

_PAIR = flags.DEFINE_string(
    "pair", None, "two genres, as in folk_jazz; all: folk_rock, then folk_jazz (default: the two folders, or all)"
)
_AUDIO_DIRS = flags.DEFINE_multi_string(
    "audio_dir", [], "folder of one folder per genre, or corpus: the built-in one (default); may be repeated"
)
_CONFIG = flags.DEFINE_string(
    "config", None, "TOML file of settings (or a bundled name: full, pictures, smoke; default: frames)"
)
_SET = flags.DEFINE_multi_string("set", [], "one setting, as training.epochs=3; may be repeated")


def main() -> None:
    """Render or decode the audio of each pair; print what there is, and how long training on it will take."""
    from gst_jax.runs import startup

    startup.prepare()
    with startup.plain_messages():
        from gst_jax import config, data

        audio_dirs = data.find_audio_dirs(_AUDIO_DIRS.value)
        pairs = data.find_pairs(_PAIR.value, audio_dirs, default="all")
        _prepare({"_".join(pair): pair for pair in pairs}, audio_dirs, config.load(_CONFIG.value, _SET.value))


def _prepare(pairs: dict[str, tuple[str, str]], audio_dirs: tuple[str, ...], settings: Config) -> None:
    from gst_jax import data
    from gst_jax.runs.terminal import Bar, clock_time, say

    settings = data.settings_for(audio_dirs, settings)
    names = list(dict.fromkeys(genre for pair in pairs.values() for genre in pair))
    genres = {genre.name: genre for genre in data.load_each(names, audio_dirs, settings, Bar)}
    _print_genres(genres)
    looked_at = [data.cautions(genres[a], genres[b], settings.audio) for a, b in pairs.values()]
    for caution in dict.fromkeys(itertools.chain(*looked_at)):  # two pairs may share a genre
        say(caution)
    batches = {name: data.Batches(genres[a], genres[b], settings) for name, (a, b) in pairs.items()}
    say("compiling, then timing a few batches")

    from gst_jax.speed import estimate  # JAX starts only once the audio is known to be good

    pace = estimate.measure_pace(next(iter(batches.values())), settings, Bar)
    for name, served in batches.items():
        needed, count = clock_time(pace.training_seconds(served, settings)), settings.training.epochs
        epochs = f"{count} epoch{'s' if count > 1 else ''}"
        print(
            f"training {name} will take {needed} on this machine, or less:\n  {epochs} of "
            f"{served.steps_per_epoch} batches, {pace.step_seconds:.2g} s each"
        )


def _print_genres(genres: dict[str, Genre]) -> None:
    """Print a table of the genres, then the files left out."""
    width = max(len("genre"), *map(len, genres))
    print(f"{'genre':<{width}}  training tracks  minutes  held-out tracks  unusable files")
    for name, genre in genres.items():
        counts = f"{len(genre.recordings):>15}  {genre.minutes:>7.1f}  {len(genre.held_out):>15}"
        print(f"{name:<{width}}  {counts}  {len(genre.skipped):>14}")
    for genre in genres.values():
        for path, reason in genre.skipped:
            print(f"not used: {path}: {reason}")


if __name__ == "__main__":
    command_line.run(main)
