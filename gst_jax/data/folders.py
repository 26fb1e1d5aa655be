"""Find the folders of a genre, and the files in them."""

from __future__ import annotations

import itertools
import os
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gst_jax import sound
from gst_jax.data.shards import Key, size_and_time
from gst_jax.sound import AudioError


@dataclass(frozen=True)
class Folders:
    """The folders whose files, together, are a genre."""

    genre: str
    paths: tuple[Path, ...]
    corpus: Path | None = None  # the one of them that is of the built-in corpus; none of its files is held out

    def key(self, path: Path) -> Key:
        """Return what tells a file from all others, and from itself before it was changed."""
        name, starts = str(path), [f"{folder}{os.sep}" for folder in self.paths]  # pathlib takes its time
        number = next(number for number, start in enumerate(starts) if name.startswith(start))
        return (number, name.removeprefix(starts[number]), *size_and_time(path))

    def sound_files(self) -> list[Path]:
        """List the files, or say which of the folders is empty.

        Raises:
            AudioError: when one is.
        """
        found = []
        for folder in self.paths:
            files = sound.find_audio(folder)
            if not files:
                foreign = sound.find_audio(folder, sound.FOREIGN_SUFFIXES)
                what = f"only sound that cannot be read, such as {foreign[0].name}" if foreign else "no sound file"
                raise AudioError(f"{folder} holds {what}; put WAV, FLAC, OGG or MP3 files there")
            found += files
        return found

    def foreign_files(self) -> list[Path]:
        """List the files of music that nothing here reads."""
        return [path for folder in self.paths for path in sound.find_audio(folder, sound.FOREIGN_SUFFIXES)]

    def keys(self) -> set[Key]:
        """Return what shows, later, that a file was added, changed or removed."""
        return {self.key(path) for path in (*self.sound_files(), *self.foreign_files())}


def folders_of(
    name: str, audio_dirs: Sequence[str | os.PathLike[str]], corpus_dir: str | os.PathLike[str] | None
) -> Folders:
    """Return the folders of a genre, or say that there is none."""
    places = [Path(place) for place in (*audio_dirs, corpus_dir) if place is not None]
    paths = find_folders(name, places)
    if not paths:
        raise missing(name, {str(place): genre_folders(place) for place in places})
    corpus = next((path for path in paths if corpus_dir is not None and path.parent == Path(corpus_dir)), None)
    return Folders(name, tuple(paths), corpus)


def refuse_shared(everything: Sequence[Folders]) -> None:
    """Raise an AudioError when a file would be taken twice."""
    for one, other in itertools.combinations([path for folders in everything for path in folders.paths], 2):
        if one.samefile(other):
            raise AudioError(f"{one} and {other} are one and the same folder; give each genre recordings of its own")
    for folders in everything:
        for one, other in itertools.permutations(folders.paths, 2):
            if one.resolve().is_relative_to(other.resolve()):
                raise AudioError(f"{one} lies in {other}, so that its files would train twice; leave one of them out")


def genre_folders(audio_dir: Path) -> list[str]:
    """Name the folders of an audio folder, one per genre.

    Raises:
        AudioError: when there is no such folder.
    """
    if not audio_dir.is_dir():
        raise AudioError(f"there is no folder {audio_dir}; the audio folder must hold one folder per genre")
    return sorted(path.name for path in audio_dir.iterdir() if path.is_dir() and not path.name.startswith("."))


def find_folders(genre: str, audio_dirs: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Return the folders of a genre in the audio folders that hold it, in their order.

    Raises:
        AudioError: when there is no such audio folder.
    """
    found = []
    for audio_dir in map(Path, audio_dirs):
        alike = [name for name in genre_folders(audio_dir) if composed(name) == composed(genre)]
        found += [audio_dir / name for name in ([genre] if (audio_dir / genre).is_dir() else alike[:1])]
    return found


def missing(genre: str, held: Mapping[str, Sequence[str]]) -> AudioError:
    """Return what to say of a genre that no audio folder holds: `held` are the genres of each."""
    there = listed({name for names in held.values() for name in names}) or "no folder at all"
    has, holds, make = ("has", "it holds", "make it") if len(held) == 1 else ("have", "they hold", "make it in one")
    return AudioError(
        f"{' and '.join(held)} {has} no folder {genre!r}; {holds} {there}: {make}, or name another pair"
    )


def listed(names: Collection[str]) -> str:
    """Join names in order; of many, as a home folder holds, the first will do."""
    return ", ".join(sorted(names)[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def composed(text: str) -> str:
    """Return the one encoding of a text, where accented and Bangla letters have two."""
    return unicodedata.normalize("NFC", text)
