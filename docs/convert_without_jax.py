"""Convert a WAV file of 16 bit with an exported model, by NumPy and ONNX Runtime alone.

python docs/convert_without_jax.py folk_jazz.jazz.onnx song.wav song.jazz.wav
"""

import json
import sys
import wave

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1])
audio = json.loads(session.get_modelmeta().custom_metadata_map["gst_jax"])["audio"]
with wave.open(sys.argv[2]) as file:
    kind = file.getparams()
    samples = np.frombuffer(file.readframes(kind.nframes), "<i2").reshape(-1, kind.nchannels) / 32768
level = 0.1 / np.sqrt(np.mean(samples**2))  # of plain RMS; gst_jax weights it as BS.1770 does, without pauses

# Frames at the song's own rate, as long and as far apart in seconds as the model's
scale = kind.framerate / audio["sample_rate"]
size, step = round(audio["n_fft"] * scale), audio["hop_length"] * scale
starts = np.round(np.arange(int(len(samples) / step) + 1) * step).astype(int)
window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)[:, None]
padded = np.pad(level * samples, ((size // 2, size), (0, 0)))

# Slaney's mel bands: linear up to 1000 Hz, then logarithmic; 15 mel are 1000 Hz
ends = [
    f * 3 / 200 if f < 1000 else 15 + 27 * np.log(f / 1000) / np.log(6.4) for f in (audio["f_min"], audio["f_max"])
]
mels = np.linspace(*ends, audio["n_mels"] + 2)
hertz = np.where(mels < 15, mels * 200 / 3, 1000 * np.exp((mels - 15) * np.log(6.4) / 27))
low, centre, high = hertz[:-2, None], hertz[1:-1, None], hertz[2:, None]
bins = np.fft.rfftfreq(size, 1 / kind.framerate)
filters = np.maximum(np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)), 0) * 2 / (high - low)

mono = [np.fft.rfft((window * padded[start:][:size]).mean(axis=1)) for start in starts]
power = np.array([filters @ np.abs(spectrum) ** 2 for spectrum in mono]) / scale**2
log_mel = (10 * np.log10(np.maximum(power, 1e-5))).astype(np.float32)
gain = np.clip(session.run(None, {"log_mel": log_mel})[0] - log_mel, -30, 30)

out, weight = np.zeros_like(padded), np.full((len(padded), 1), 1e-9)
for start, row in zip(starts, gain, strict=True):
    factor = 10 ** (np.interp(bins, centre[:, 0], row) / 20)[:, None]
    spectrum = factor * np.fft.rfft(window * padded[start:][:size], axis=0)
    out[start:][:size] += window * np.fft.irfft(spectrum, size, axis=0)
    weight[start:][:size] += window**2
made = (out / weight)[size // 2 :][: len(samples)]
made *= np.sqrt(np.mean(samples**2) / np.mean(made**2))  # as loud as it was
with wave.open(sys.argv[3], "wb") as file:
    file.setparams(kind)
    file.writeframes(np.round(np.clip(made, -1, 1) * 32767).astype("<i2").tobytes())
