"""Say which files would be converted into which, after checking all of it by their headers."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gst_jax import sound
from gst_jax.config import ConfigError
from gst_jax.sound import AudioError, AudioWarning

FORMATS = ("wav", "flac", "ogg", "opus", "mp3", "m4a", "aiff")
_NAME_BYTES = 255  # of a file's name, at most
_KINDS = (sound.SUFFIXES, sound.FOREIGN_SUFFIXES)


@dataclass(frozen=True)
class Job:
    """One file to convert."""

    source: Path
    target: Path
    header: sound.Header  # of the source
    kind: sound.Kind  # of the target


@dataclass(frozen=True)
class Plan:
    """What would be done, and what not."""

    jobs: list[Job]
    existing: list[Path]  # targets that are there already, and stay
    refused: list[str]  # a message for each file that cannot be converted
    foreign: list[Path]  # files of music in the folders that nothing here reads


@dataclass(frozen=True)
class Stems:
    """A folder for song and band apart, as float WAV, and the band's part as MIDI where it was arranged."""

    folder: Path
    overwrite: bool = False

    def of(self, jobs: list[Job], out: Path, midi: bool) -> list[dict[str, Path]]:
        """Return for each job the paths of the stems that may be written; those that exist are left, and said.

        Args:
            jobs: of a plan.
            out: the folder given to `plan`.
            midi: whether there are notes to write.

        Raises:
            ConfigError: when a stem would be an input or another output.
        """
        places = [self._places(job, out, midi) for job in jobs]
        stems = [(job.source, path) for job, found in zip(jobs, places, strict=True) for path in found.values()]
        _check_targets([*((job.source, job.target) for job in jobs), *stems])
        left = [] if self.overwrite else [path for _, path in stems if path.exists()]
        for path in left:
            warnings.warn(f"{path} exists and is left; --overwrite replaces it", AudioWarning, stacklevel=2)
        return [{name: path for name, path in found.items() if path not in left} for found in places]

    def _places(self, job: Job, out: Path, midi: bool) -> dict[str, Path]:
        place = self.folder / job.target.relative_to(out).with_suffix("")
        endings = {"song": ".song.wav", "band": ".band.wav"} | ({"midi": ".band.mid"} if midi else {})
        return {name: place.with_name(_shortened(place.name, ending)) for name, ending in endings.items()}


def plan(
    inputs: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    label: str,
    format: str | None = None,
    bit_rate: int = 0,
    overwrite: bool = False,
) -> Plan:
    """Say what would be written where, after checking all of it by the files' headers.

    `song.mp3` goes to `out/song.LABEL.mp3`, a folder to `out/folder/...` with its tree kept. Where `out` lies within
    such a folder, what it holds is no input: the outputs of an earlier call are not converted again.

    Args:
        inputs: files or folders.
        out: folder to write to; it need not exist.
        label: what the outputs are called by, as the genre.
        format: suffix of every output (wav, flac, ...); None keeps each input's, or takes the next best.
        bit_rate: bits per second of lossy outputs; 0: as many as the source's.
        overwrite: whether to replace files that exist.

    Raises:
        ConfigError: when there is nothing to do, or an output would be an input or another's output.
        AudioError: when an input does not exist, or a folder holds no sound.
    """
    if format is not None and format not in FORMATS:
        raise ConfigError(f"--format={format!r} is not one of {', '.join(FORMATS)}")
    found, foreign = _found(inputs, Path(out))
    if not found:
        raise ConfigError("nothing to convert: name at least one file or folder, as in --out=converted song.mp3")
    jobs: list[Job] = []
    refused = []
    for source, place in found:
        try:
            jobs.append(_job(source, Path(out, place), label, format, bit_rate))
        except AudioError as error:
            refused.append(str(error))
    _check_targets([(job.source, job.target) for job in jobs])
    existing = [] if overwrite else [job.target for job in jobs if job.target.exists()]
    return Plan([job for job in jobs if job.target not in set(existing)], existing, refused, foreign)


def _found(inputs: Iterable[str | os.PathLike[str]], out: Path) -> tuple[list[tuple[Path, Path]], list[Path]]:
    """Return each file once, with its place under the output folder, and the foreign files."""
    out = out.resolve()
    found: dict[Path, tuple[Path, Path]] = {}
    foreign: list[Path] = []
    for given in map(Path, inputs):
        if given.is_dir():
            files, others = (_outside(sound.find_audio(given, kind), given, out) for kind in _KINDS)
            if not files:
                raise AudioError(f"{given} holds no sound file; give a file, or a folder with {', '.join(FORMATS)}")
            places = [(file, Path(given.resolve().name) / file.relative_to(given)) for file in files]
            foreign += others
        elif given.exists():
            places = [(given, Path(given.name))]
        else:
            raise AudioError(f"{given} does not exist; check the spelling of the path")
        for file, place in places:
            found.setdefault(file.resolve(), (file, place))
    return list(found.values()), foreign


def _outside(files: list[Path], folder: Path, out: Path) -> list[Path]:
    """Leave out the outputs of earlier calls, where they lie within the folder that is converted."""
    if out == folder.resolve():
        return files
    return [file for file in files if not file.resolve().is_relative_to(out)]


def _job(source: Path, place: Path, label: str, format: str | None, bit_rate: int) -> Job:
    """Read the header of a file and see that its sound can be written."""
    header = sound.read_header(source)
    suffix = f".{format}" if format else sound.best_suffix(place, header)
    if format is None and suffix != place.suffix:
        message = f"{place.suffix or header.format} cannot be written as it is; the output is {suffix}"
        warnings.warn(message, AudioWarning, stacklevel=2)
    target = place.with_name(_shortened(place.stem, f".{label}{suffix}"))
    return Job(source, target, header, sound.kind_like(target, header, bit_rate))


def _shortened(stem: str, ending: str) -> str:
    """Return a name with an ending that a file system takes."""
    while len(os.fsencode(stem + ending)) > _NAME_BYTES:
        stem = stem[:-1]
    return stem + ending


def _check_targets(pairs: list[tuple[Path, Path]]) -> None:
    """Raise a ConfigError where an output would replace an input or another output; each input with its output."""
    taken: dict[Path, Path] = {}
    sources = {source.resolve() for source, _ in pairs}
    for source, path in pairs:
        target = path.resolve()
        if target in sources:
            raise ConfigError(f"the output {path} is an input; choose another folder, an input is never replaced")
        if other := taken.get(target):
            raise ConfigError(f"{other} and {source} would both become {path}; convert them one by one")
        taken[target] = source
