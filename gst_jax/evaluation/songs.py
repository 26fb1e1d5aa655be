"""Gather what a run is evaluated on: songs that it never trained on, and real music of both genres."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from gst_jax import corpus, data, sound
from gst_jax.config import AudioConfig, ConfigError, DataConfig
from gst_jax.corpus import library
from gst_jax.runs import directory
from gst_jax.runs.directory import RunDirectory
from gst_jax.types import Array, Progress

SPLITS = ("validation", "test")
PAIRED = ("rearranged", "reorchestrated")
_REFERENCE_FILES = 8  # per genre, beside 8 test songs
_SECONDS = 60.0  # of a long track; of all training tracks of a genre together ten times as much


@dataclass(frozen=True)
class Song:
    """A track to convert, and the sound that a perfect conversion would give, where one exists."""

    name: str
    source: Array  # [N] at the run's sample rate and level
    truths: dict[str, Array]  # by PAIRED, [N] each; empty for a song of the user's


@dataclass(frozen=True)
class Material:
    """Everything needed to evaluate one run; no track stands in two of these."""

    genres: tuple[data.Genre, data.Genre]  # that the run trained on
    songs: dict[tuple[str, str], list[Song]]  # by (source, target)
    training: dict[str, list[Array]]  # by genre, [N] each: tracks to fit the embedding to; ten of the corpus's
    reference: dict[str, list[Array]]  # by genre: real music that is neither trained on nor converted


def gather(run: RunDirectory, split: str, progress: Progress | None = None) -> Material:
    """Read the songs of a run.

    Args:
        run: says whether it trained on the built-in corpus, whose tunes are paired, or on the user's own tracks.
        split: of the built-in corpus, validation or test; the user's held-out tracks are one set.
        progress: as `tqdm.tqdm`.

    Raises:
        ConfigError: when there is nothing to evaluate on.
    """
    if split not in SPLITS:
        raise ConfigError(f"unknown split {split!r}; there are {', '.join(SPLITS)}")
    audio = run.config.audio
    genres = fitted = data.load_run(run, progress)
    if run.audio_dir is None:  # one embedding for all runs, whatever data.corpus_tracks says
        usual = data.settings_for(None, dataclasses.replace(run.config, data=DataConfig()))
        fitted = data.load_pair(run.pair, None, usual, progress)
    training = {}
    for genre in fitted:
        seconds = min(_SECONDS, max(10.0, 10 * _SECONDS / len(genre.recordings)))
        training[genre.name] = [data.read_mono(track.path, audio, seconds) for track in genre.recordings]
    directions = (run.pair, run.pair[::-1])
    if run.audio_dir is None:
        songs = {direction: _paired(split, *direction, audio) for direction in directions}
        reference = {genre: _reference(genre, audio, progress) for genre in run.pair}
        return Material(genres, songs, training, reference)
    held_out = {
        genre.name: [Song(path.stem, data.read_mono(path, audio, _SECONDS), {}) for path in genre.held_out]
        for genre in genres
    }
    for name, tracks in held_out.items():
        if not tracks:
            raise ConfigError(
                f"no track of {name} was held out of training, so nothing can be measured; train again with more "
                "tracks or a data.held_out_fraction above 0"
            )
    return Material(
        genres=genres,
        songs={(source, target): held_out[source] for source, target in directions},
        training=training,
        reference={name: [song.source for song in songs] for name, songs in held_out.items()},
    )


def _paired(split: str, source: str, target: str, audio: AudioConfig) -> list[Song]:
    """Read the tunes of the built-in corpus that both genres play."""
    root = corpus.build(corpus.default_directory()) / "paired" / split
    folders = {"rearranged": target, "reorchestrated": f"{source}_as_{target}"}
    songs = []
    for path in sound.find_audio(root / "rearranged" / source):
        tracks = {name: root / name / folder / path.name for name, folder in folders.items()}
        truths = {name: data.read_mono(track, audio) for name, track in tracks.items() if track.exists()}
        origin = data.read_mono(path, audio)
        length = min(len(waveform) for waveform in (origin, *truths.values()))
        songs.append(Song(path.stem, origin[:length], {name: truth[:length] for name, truth in truths.items()}))
    return songs


def _reference(genre: str, audio: AudioConfig, progress: Progress | None) -> list[Array]:
    """Read tunes of the built-in corpus that are in no other set; they are rendered once."""
    from gst_jax.corpus.render import SAMPLE_RATE  # here, since it loads the sound bank

    folder = directory.cache_dir() / f"reference-{corpus.VERSION}" / genre
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:02}.flac" for number in range(_REFERENCE_FILES)]
    missing = [(number, path) for number, path in enumerate(paths) if not path.exists()]
    shown = progress(missing, desc=f"{genre} to compare to", unit="file") if progress and missing else missing
    for number, path in shown:
        samples = library.samples_of(library.CorpusFile(path.name, "reference", number, genre, genre))
        sound.write_wave(path, samples, SAMPLE_RATE, subtype="PCM_16")
    return [data.read_mono(path, audio) for path in paths]
