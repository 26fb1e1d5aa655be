"""Transfer music across genres with networks trained on a laptop CPU in minutes.

In a notebook: `load` a run, `fit` one to two folders of music, `measure` one. They are named so because `train` and
`evaluate` are the modules of the commands.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gst_jax.presentation.notebook import fit as fit
    from gst_jax.presentation.notebook import load as load
    from gst_jax.presentation.notebook import measure as measure

__version__ = "0.1.0"
__all__ = ["fit", "load", "measure"]


def __getattr__(name: str) -> Any:
    """Find `load`, `fit` and `measure` when first asked for, so that importing the package loads no heavy library."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from gst_jax.presentation import notebook

    return getattr(notebook, name)


def bundled(kind: str) -> dict[str, Path]:
    """Return by name what comes with the package: `configs` or `pretrained` runs.

    Args:
        kind: the folder: inside the package where a wheel put it, else beside the package, in a checkout.
    """
    package = Path(__file__).parent
    folder = next((place / kind for place in (package, package.parent) if (place / kind).is_dir()), None)
    found = [] if folder is None else sorted(folder.iterdir())
    return {path.stem: path for path in found if path.is_dir() or path.suffix == ".toml"}
