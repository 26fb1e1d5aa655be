"""Fill the cache of a genre, in several processes where there is much to decode, and go on where that was stopped."""

from __future__ import annotations

import itertools
import os
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gst_jax.config import AudioConfig
from gst_jax.data import shards
from gst_jax.data.folders import Folders
from gst_jax.data.shards import Found, Key, Wanted
from gst_jax.data.team import Team
from gst_jax.runs import workers
from gst_jax.runs.atomic import sweep
from gst_jax.sound import AudioError, AudioWarning
from gst_jax.types import Progress

_IN_A_SHARD = 16, 3600.0  # recordings, and seconds of sound, at most
_SHARDS_EACH = 4  # for a process, at least, so that all end at about the same time
_WORTH = 600.0  # seconds of sound to decode for which a process is worth its start: ten seconds of work for two
_SHORTEST = 1.0  # seconds of sound that take as long as any shorter recording
_KEPT = 7 * 86_400.0  # seconds that a shard is kept which nothing uses: a training that began before may read it

Skipped = tuple[Path, str]  # a file, and why


class BadFiles(AudioError):
    """Files that cannot be used, in one message."""

    def __init__(self, errors: Sequence[AudioError]) -> None:
        """Put the errors, one per file, in one message that says how to train without them."""
        self.errors = tuple(errors)
        lines = [f"{len(errors)} files cannot be used:"] if len(errors) > 1 else []
        remedy = f"to train without {'them' if lines else 'it'}: --set=data.skip_damaged=true"
        super().__init__("\n".join([*lines, *map(str, errors), remedy]))


@dataclass(frozen=True)
class Plan:
    """What a genre takes from its shards."""

    folders: Folders
    place: Path  # of its shards
    audio: AudioConfig
    semitones: int  # how much higher and lower the copies of training tracks reach; 0 is no copies
    skips_damaged: bool
    files: frozenset[Key]  # in the folders when they were listed
    training: tuple[Wanted, ...]
    held_out: tuple[Wanted, ...]  # decoded too, to find the damaged ones now
    others: tuple[Wanted, ...]  # whose header says that they cannot be used
    skipped: tuple[Skipped, ...]
    new: frozenset[Key]  # what was missing when this was planned

    @property
    def wanted(self) -> tuple[Wanted, ...]:
        """All files that shards tell of."""
        return (*self.training, *self.held_out, *self.others)

    def known(self) -> dict[Key, Found]:
        """Return what is in the shards."""
        return shards.read_shards(self.place)

    def is_whole(self) -> bool:
        """Tell whether all is there now."""
        return not lacking(self.wanted, self.known())


def lacking(wanted: Sequence[Wanted], known: Mapping[Key, Found]) -> list[Wanted]:
    """Return what no shard tells of, or not enough."""
    return [one for one in wanted if one.key not in known or known[one.key].depth < one.depth]


def fill(plan: Plan, team: Team, progress: Progress | None) -> None:
    """Decode what is missing in the shards of a genre, of several processes that call this a share each.

    A shard appears whole or not at all, so that whoever is stopped goes on after the last one. What is wrong with
    files is found in the shards.

    Args:
        plan: what the genre takes, the same in all processes.
        team: the processes.
        progress: called like `tqdm.tqdm` on the tracks; None is silent.
    """
    share = [one for one in plan.wanted[team.index :: team.count] if one.key in plan.new]
    if not share:
        return
    plan.place.mkdir(parents=True, exist_ok=True)
    sweep(plan.place)
    seconds = sum(max(one.seconds, _SHORTEST) for one in share) * (2 * plan.semitones + 1)
    processes = max(1, min(workers.cores(), int(seconds / _WORTH)))
    groups = list(_grouped(share, processes))
    places = [plan.place / shards.name_of(group) for group in groups]

    def shown(done: Iterable[Wanted]) -> Iterator[Wanted]:
        return iter(progress(done, total=len(share), desc=plan.folders.genre, unit="track") if progress else done)

    if processes == 1:
        going = shown(share)
        for place, group in zip(places, groups, strict=True):
            shards.write_shard(place, itertools.islice(going, len(group)), plan.audio, plan.semitones)
        for _ in going:  # tells it that the last one is done
            pass
        return
    calls = [(place, group, plan.audio, plan.semitones) for place, group in zip(places, groups, strict=True)]
    try:
        with workers.working(shards.decoded, calls, processes, "decoded music") as jobs:

            def done() -> Iterator[Wanted]:
                for job, group in zip(jobs, groups, strict=True):
                    for text in job.result():
                        warnings.warn(text, AudioWarning, stacklevel=2)
                    yield from group

            for _ in shown(done()):
                pass
    finally:
        sweep(plan.place)


def _grouped(wanted: Sequence[Wanted], processes: int) -> Iterator[list[Wanted]]:
    """Divide recordings into shards."""
    most, longest = _IN_A_SHARD
    most = min(most, -(-len(wanted) // (_SHARDS_EACH * processes)))
    group: list[Wanted] = []
    for one in wanted:
        if len(group) == most or group and sum(other.seconds for other in group) + one.seconds > longest:
            yield group
            group = []
        group.append(one)
    if group:
        yield group


def require_any(usable: Sequence[object], folders: Folders, skipped: Sequence[Skipped]) -> None:
    """Raise an AudioError when a genre has nothing to train on."""
    if not usable:
        path, reason = skipped[0]
        places = " and ".join(map(str, folders.paths)) + (" has" if len(folders.paths) == 1 else " have")
        raise AudioError(
            f"{places} no track to train on: all {len(skipped)} are skipped, first {path.name}: {reason}; "
            "add longer or other recordings"
        )


def tidy(plan: Plan, known: Mapping[Key, Found]) -> None:
    """Note which shards were used now; remove those that nothing has used for a week."""
    now = time.time()
    used = {known[one.key].shard.name for one in plan.wanted if one.key in known}
    for path in plan.place.glob("[!.]*.np[yz]"):
        with suppress(PermissionError, FileNotFoundError):  # of another user; of Windows, as long as it is mapped
            if path.stem in used:
                os.utime(path)
            elif now - path.stat().st_mtime > _KEPT:
                path.unlink()
