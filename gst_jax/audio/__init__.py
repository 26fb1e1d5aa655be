"""Turn sound files into waveforms [N] or log-mel frames [T, M], with the way back as far as it is exact."""

from gst_jax.audio.files import (
    FOREIGN_SUFFIXES,
    AudioError,
    Sound,
    duration,
    find_audio,
    read_wave,
    write_wave,
)
from gst_jax.audio.signals import LOG_MEL_FLOOR, istft, log_mel, mel_filters, mono, resample, stft

__all__ = [
    "FOREIGN_SUFFIXES",
    "LOG_MEL_FLOOR",
    "AudioError",
    "Sound",
    "duration",
    "find_audio",
    "istft",
    "log_mel",
    "mel_filters",
    "mono",
    "read_wave",
    "resample",
    "stft",
    "write_wave",
]
