"""The processes that fill one cache together."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_SEEN = 90.0  # seconds in which a network file system shows what another machine wrote


@dataclass(frozen=True)
class Team:
    """What a process knows of those that it works with; on its own it never waits."""

    index: int = 0  # of this process
    count: int = 1
    wait: Callable[[str], None] = lambda what: None  # until all have come to the same place, told in words

    def require(self, path: Path, remedy: str) -> None:
        """Wait until what the first process wrote is seen here; raises as `see`."""
        self.see(path, path.exists, remedy)

    def see(self, place: Path, is_there: Callable[[], bool], remedy: str) -> None:
        """Wait until what other processes wrote is seen here.

        Raises:
            OSError: when it is not; says how to mend that.
        """
        start = time.monotonic()
        while not is_there():
            if time.monotonic() - start > _SEEN:
                raise OSError(
                    f"process {self.index} does not see {place} as others wrote it; all processes must share that "
                    f"folder: {remedy}"
                )
            time.sleep(1)


ALONE = Team()
