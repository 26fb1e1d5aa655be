"""Turn sound files into waveforms [N] or log-mel frames [T, M], with the way back as far as it is exact."""

from gst_jax.sound.analysis import LOG_MEL_FLOOR, istft, log_mel, mel_filters, mono, resample, stft
from gst_jax.sound.files import (
    FOREIGN_SUFFIXES,
    AudioError,
    Header,
    Sound,
    duration,
    find_audio,
    read_blocks,
    read_excerpts,
    read_header,
    read_wave,
)
from gst_jax.sound.writing import Kind, choose_kind, has_subtype, write_blocks, write_wave

__all__ = [
    "FOREIGN_SUFFIXES",
    "LOG_MEL_FLOOR",
    "AudioError",
    "Header",
    "Kind",
    "Sound",
    "choose_kind",
    "duration",
    "find_audio",
    "has_subtype",
    "istft",
    "log_mel",
    "mel_filters",
    "mono",
    "read_blocks",
    "read_excerpts",
    "read_header",
    "read_wave",
    "resample",
    "stft",
    "write_blocks",
    "write_wave",
]
