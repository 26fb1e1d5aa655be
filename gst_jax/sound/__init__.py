"""Read and write sound files, and measure waveforms [N] as spectra and log-mel frames [T, M]."""

from gst_jax.sound.analysis import LOG_MEL_FLOOR, istft, log_mel, mel_filters, mono, resample, stft
from gst_jax.sound.files import (
    FOREIGN_SUFFIXES,
    SUFFIXES,
    Sound,
    duration,
    find_audio,
    read_blocks,
    read_header,
    read_tags,
    read_wave,
)
from gst_jax.sound.headers import MAX_CHANNELS, SAMPLE_RATES, AudioError, AudioWarning, Header
from gst_jax.sound.writing import Kind, best_suffix, choose_kind, kind_like, write_blocks, write_wave

__all__ = [
    "FOREIGN_SUFFIXES",
    "LOG_MEL_FLOOR",
    "MAX_CHANNELS",
    "SAMPLE_RATES",
    "SUFFIXES",
    "AudioError",
    "AudioWarning",
    "Header",
    "Kind",
    "Sound",
    "best_suffix",
    "choose_kind",
    "duration",
    "find_audio",
    "kind_like",
    "istft",
    "log_mel",
    "mel_filters",
    "mono",
    "read_blocks",
    "read_header",
    "read_tags",
    "read_wave",
    "resample",
    "stft",
    "write_blocks",
    "write_wave",
]
