import contextlib
import os

import librosa
import numpy as np
import pytest
import soundfile

from gst_jax import sound
from gst_jax.config import AudioConfig
from gst_jax.sound import AudioError, AudioWarning

AUDIO = AudioConfig(n_mels=64)
OTHER = AudioConfig(sample_rate=22_050, n_fft=512, hop_length=128, n_mels=80, f_min=50.0, f_max=10_000.0)
LENGTHS = [1_024, 31_752, 31_999, 32_000, 32_001, 112_013]


def noise(rng, *shape):
    return (0.1 * rng.standard_normal(shape)).astype(np.float32)


def fade(rng, seconds, rate, channels=2):
    return (
        noise(rng, int(seconds * rate), channels)
        * np.linspace(1, 0.01, int(seconds * rate), dtype=np.float32)[:, None]
    )


# Signals ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [AUDIO, OTHER], ids=["default", "other"])
@pytest.mark.parametrize("length", LENGTHS)
def test_stft_equals_librosa_without_its_last_frame(rng, config, length):
    waveform = noise(rng, length)
    ours = sound.stft(waveform, config)
    theirs = librosa.stft(waveform, n_fft=config.n_fft, hop_length=config.hop_length).T[:-1]
    assert ours.dtype == np.complex64
    assert ours.shape == theirs.shape == (length // config.hop_length, config.n_fft // 2 + 1)
    np.testing.assert_allclose(ours, theirs, atol=2e-6)  # values reach 6


@pytest.mark.parametrize("config", [AUDIO, OTHER], ids=["default", "other"])
@pytest.mark.parametrize("length", LENGTHS)
def test_log_mel_equals_librosa_without_its_last_frame(rng, config, length):
    waveform = noise(rng, length) * np.linspace(1, 0, length, dtype=np.float32) ** 8  # down to the floor
    mel = librosa.feature.melspectrogram(
        y=waveform,
        sr=config.sample_rate,
        n_fft=config.n_fft,
        hop_length=config.hop_length,
        n_mels=config.n_mels,
        fmin=config.f_min,
        fmax=config.f_max,
    )
    theirs = librosa.power_to_db(mel, ref=1.0, amin=1e-5, top_db=None).T[:-1]
    ours = sound.log_mel(waveform, config)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, atol=1e-4)  # dB


def test_silence_lies_on_the_floor():
    assert (sound.log_mel(np.zeros(32_000, np.float32), AUDIO) == sound.LOG_MEL_FLOOR).all()


def test_blocks_of_frames_leave_no_trace(rng):
    waveform = noise(rng, 252 * 1_000)
    whole = sound.log_mel(waveform, AUDIO)
    for frame in (
        255,
        256,
        257,
        511,
        512,
    ):  # around the block borders: the same frame, measured in the middle of a block
        around = sound.log_mel(waveform[252 * (frame - 10) : 252 * (frame + 10)], AUDIO)
        np.testing.assert_allclose(around[10], whole[frame], atol=1e-4)


@pytest.mark.parametrize("length", [0, 1, 251])
def test_less_than_a_hop_has_no_frame(rng, length):
    assert sound.stft(noise(rng, length), AUDIO).shape == (0, 513)
    assert sound.log_mel(noise(rng, length), AUDIO).shape == (0, 64)
    assert (sound.istft(np.zeros((0, 513), np.complex64), AUDIO, length) == np.zeros(length)).all()


@pytest.mark.parametrize(
    "rate", [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 88_200, 96_000, 176_400, 192_000]
)
def test_two_seconds_are_126_frames_at_any_rate(rng, rate):
    waveform = sound.resample(noise(rng, 2 * rate), rate, AUDIO.sample_rate)
    assert waveform.shape == (32_000,)
    assert sound.log_mel(waveform, AUDIO).shape == (126, 64)


@pytest.mark.parametrize("length", LENGTHS + [252, 700])
def test_istft_inverts_stft_of_a_padded_waveform(rng, length):
    waveform = noise(rng, length)
    spectrum = sound.stft(np.pad(waveform, (0, AUDIO.hop_length)), AUDIO)
    restored = sound.istft(spectrum, AUDIO, length)
    assert restored.dtype == np.float32
    np.testing.assert_allclose(restored, waveform, atol=1e-6)


@pytest.mark.parametrize("length", LENGTHS)
def test_istft_of_a_changed_spectrum_has_no_click_at_its_ends(rng, length):
    spectrum = sound.stft(noise(rng, length), AUDIO)
    spectrum *= np.exp(1j * rng.uniform(-np.pi, np.pi, spectrum.shape))
    restored = sound.istft(spectrum, AUDIO, length)
    assert restored.shape == (length,)
    assert np.abs(restored).max() < 10 * restored.std()


@pytest.mark.parametrize(
    "rates", [(8_000, 16_000), (44_100, 16_000), (16_000, 44_100), (48_000, 16_000), (192_000, 16_000)]
)
@pytest.mark.parametrize("length", [1, 7, 4_410, 44_101])
def test_resampled_length_is_exact_for_every_channel_count(rng, rates, length):
    rate_in, rate_out = rates
    expected = (length * rate_out + rate_in - 1) // rate_in
    for channels in (1, 2, 8):
        out = sound.resample(noise(rng, length, channels), rate_in, rate_out)
        assert out.shape == (expected, channels)
        assert out.dtype == np.float32
    assert sound.resample(noise(rng, length), rate_in, rate_out).shape == (expected,)


@pytest.mark.parametrize("rate", [8_000, 44_100, 192_000])
def test_resampling_keeps_a_tone(rate):
    tone = np.sin(2 * np.pi * 1_000 * np.arange(rate) / rate).astype(np.float32)
    expected = np.sin(2 * np.pi * 1_000 * np.arange(16_000) / 16_000)
    out = sound.resample(tone, rate, 16_000)
    np.testing.assert_allclose(out[500:-500], expected[500:-500], atol=1e-3)


def test_resampling_removes_what_the_new_rate_cannot_hold():
    tone = np.sin(2 * np.pi * 12_000 * np.arange(44_100) / 44_100).astype(np.float32)
    assert np.abs(sound.resample(tone, 44_100, 16_000)[500:-500]).max() < 1e-3


def test_mono_is_the_mean_of_the_channels():
    np.testing.assert_array_equal(sound.mono(np.array([[1, 2, 6], [0, 0, 3]], np.float32)), [3, 1])


# Files --------------------------------------------------------------------------------------------------------------

KINDS = [
    # suffix, subtype, tolerance of the samples (None: lossy, the level is compared)
    (".wav", "PCM_16", 1 / 2**15),
    (".wav", "PCM_24", 1 / 2**23),
    (".wav", "PCM_U8", 1 / 2**7),
    (".wav", "FLOAT", 0),
    (".flac", "PCM_16", 1 / 2**15),
    (".flac", "PCM_24", 1 / 2**23),
    (".aiff", "PCM_16", 1 / 2**15),
    (".caf", "FLOAT", 0),
    (".w64", "PCM_16", 1 / 2**15),
    (".ogg", "VORBIS", None),
    (".mp3", "MPEG_LAYER_III", None),
]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("suffix", "subtype", "tolerance"), KINDS)
def test_every_kind_of_file_comes_back(rng, tmp_path, suffix, subtype, tolerance, channels):
    samples = noise(rng, 30_000, channels)
    path = tmp_path / f"song{suffix}"
    sound.write_wave(path, samples, 44_100, subtype)
    decoded = sound.read_wave(path)
    assert (decoded.sample_rate, decoded.subtype, decoded.samples.dtype) == (44_100, subtype, np.float32)
    assert decoded.samples.shape == samples.shape
    assert sound.duration(path) == pytest.approx(30_000 / 44_100)
    if tolerance is None:
        assert decoded.samples.std() == pytest.approx(samples.std(), rel=0.2)
    else:
        np.testing.assert_allclose(decoded.samples, samples, atol=tolerance)


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("channels", [1, 2, 6, 8])
def test_every_rate_and_channel_count_is_read(rng, tmp_path, rate, channels):
    samples = noise(rng, 1_000, channels)
    soundfile.write(tmp_path / "song.wav", samples, rate, "FLOAT")
    decoded = sound.read_wave(tmp_path / "song.wav")
    assert decoded.sample_rate == rate
    np.testing.assert_array_equal(decoded.samples, samples)


def test_opus_is_read_and_written(rng, tmp_path):
    sound.write_wave(tmp_path / "song.opus", noise(rng, 48_000), 48_000)
    decoded = sound.read_wave(tmp_path / "song.opus")
    assert (decoded.format, decoded.subtype, decoded.samples.shape) == ("OGG", "OPUS", (48_000, 1))


@pytest.mark.parametrize("name", ["with space.wav", "বাংলা গান.flac", "🎸🎷.ogg", "#50% 'q' \"d\".mp3"])
def test_any_path_works(rng, tmp_path, name):
    folder = tmp_path / "লোক সঙ্গীত 🪕"
    folder.mkdir()
    sound.write_wave(folder / name, noise(rng, 8_000), 16_000)
    assert sound.find_audio(tmp_path) == [folder / name]
    assert sound.read_wave(folder / name).samples.shape == (8_000, 1)


def test_find_audio_is_sorted_recursive_and_skips_what_is_hidden(tmp_path):
    for name in ("b.WAV", "a/z.mp3", "a/.hidden.wav", ".trash/x.wav", "cover.jpg", "c.mid", "d.m4a", "a/y.Flac"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [str(path.relative_to(tmp_path)) for path in sound.find_audio(tmp_path)] == [
        "a/y.Flac",
        "a/z.mp3",
        "b.WAV",
        "d.m4a",
    ]
    assert sound.find_audio(tmp_path, sound.FOREIGN_SUFFIXES) == [tmp_path / "c.mid"]


def test_linked_folders_are_followed_once(tmp_path):
    (tmp_path / "elsewhere" / "album").mkdir(parents=True)
    (tmp_path / "elsewhere" / "album" / "a.wav").touch()
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "music" / "again").symlink_to(tmp_path / "elsewhere" / "album")
    (tmp_path / "elsewhere" / "album" / "loop").symlink_to(tmp_path / "music")
    (tmp_path / "music" / "broken.wav").symlink_to(tmp_path / "nowhere.wav")
    assert [path.name for path in sound.find_audio(tmp_path / "music")] == ["a.wav"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "locked").mkdir(mode=0)
    with pytest.warns(AudioWarning, match="locked was left out"):
        assert sound.find_audio(tmp_path) == []


@pytest.mark.parametrize("kept", [0.9, 0.6, 0.4])
@pytest.mark.parametrize(
    ("suffix", "subtype"), [(suffix, subtype) for suffix, subtype, _ in KINDS] + [(".opus", "OPUS")]
)
def test_a_truncated_file_is_read_as_far_as_it_goes_and_said(rng, tmp_path, suffix, subtype, kept):
    whole, cut = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    sound.write_wave(whole, fade(rng, 4, 48_000), 48_000, subtype)
    cut.write_bytes(whole.read_bytes()[: int(kept * whole.stat().st_size)])
    before = sound.read_wave(whole).samples
    with pytest.warns(AudioWarning, match=r"cut\.\w+ is cut off or damaged: .* missing"):
        after = sound.read_wave(cut).samples
    assert 0.1 < len(after) / len(before) < 1
    common = len(after) - 4096  # where FFmpeg and libsndfile agree, but for a codec's last block
    assert np.abs(after[:common] - before[:common]).max() < 1e-4


@pytest.mark.parametrize("rate", [8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000])
def test_a_whole_mp3_of_any_rate_is_not_called_cut_off(rng, tmp_path, rate):
    """Of low rates the header counts the encoder's delay as sound."""
    for more in (0, 123, 900):
        path = tmp_path / f"whole {more}.mp3"
        sound.write_wave(path, noise(rng, 3 * rate + more), rate, "MPEG_LAYER_III")
        assert abs(len(sound.read_wave(path).samples) - 3 * rate - more) <= 1


def test_a_streamed_wav_that_does_not_know_its_size_is_not_truncated(rng, tmp_path):
    path = tmp_path / "streamed.wav"
    sound.write_wave(path, noise(rng, 5_000), 16_000)
    data = bytearray(path.read_bytes())
    size = data.index(b"data") + 4
    data[4:8] = data[size : size + 4] = b"\xff" * 4  # as ffmpeg writes to a pipe
    path.write_bytes(data)
    assert sound.read_wave(path).samples.shape == (5_000, 1)


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_an_mp3_without_a_length_header_is_read_whole(rng, tmp_path, mode):
    path = tmp_path / "song.mp3"
    samples = np.concatenate([noise(rng, 44_100, 1), np.zeros((44_100 * 4, 1), np.float32)])
    with soundfile.SoundFile(path, "w", 44_100, 1, format="MP3", bitrate_mode=mode, compression_level=0.0) as file:
        file.write(samples)
    path.write_bytes(path.read_bytes().replace(b"Xing", b"\0\0\0\0").replace(b"Info", b"\0\0\0\0"))
    read = sound.read_wave(path).samples
    assert 5 * 44_100 <= len(read) < 5.2 * 44_100
    assert sound.duration(path) == pytest.approx(len(read) / 44_100, abs=0.1)


def test_a_flac_of_unknown_length_is_read_whole(rng, tmp_path):
    path = tmp_path / "piped.flac"
    samples = noise(rng, 5_000)
    sound.write_wave(path, samples, 16_000)
    whole = sound.read_wave(path).samples
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # the 36-bit sample count of STREAMINFO
    data[22:26] = bytes(4)
    path.write_bytes(data)
    assert sound.read_wave(path).samples.tobytes() == whole.tobytes()


@pytest.mark.parametrize("suffix", [".mp3", ".flac", ".ogg", ".opus"])
def test_joined_files_are_read_to_the_end(rng, tmp_path, suffix):
    one, both = tmp_path / f"one{suffix}", tmp_path / f"both{suffix}"
    sound.write_wave(one, fade(rng, 1, 48_000), 48_000)
    both.write_bytes(one.read_bytes() * 2)
    single, joined = (sound.read_wave(path).samples for path in (one, both))
    assert len(joined) == pytest.approx(2 * len(single), abs=4 * 1152)
    assert np.abs(joined[: 4 * len(single) // 5] - single[: 4 * len(single) // 5]).max() < 1e-4
    assert joined[len(single) :].std() == pytest.approx(single.std(), rel=0.1)


def test_joined_wavs_are_refused(rng, tmp_path):
    sound.write_wave(tmp_path / "one.wav", noise(rng, 5_000), 16_000)
    (tmp_path / "both.wav").write_bytes((tmp_path / "one.wav").read_bytes() * 2)
    with pytest.raises(AudioError, match="both.wav is several WAV files"):
        sound.read_wave(tmp_path / "both.wav")


def tagged(tag, data):
    size = bytes(len(tag) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\3\0\0" + size + tag + data


@pytest.mark.parametrize("suffix", [".wav", ".mp3"])
@pytest.mark.parametrize("junk", [100, 30_001])
def test_a_tag_in_front_costs_no_sound(rng, tmp_path, suffix, junk):
    path = tmp_path / f"song{suffix}"
    sound.write_wave(path, noise(rng, 20_000), 44_100)
    whole = sound.read_wave(path).samples
    path.write_bytes(tagged(bytes(junk), path.read_bytes()))
    assert sound.read_wave(path).samples.tobytes() == whole.tobytes()


@pytest.mark.parametrize("junk", [bytes(512), bytes(50_000), b"APETAGEX" + bytes(range(256)) * 30])
def test_junk_before_the_first_frame_of_an_mp3_is_passed_over(rng, tmp_path, junk):
    path = tmp_path / "song.mp3"
    sound.write_wave(path, fade(rng, 1, 44_100), 44_100)
    whole = sound.read_wave(path).samples
    path.write_bytes(tagged(bytes(10), junk + path.read_bytes()))
    read = sound.read_wave(path).samples
    assert len(whole) <= len(read) <= len(whole) + 3 * 1152


@pytest.mark.parametrize("change", [-100_000, +8, +36])
def test_a_wav_whose_size_is_wrong_is_read_whole(rng, tmp_path, change):
    """A recorder that died wrote no size; others count their own chunks."""
    path = tmp_path / "song.wav"
    samples = noise(rng, 10_000)
    sound.write_wave(path, samples, 16_000, "FLOAT")
    data = bytearray(path.read_bytes())
    place = data.index(b"data") + 4
    size = max(0, int.from_bytes(data[place : place + 4], "little") + change)
    data[place : place + 4] = size.to_bytes(4, "little")
    path.write_bytes(data)
    assert sound.read_wave(path).samples.tobytes() == samples.tobytes()


@pytest.mark.parametrize(
    "content",
    [b"", b"These are the lyrics of a song.", b"RIFF", np.random.default_rng(0).bytes(4_000), bytes(4_000)],
    ids=["empty", "text", "name", "noise", "zeros"],
)
@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".ogg"])
def test_what_is_not_sound_is_refused_by_name(tmp_path, content, suffix):
    path = tmp_path / f"lyrics{suffix}"
    path.write_bytes(content)
    with pytest.raises(AudioError, match="lyrics.*remove it, or export it again"):
        sound.read_wave(path)
    with pytest.raises(AudioError, match="lyrics"):
        sound.duration(path)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_file_without_samples_is_refused(tmp_path, suffix):
    sound.write_wave(tmp_path / f"nothing{suffix}", np.zeros((0, 2), np.float32), 16_000)
    with pytest.raises(AudioError, match="nothing.*empty"):
        sound.read_wave(tmp_path / f"nothing{suffix}")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused(rng, tmp_path, value):
    samples = noise(rng, 1_000, 2)
    samples[500, 1] = value
    soundfile.write(tmp_path / "bad.wav", samples, 16_000, "FLOAT")
    with pytest.raises(AudioError, match="bad.wav holds samples that are NaN or infinite"):
        sound.read_wave(tmp_path / "bad.wav")


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".m4a"])
def test_nan_and_infinity_are_never_written(rng, tmp_path, suffix):
    samples = noise(rng, 100_000, 2)
    samples[90_000, 1] = np.nan
    with pytest.raises(AudioError, match="was not written.*NaN or infinite"):
        sound.write_wave(tmp_path / f"bad{suffix}", samples, 16_000)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("rate", "channels", "what"), [(4_000, 1, "4000 Hz"), (384_000, 1, "384000 Hz"), (16_000, 9, "9 channels")]
)
def test_rates_and_channels_beyond_the_promise_are_refused(tmp_path, rate, channels, what):
    soundfile.write(tmp_path / "odd.wav", np.zeros((100, channels), np.float32), rate)
    with pytest.raises(AudioError, match=f"odd.wav has .*{what}"):
        sound.read_wave(tmp_path / "odd.wav")


def test_a_missing_file_or_a_folder_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "none.wav"):
        with pytest.raises(AudioError, match="is not a file"):
            sound.read_wave(path)


def test_loud_samples_are_clipped_not_wrapped(tmp_path):
    for suffix, subtype in ((".wav", "PCM_16"), (".wav", "PCM_24"), (".flac", "PCM_16")):
        sound.write_wave(tmp_path / f"loud{suffix}", np.array([0.5, 1.0, 1.5, -1.5, 40.0]), 16_000, subtype)
        np.testing.assert_allclose(
            sound.read_wave(tmp_path / f"loud{suffix}").samples[:, 0], [0.5, 1, 1, -1, 1], atol=1e-4
        )


def test_a_float_file_keeps_loud_samples(tmp_path):
    sound.write_wave(tmp_path / "loud.wav", np.array([1.5, -3.0]), 16_000, "FLOAT")
    np.testing.assert_array_equal(sound.read_wave(tmp_path / "loud.wav").samples[:, 0], [1.5, -3.0])


@pytest.mark.parametrize(
    ("name", "rate", "channels", "subtype", "message"),
    [
        ("song.xyz", 16_000, 1, None, r"\.xyz names no format"),
        ("song", 16_000, 1, None, "no suffix names no format"),
        ("song.wav", 16_000, 1, "VORBIS", "WAV has no subtype VORBIS"),
        ("song.mp3", 96_000, 1, None, "96000 Hz.*a .wav can hold it"),
        ("song.mp3", 44_100, 3, None, "3 channels.*a .wav can hold it"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_leaving_the_old_one(
    rng, tmp_path, name, rate, channels, subtype, message
):
    (tmp_path / name).write_text("old")
    with pytest.raises(AudioError, match=f"cannot write .*{message}"):
        sound.write_wave(tmp_path / name, noise(rng, 1_000, channels), rate, subtype)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "old"


@pytest.mark.parametrize("short", [0.1, 0.5, 0.999])  # from the first write to what comes at the very end
@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a"])
def test_a_full_disk_is_an_error_and_leaves_nothing(rng, tmp_path, suffix, short, capfd):
    song, path = noise(rng, 400_000), tmp_path / f"song{suffix}"
    sound.write_wave(path, song, 16_000)
    room = int(short * path.stat().st_size)
    path.unlink()
    resource = pytest.importorskip("resource")  # a limit on file size stands in for a full disk
    signal = pytest.importorskip("signal")
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(OSError, match=f"song{suffix}"):
            sound.write_wave(path, song, 16_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_a_missing_folder_is_an_error_that_names_it(rng, tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        sound.write_wave(tmp_path / "nowhere" / "song.wav", noise(rng, 100), 16_000)


@pytest.mark.parametrize("junk", [b"<html>not a song</html>" * 300, bytes(3_000), b"\xff\xfb\x90\x00" + bytes(2_000)])
def test_a_decoder_s_own_complaints_stay_off_the_screen(rng, tmp_path, junk, capfd):
    path = tmp_path / "song.mp3"
    sound.write_wave(path, noise(rng, 44_100), 44_100)
    path.write_bytes(junk + path.read_bytes())
    with contextlib.suppress(AudioError):
        sound.read_wave(path)
    path.write_bytes(junk)
    with pytest.raises(AudioError):
        sound.read_wave(path)
    assert capfd.readouterr() == ("", "")


def test_a_file_under_a_false_name_is_read_for_what_it_is(rng, tmp_path):
    sound.write_wave(tmp_path / "song.wav", noise(rng, 5_000), 16_000)
    whole = sound.read_wave(tmp_path / "song.wav").samples
    for name in ("song.mp3", "song.flac", "song.m4a"):
        (tmp_path / name).write_bytes((tmp_path / "song.wav").read_bytes())
        assert sound.read_wave(tmp_path / name).samples.tobytes() == whole.tobytes()
