"""Measure conversions with pure functions of waveforms and log-mels."""
