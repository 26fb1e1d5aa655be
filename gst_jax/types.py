"""The two types that every room uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]  # shapes and units stand in the docstrings
Progress = Callable[..., Any]  # as tqdm.tqdm: (iterable, total=, desc=, unit=) -> iterable
