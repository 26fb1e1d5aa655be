"""Write a trained conversion as one file that other programs run, once it agrees with ours."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gst_jax.config import ConfigError
from gst_jax.conversion.translator import FRESH, Translator
from gst_jax.learning import checkpoint
from gst_jax.runs import provenance
from gst_jax.runs.atomic import replacing, sweep
from gst_jax.runs.directory import RunDirectory
from gst_jax.sound import LOG_MEL_FLOOR, loudness
from gst_jax.types import Array

SUFFIXES = {"onnx": ".onnx", "stablehlo": ".stablehlo.zip"}
TOLERANCE = 0.001  # dB by which another program's float32 sums may differ
_CONTRACT = (
    "log_mel [frames, n_mels] -> converted [frames, n_mels], float32 dB, the whole of a song, any number of frames; "
    "the genres' statistics are inside"
)
_LICENCE = "CC BY-SA 4.0; pretrained/README.md of gst_jax names the recordings that the weights learned from"


class ExportError(ValueError):
    """A conversion that cannot be written for others; the message says what to do."""


def export(run: RunDirectory, to: str, format: str, path: Path) -> float:
    """Write the conversion to one genre of a run's pair, with what made it.

    Args:
        run: whose generator it is.
        to: the genre that comes out.
        format: one of `SUFFIXES`.
        path: of the file.

    Returns:
        How far it was from `Translator.convert_log_mel` at most, in dB, on noise like the source of random lengths.

    Raises:
        ConfigError: when `to` is not of the pair.
        CheckpointError: when the run holds no whole checkpoint.
        ExportError: when a package of the extra `export` is missing, or the file would convert otherwise than we do.
        OSError: when it cannot be written.
    """
    if to not in run.pair:
        raise ConfigError(f"--to={to!r} is not a genre of {run.path}; choose {run.pair[1]} or {run.pair[0]}")
    source = run.pair[1 - run.pair.index(to)]
    direction = "ab" if to == run.pair[1] else "ba"
    generator = checkpoint.load_generator(run, direction)
    about = _about(run, source, to, checkpoint.digest({direction: generator}))
    inside = (generator, run.config, run.statistics[source], run.statistics[to])
    try:
        made, call = (_onnx if format == "onnx" else _stablehlo)(inside, about)
    except ModuleNotFoundError as error:
        raise ExportError(f"this needs {error.name}: pip install 'gst_jax[export]'") from error
    difference = _difference(call, Translator.from_run(run, to))
    if not difference <= TOLERANCE:
        raise ExportError(
            f"the {format} file would be {difference:.2g} dB off; report it, with the run's config.json"
        )
    sweep(path.parent)
    with replacing(path) as temporary:
        if format == "onnx":
            temporary.write_bytes(made)
        else:
            with zipfile.ZipFile(temporary, "w") as opened:
                opened.writestr("model.jax", made)
                opened.writestr("about.json", json.dumps(about, indent=1))
    return difference


def _about(run: RunDirectory, source: str, to: str, digest: str) -> dict[str, Any]:
    """Return what the file says of itself."""
    return {
        "contract": _CONTRACT,
        "from": source,
        "to": to,
        "audio": dataclasses.asdict(run.config.audio),
        "level": f"every song is brought to {20 * np.log10(loudness.REFERENCE):g} dB first, K-weighted RMS (BS.1770)",
        "floor": LOG_MEL_FLOOR,
        "weights": digest,
        **({"licence": _LICENCE} if run.is_bundled else {}),
        "exported": provenance.collect(),
        "trained": run.history,
    }


def _onnx(inside: tuple, about: dict[str, Any]) -> tuple[bytes, Callable[[Array], Array]]:
    """Return an ONNX file, and what ONNX Runtime makes of a log-mel by it."""
    import onnx
    import onnxruntime

    from gst_jax.conversion import onnx_graph

    model = onnx_graph.build(*inside)
    onnx.helper.set_model_props(model, {"gst_jax": json.dumps(about)})
    made = model.SerializeToString()
    session = onnxruntime.InferenceSession(made, providers=["CPUExecutionProvider"])
    return made, lambda log_mel: session.run(None, {"log_mel": log_mel})[0]


def _stablehlo(inside: tuple, about: dict[str, Any]) -> tuple[bytes, Callable[[Array], Array]]:
    """Return a file of `jax.export`, and what JAX makes of a log-mel by it."""
    import jax.export

    from gst_jax.conversion import whole_song

    made = whole_song.stablehlo(*inside)
    call = jax.export.deserialize(bytearray(made)).call
    return made, lambda log_mel: np.asarray(call(log_mel))


def _difference(call: Callable[[Array], Array], translator: Translator) -> float:
    """Return by how many dB a conversion of log-mels differs from ours at most."""
    rng = np.random.default_rng(0)
    source = translator.source
    assert source is not None  # a run's translator knows its genre
    worst = 0.0
    for frames in (1, *rng.integers(2, 3 * FRESH, 3)):
        noise = rng.standard_normal((frames, len(source.mean)))
        song = np.maximum(np.array(source.mean) + np.array(source.deviation) * noise, LOG_MEL_FLOOR).astype(
            np.float32
        )
        worst = max(worst, float(np.abs(call(song) - translator.convert_log_mel(song)).max()))
    return worst
