"""Put versions of one sound into a page, where a listener switches between them at one moment and one loudness."""

from __future__ import annotations

import base64
import functools
import html
import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from gst_jax import sound
from gst_jax.config import AudioConfig
from gst_jax.sound import loudness
from gst_jax.types import Array

# Of the MP3s, which are mono: enough for up to 16 kHz, small enough to mail.
_BIT_RATE, _HIGHEST_RATE = 48_000, 32_000
_HEARD = AudioConfig(sample_rate=_HIGHEST_RATE, n_fft=2048, hop_length=504, n_mels=96, f_max=_HIGHEST_RATE / 2)
_DARKEST, _BRIGHTEST = -45.0, 25.0  # dB of the spectrogram
_COLUMNS = 400  # of the waveform
_WIDEST = 1000  # frames of the spectrogram


@dataclass(frozen=True)
class Version:
    """One of the sounds that a player switches between; those of one name share a button."""

    name: str  # on the button
    note: str  # below it: what this is, in a few words
    samples: Array  # float32 [N] or [N, C]
    sample_rate: int  # Hz
    strength: float | None = None  # those of one name that have it get a slider
    has_band: bool = False  # and those with a band a switch
    chosen: bool = False  # what the player begins with; else the first


def entry(version: Version, file: str, src: str | None = None) -> dict[str, Any]:
    """Return a version as `player.js` plays it: its sound, its gain to one loudness, what it looks like.

    Decoders leave some silence before an MP3, the same before each, so that versions stay together.

    Args:
        version: to be played.
        file: how the name of its download begins.
        src: URL of the same sound, of a page that is served; None puts an MP3 into the page.
    """
    samples = np.asarray(version.samples, np.float32)
    rate = min(version.sample_rate, _HIGHEST_RATE)
    samples = sound.resample(samples.reshape(len(samples), -1), version.sample_rate, rate)
    waveform = sound.mono(samples)
    heard = waveform if src is None else samples  # whose channels are all played
    gain = loudness.gain_to_reference(loudness.gating_blocks(heard, rate), rate)
    strength = [] if version.strength in (None, 1) else [f"{version.strength:g}"]
    words = [file, *version.name.lower().split(), *strength, *(["band"] if version.has_band else [])]
    return {
        "name": version.name,
        "note": version.note,
        "seconds": round(len(waveform) / rate, 3),
        "src": data_url(_mp3(waveform, rate), "audio/mpeg") if src is None else src,
        "gain": round(20 * float(np.log10(gain)), 2),
        "peaks": _peaks(gain * heard),
        "picture": data_url(_webp(spectrogram(gain * waveform, rate)), "image/webp"),
        "file": "_".join(words) + ".mp3",
        **({} if version.strength is None else {"strength": version.strength}),
        **({"band": True} if version.has_band else {}),
        **({"chosen": True} if version.chosen else {}),
    }


def player(title: str, entries: Sequence[dict[str, Any]], target: str = "", hint: str = "") -> dict[str, Any]:
    """Return what `player.js` needs, as JSON can hold it: versions at one loudness (BS.1770), none of which clips.

    Args:
        title: of the player.
        entries: from `entry`; the first is what all others were made from.
        target: the genre that they were converted to, of which the blind test asks.
        hint: what to listen for.
    """
    ceiling = 100 * loudness.CEILING
    lower = 20 * np.log10(min(1.0, ceiling / max(1, *(max(part["peaks"]) for part in entries))))
    return {
        "title": title,
        "target": target,
        "hint": hint,
        "seconds": min(part["seconds"] for part in entries),
        "versions": [part | {"gain": round(part["gain"] + float(lower), 2)} for part in entries],
    }


def element(data: dict[str, Any]) -> str:
    """Return the HTML of a player."""
    content = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
    return f'<section class="player"><script type="application/json">{content}</script></section>'


def page(title: str, body: str) -> str:
    """Return a whole page in one file: its style, and what makes its players play."""
    style, script = (
        "\n".join(resources.files(__package__).joinpath(name).read_text(encoding="utf-8") for name in names)
        for names in (("page.css", "player.css"), ("player.js", "blind_test.js"))
    )
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{html.escape(title)}</title>
<link rel="icon" href="data:,">
<style>
{style}</style>
<main>
{body}
</main>
<script>
{script}</script>
</html>
"""


def data_url(content: bytes, kind: str) -> str:
    """Return bytes as a URL that holds them."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _mp3(waveform: Array, rate: int) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sound.mp3")
        kind = sound.Kind("MP3", "MPEG_LAYER_III", _BIT_RATE)
        sound.write_blocks(path, [waveform[:, None]], rate, 1, kind)
        return path.read_bytes()


def _peaks(waveform: Array) -> list[int]:
    """Return the highest sample in each column of a waveform, [N] or [N, C], in hundredths of full scale."""
    columns = np.array_split(np.abs(waveform), min(_COLUMNS, len(waveform)))
    return [math.ceil(100 * float(column.max())) for column in columns]


def spectrogram(waveform: Array, sample_rate: int) -> Array:
    """Draw the spectrogram of a waveform [N]: uint8 [bands, frames, 3], low bands below."""
    waveform = sound.resample(waveform, sample_rate, _HIGHEST_RATE)
    audio = replace(_HEARD, hop_length=max(_HEARD.hop_length, len(waveform) // _WIDEST))
    level = (sound.log_mel(waveform, audio).T[::-1] - _DARKEST) / (_BRIGHTEST - _DARKEST)
    return _colours()[np.round(255 * np.clip(level, 0, 1)).astype(int)]


def _webp(picture: Array) -> bytes:
    from PIL import Image

    file = BytesIO()
    Image.fromarray(picture).save(file, "WEBP", quality=40)
    return file.getvalue()


@functools.cache
def _colours() -> Array:
    """Return matplotlib's magma as uint8 [256, 3]."""
    from matplotlib import colormaps

    return (255 * colormaps["magma"](np.arange(256))[:, :3]).round().astype(np.uint8)
