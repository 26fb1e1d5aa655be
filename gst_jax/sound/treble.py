"""Give the octave above the mel bands the levels that a genre has there, and fill what the source lacks of them."""

from __future__ import annotations

import dataclasses

import numpy as np

from gst_jax.config import AudioConfig
from gst_jax.sound.analysis import LOG_MEL_FLOOR, decibels, mel_filters, powers
from gst_jax.sound.bands import MAX_TREBLE_GAIN, Bands, make_bands
from gst_jax.sound.spectrum import OVERLAP, TINY, power_of
from gst_jax.types import Array

BANDS = 8  # triangles as wide as mel bands there are, about an eighth of an octave
_MAX_FALL = 30.0  # dB that the gain may lower a band
_NEW_FROM = 5.0  # dB, mean of the mel bands: from this change on a frame is the genre's; below, in proportion
_UNLIKE = 6.0  # dB, that the treble may stay above or below what is usual in the genre
_ABOVE = 20.0 * np.log10(2.0)  # dB: what the analysis at twice the rate shows of the same sound, over the analysis


def wide(audio: AudioConfig) -> AudioConfig:
    """Return an analysis at twice the sample rate, in the same frames, of the bands from `f_max` to its Nyquist."""
    return dataclasses.replace(
        audio,
        sample_rate=2 * audio.sample_rate,
        n_fft=2 * audio.n_fft,
        hop_length=2 * audio.hop_length,
        n_mels=BANDS,
        f_min=audio.f_max,
        f_max=float(audio.sample_rate),
    )


@dataclasses.dataclass(frozen=True)
class Treble:
    """What `learned` returns: the treble of a genre, for one transform."""

    weights: Array  # float32 [M + 1, BANDS]: from the mel bands' dB and a constant to the dB of `wide`
    bands: Bands  # of `wide`
    usable: int  # bands that lie wholly below the source's Nyquist frequency
    first: int  # bin above the mel bands

    def change(self, spectrum: Array, before: Array, after: Array) -> tuple[Array, Array]:
        """Return what turns the source's treble into the genre's.

        The treble moves as it does in the genre when the mel bands move so. What then still sets the source apart
        from the genre stays, up to `_UNLIKE`: a converted log-mel is not the true one. The source's own sound is made
        louder up to `MAX_TREBLE_GAIN`; what then lacks, it does not have. Above the bands the gain of the highest is
        held.

        Args:
            spectrum: complex64 [C, T', F'], of the source.
            before: [T', M] dB, log-mel of the source's mono mix.
            after: [T', M] dB, to be reached; a frame in which it is the same keeps its treble.

        Returns:
            The gain in dB of the bins from `first` on, float32 [T', F' - first]; the power that lacks in each usable
            band, [T', usable].
        """
        power = self._measure(spectrum[..., : self.bands.count])
        own = decibels(power)
        usual, wanted = self._expect(before), self._expect(after)
        unlike = own - usual
        moved = np.abs(after - before).mean(axis=1, keepdims=True)
        share = np.minimum(moved / np.float32(_NEW_FROM), 1.0)
        change = wanted - usual + share * (np.clip(unlike, -_UNLIKE, _UNLIKE) - unlike)
        change = np.minimum(own + change, np.maximum(own, _highest(after))) - own
        gain = np.clip(change, -_MAX_FALL, MAX_TREBLE_GAIN)
        more = powers(own + change) - powers(own)  # of a band below the floor, from there
        lack = np.maximum(power + more - power * powers(gain), 0.0)
        drawn = self._draw(gain)
        drawn[:, self.bands.count :] = np.maximum(drawn[:, self.bands.count :], -MAX_TREBLE_GAIN)
        return drawn[:, self.first :], lack

    def fill(self, spectrum: Array, lack: Array) -> None:
        """Add what lacks, as the half octave below sounds, moved up: attacks, rests and channels stay where they are.

        It is moved by whole multiples of the bins in which a hop is a whole number of periods, so that the sound does
        not depend on where a piece of it begins.

        Args:
            spectrum: complex64 [C, T', F'], whose mel bands are made already; changed in place.
            lack: from `change`.
        """
        if not lack.any():
            return
        count = self.first // 2 // OVERLAP * OVERLAP
        bins = np.arange(self.first, self.bands.count)
        moved = np.zeros((*spectrum.shape[:2], self.bands.count), np.complex64)
        moved[..., bins] = spectrum[..., self.first - count + (bins - self.first) % count]
        factor = np.sqrt(lack / np.maximum(self._measure(moved), TINY))
        factor = np.minimum(factor, np.float32(10.0 ** (MAX_TREBLE_GAIN / 20.0)))
        spectrum[..., bins] += moved[..., bins] * self._draw(factor)[:, bins]

    def _expect(self, log_mel: Array) -> Array:
        """Return the levels that are usual in the genre over mel bands [T', M]: [T', usable], all in dB."""
        levels = (log_mel @ self.weights[:-1] + self.weights[-1])[:, : self.usable]
        # Of bands unlike all that it learned from, a regression says anything.
        return np.clip(levels, LOG_MEL_FLOOR, np.maximum(_highest(log_mel), LOG_MEL_FLOOR))

    def _measure(self, spectrum: Array) -> Array:
        """Return the power of the mono mix in the usable bands: [C, T', F'] -> [T', usable].

        Where channels cancel, it is what is heard of channels that have nothing to do with each other.
        """
        mix, apart = power_of(spectrum.mean(axis=0)), power_of(spectrum).mean(axis=0) / np.float32(len(spectrum))
        return np.maximum(*(self.bands.measure(power[None])[0, :, : self.usable] for power in (mix, apart)))

    def _draw(self, values: Array) -> Array:
        """Draw values through the centres of the usable bands, held beyond: [T', usable] -> [T', F']."""
        held = np.repeat(values[:, -1:], BANDS - self.usable, axis=1)
        return self.bands.draw(np.concatenate([values, held], axis=1))


def _highest(log_mel: Array) -> Array:
    """Return the level of the loudest mel band as `wide` would show it, which the treble does not exceed: [T', 1]."""
    return log_mel.max(axis=1, keepdims=True) + np.float32(_ABOVE)


def learned(fine_structure: Array, sample_rate: int, n_fft: int, audio: AudioConfig) -> Treble | None:
    """Return what a genre's recordings have taught of its treble, for a transform of a source.

    Args:
        fine_structure: of the genre, from `fine_structure.Fit`, whose last columns are the treble, if there is one.
        sample_rate: of the source, Hz.
        n_fft: samples in a window of the transform.
        audio: of the analysis.

    Returns:
        None where no recording reached that high, or the source does not.
    """
    bins = audio.n_fft // 2 + 1
    analysis = wide(audio)
    filters = mel_filters(analysis)
    ends = (filters.shape[1] - np.argmax(filters[:, ::-1] > 0, axis=1)) * analysis.sample_rate / analysis.n_fft  # Hz
    usable = int(np.sum(ends <= sample_rate / 2))
    if fine_structure.shape[1] == bins or not usable:
        return None
    first = make_bands(sample_rate, n_fft, audio).count
    return Treble(fine_structure[:, bins:], make_bands(sample_rate, n_fft, analysis), usable, first)
