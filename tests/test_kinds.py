"""Every kind of file that people have: read to the sample, written in kind, with what it says of itself."""

import base64
import warnings
from fractions import Fraction

import av
import numpy as np
import pytest
import soundfile
from mutagen import aiff, flac, id3, mp3, mp4, oggopus, oggvorbis, wave

from gst_jax import config, sound
from gst_jax.conversion import jobs, planning
from gst_jax.conversion.translator import Translator
from gst_jax.sound import AudioWarning, fine_structure

AUDIO = config.AudioConfig(n_mels=64)
IDENTITY = Translator(AUDIO, lambda log_mel: log_mel, fine_structure.flat(AUDIO))
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(200))


def tone(seconds=1.5, rate=44_100, channels=2):
    time = np.arange(int(seconds * rate)) / rate
    noise = np.random.default_rng(0).standard_normal((len(time), channels))
    return (0.2 * np.sin(2 * np.pi * 440 * time)[:, None] + 0.02 * noise).astype(np.float32)


def encode(path, codec, samples, rate=44_100, video=False):
    """Write with FFmpeg what libsndfile does not."""
    with av.open(str(path), "w") as container:
        if video:
            picture = container.add_stream("mpeg4", rate=5)
            picture.width, picture.height, picture.pix_fmt = 64, 64, "yuv420p"
        stream = container.add_stream(codec, rate=rate, layout=LAYOUTS[samples.shape[1]])
        if codec in ("aac", "mp2", "wmav2", "ac3"):
            stream.bit_rate = 192_000
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), "fltp", LAYOUTS[samples.shape[1]])
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        into = av.AudioResampler(format=stream.format, layout=stream.layout, rate=rate)
        if video:
            for number in range(5):
                image = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 9 * number, np.uint8), "rgb24")
                image.pts, image.time_base = number, Fraction(1, 5)
                container.mux(picture.encode(image))
            container.mux(picture.encode(None))
        for part in into.resample(frame):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


def convert(source, out, format=None, **options):
    planned = planning.plan([source], out, "jazz", format, **options)
    assert not planned.refused, planned.refused
    assert not jobs.convert(planned.jobs, IDENTITY, out)
    return planned.jobs[0].target


def correlation(one, other):
    """Return how alike two sounds are, give or take a codec's delay."""
    length = min(len(one), len(other))
    one, other = one[:length, 0], other[:length, 0]
    spectra = np.fft.rfft(one, 2 * length) * np.conj(np.fft.rfft(other, 2 * length))
    return np.abs(np.fft.irfft(spectra)).max() / (np.linalg.norm(one) * np.linalg.norm(other))


FOREIGN = [
    ("m4a", "aac", ".m4a"),
    ("m4a", "alac", ".m4a"),
    ("mp4", "aac", ".m4a"),
    ("aac", "aac", ".m4a"),
    ("wma", "wmav2", ".mp3"),
    ("mp2", "mp2", ".mp3"),
    ("ac3", "ac3", ".mp3"),
    ("webm", "libopus", ".opus"),
    ("mka", "flac", ".flac"),
    ("wv", "wavpack", ".flac"),
    ("wav", "adpcm_ima_wav", ".wav"),
]


@pytest.mark.parametrize(("suffix", "codec", "written"), FOREIGN)
def test_a_container_that_libsndfile_does_not_read_converts(tmp_path, suffix, codec, written):
    rate = 48_000 if codec == "libopus" else 44_100
    samples = tone(rate=rate)
    source = encode(tmp_path / f"song.{suffix}", codec, samples, rate)
    before = sound.read_wave(source).samples
    lossless = codec in ("alac", "flac", "wavpack")
    assert len(before) == pytest.approx(len(samples), abs=0 if lossless else 2500)
    assert correlation(before, samples) > 0.95
    if written == f".{suffix}":
        target = convert(source, tmp_path / "out")
    else:
        with pytest.warns(AudioWarning, match=f"cannot be written as it is; the output is {written}"):
            target = convert(source, tmp_path / "out")
    assert target.name == f"song.jazz{written}"
    after = sound.read_wave(target).samples
    assert after.shape == before.shape and correlation(after, before) > 0.95


def test_the_sound_of_a_video_is_converted(tmp_path):
    source = encode(tmp_path / "clip.mp4", "aac", tone(), video=True)
    assert correlation(sound.read_wave(source).samples, tone()) > 0.95
    with pytest.warns(AudioWarning, match="the output is .m4a"):
        assert convert(source, tmp_path / "out").name == "clip.jazz.m4a"


def test_a_playlist_opens_nothing(tmp_path):
    encode(tmp_path / "secret.aac", "aac", tone(0.5))
    text = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{tmp_path / 'secret.aac'}\n#EXT-X-ENDLIST\n"
    for name in ("list.mp3", "list.m4a", "list.wav"):
        (tmp_path / name).write_text(text)
        with pytest.raises(sound.AudioError, match=name):
            sound.read_wave(tmp_path / name)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("format", ["WAV", "WAVEX"])
def test_a_wav_keeps_its_depth_whoever_wrote_its_header(tmp_path, subtype, format):
    soundfile.write(tmp_path / "in.wav", tone(0.3), 44_100, subtype, format=format)
    assert soundfile.info(convert(tmp_path / "in.wav", tmp_path / "out")).subtype == subtype


@pytest.mark.parametrize(
    ("subtype", "expected"), [("IMA_ADPCM", "PCM_16"), ("MS_ADPCM", "PCM_16"), ("GSM610", "PCM_16")]
)
def test_a_coded_wav_becomes_a_plain_one_of_the_same_length(tmp_path, subtype, expected):
    soundfile.write(tmp_path / "in.wav", tone(1.0, 8_000, 1), 8_000, subtype)
    before = sound.read_wave(tmp_path / "in.wav").samples
    target = convert(tmp_path / "in.wav", tmp_path / "out")
    assert soundfile.info(target).subtype == "PCM_16"
    assert sound.read_wave(target).samples.shape == before.shape


@pytest.mark.parametrize(
    ("suffix", "kind"), [("flac", "PCM_24"), ("aiff", "FLOAT"), ("w64", "FLOAT"), ("caf", "FLOAT")]
)
def test_another_format_keeps_as_much_depth_as_it_has(tmp_path, suffix, kind):
    soundfile.write(tmp_path / "in.wav", tone(0.3), 44_100, "FLOAT")
    header = sound.read_header(tmp_path / "in.wav")
    assert sound.kind_like(tmp_path / f"out.{suffix}", header).subtype == kind


@pytest.mark.parametrize("mask", [0x3F, 0x60F, 0x33])
def test_surround_keeps_where_its_loudspeakers_stand(tmp_path, mask):
    channels = mask.bit_count()
    soundfile.write(tmp_path / "in.wav", tone(0.3, channels=channels), 44_100, "PCM_16", format="WAVEX")
    data = bytearray((tmp_path / "in.wav").read_bytes())
    place = data.index(b"fmt ") + 28
    data[place : place + 4] = mask.to_bytes(4, "little")
    (tmp_path / "in.wav").write_bytes(data)
    assert sound.read_header(convert(tmp_path / "in.wav", tmp_path / "out")).channel_mask == mask


def test_over_four_gigabytes_a_wav_is_rf64_and_an_aiff_refused():
    header = sound.Header(600_000_000, 2, 192_000, "RF64", "FLOAT")
    assert sound.kind_like("x.wav", header).format == "RF64"
    assert sound.kind_like("x.flac", header).format == "FLAC"
    with pytest.raises(sound.AudioError, match="x.aiff: AIFF holds at most 4 GB; give --format=wav or flac"):
        sound.kind_like("x.aiff", header)


def bit_rate(path):
    return 8 * path.stat().st_size / sound.duration(path)


@pytest.mark.parametrize("suffix", ["mp3", "ogg", "opus"])
@pytest.mark.parametrize("level", [0.05, 0.7])
def test_a_lossy_file_keeps_its_quality(tmp_path, suffix, level):
    rate = 48_000 if suffix == "opus" else 44_100
    source = tmp_path / f"in.{suffix}"
    format, subtype = ("MP3", None) if suffix == "mp3" else ("OGG", "OPUS" if suffix == "opus" else "VORBIS")
    mode = {"bitrate_mode": "CONSTANT"} if suffix == "mp3" else {}
    with soundfile.SoundFile(source, "w", rate, 2, subtype, format=format, compression_level=level, **mode) as file:
        file.write(tone(8, rate))
    target = convert(source, tmp_path / "out")
    assert 0.7 < bit_rate(target) / bit_rate(source) < 1.5


def test_quality_can_be_asked_for(tmp_path):
    soundfile.write(tmp_path / "in.wav", tone(5), 44_100)
    rates = []
    for wanted in (96, 320):
        out = tmp_path / str(wanted)
        rates.append(bit_rate(convert(tmp_path / "in.wav", out, "mp3", bit_rate=1000 * wanted)) / 1000)
    assert rates == pytest.approx([96, 320], rel=0.1)


TITLE, ARTIST = "ভাটিয়ালি গান (c) é", "লালন"


def tag(path, suffix):
    """Tag a file by mutagen as other programs do, with a cover."""
    if suffix in ("mp3", "wav", "aiff"):
        file = {"mp3": mp3.MP3, "wav": wave.WAVE, "aiff": aiff.AIFF}[suffix](path)
        if file.tags is None:
            file.add_tags()
        for frame in (id3.TIT2, id3.TPE1, id3.TCON):
            file.tags.add(frame(encoding=3, text={id3.TIT2: TITLE, id3.TPE1: ARTIST, id3.TCON: "Folk"}[frame]))
        file.tags.add(id3.COMM(encoding=3, lang="ben", desc="", text="মন্তব্য"))
        file.tags.add(id3.TRCK(encoding=3, text="3/12"))
        file.tags.add(id3.APIC(encoding=3, mime="image/png", type=3, desc="", data=PNG))
    elif suffix == "m4a":
        file = mp4.MP4(path)
        file.update({"\xa9nam": TITLE, "\xa9ART": ARTIST, "\xa9gen": "Folk", "\xa9cmt": "মন্তব্য", "trkn": [(3, 12)]})
        file["covr"] = [mp4.MP4Cover(PNG, mp4.MP4Cover.FORMAT_PNG)]
    else:
        file = {"flac": flac.FLAC, "ogg": oggvorbis.OggVorbis, "opus": oggopus.OggOpus}[suffix](path)
        file.update({"title": TITLE, "artist": ARTIST, "genre": "Folk", "comment": "মন্তব্য", "tracknumber": "3/12"})
        picture = flac.Picture()
        picture.data, picture.mime, picture.type = PNG, "image/png", 3
        if suffix == "flac":
            file.add_picture(picture)
        else:
            file["metadata_block_picture"] = [base64.b64encode(picture.write()).decode()]
    file.save()


TAGGED = ["mp3", "wav", "aiff", "flac", "ogg", "opus", "m4a"]


@pytest.mark.parametrize("suffix", TAGGED)
@pytest.mark.parametrize("other", [None, "mp3", "flac", "m4a"])
def test_title_artist_and_cover_are_kept_and_the_genre_is_not(tmp_path, suffix, other):
    source = tmp_path / f"in.{suffix}"
    if suffix == "m4a":
        encode(source, "aac", tone(0.5, 48_000), 48_000)
    else:
        sound.write_wave(source, tone(0.5, 48_000), 48_000)
    tag(source, suffix)
    target = convert(source, tmp_path / "out", other)
    kept = sound.read_tags(target, sound.read_header(target))
    expected = {"title": [TITLE], "artist": [ARTIST], "comment": ["মন্তব্য"], "tracknumber": ["3/12"]}
    assert {name: kept.texts[name] for name in expected} == expected
    assert "genre" not in kept.texts and [picture.data for picture in kept.pictures] == [PNG]
    assert len(sound.read_wave(target).samples) == len(sound.read_wave(source).samples)


def test_damaged_tags_are_none(tmp_path):
    sound.write_wave(tmp_path / "in.mp3", tone(0.5), 44_100)
    data = (tmp_path / "in.mp3").read_bytes()
    junk = b"ID3\x04\0\0\0\0\x01\x00" + b"TIT2\0\0\0\xff\0\0" + bytes(118)
    (tmp_path / "in.mp3").write_bytes(junk + data)
    assert convert(tmp_path / "in.mp3", tmp_path / "out").exists()


def test_a_wav_says_its_title_to_those_who_read_its_own_list_too(tmp_path):
    sound.write_wave(tmp_path / "in.flac", tone(0.5), 44_100)
    tag(tmp_path / "in.flac", "flac")
    with soundfile.SoundFile(convert(tmp_path / "in.flac", tmp_path / "out", "wav")) as file:
        assert (file.title, file.artist) == (TITLE, ARTIST)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg", "m4a", "aiff"])
def test_mutated_files_end_in_sound_or_in_one_line(tmp_path, suffix):
    """Flipped bits and cut ends: no traceback, nothing that hangs, nothing that is not finite."""
    rng = np.random.default_rng(sum(map(ord, suffix)))
    whole = tmp_path / f"whole.{suffix}"
    sound.write_wave(whole, tone(2), 44_100)
    data = whole.read_bytes()
    for number in range(35):
        mutated = bytearray(data[: rng.integers(1, len(data))] if number % 3 == 0 else data)
        for place in rng.integers(0, len(mutated), int(rng.integers(0, 30))):
            mutated[place] ^= 1 << int(rng.integers(0, 8))
        path = tmp_path / f"{number}.{suffix}"
        path.write_bytes(mutated)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AudioWarning)
            planned = planning.plan([path], tmp_path / "out", "jazz")
            failed = jobs.convert(planned.jobs, IDENTITY, tmp_path / "out")
        assert len(planned.refused) + len(failed) + len(list((tmp_path / "out").glob(f"{number}.*"))) == 1
        for target in (tmp_path / "out").glob(f"{number}.*"):
            assert np.isfinite(sound.read_wave(target).samples).all()


@pytest.mark.parametrize("channels", range(1, 9))
@pytest.mark.parametrize("suffix", ["flac", "wav", "m4a"])
def test_every_number_of_channels_is_read_in_its_order_or_refused(tmp_path, suffix, channels):
    if suffix == "m4a" and channels not in (1, 2, 5, 6):
        with pytest.raises(sound.AudioError, match=f"M4A ALAC with {channels} channels.*a .flac or .wav can hold it"):
            sound.choose_kind("in.m4a", 8_000, channels, "ALAC")
        return
    samples = tone(3, 8_000, channels) * np.linspace(0.2, 1, channels, dtype=np.float32)
    sound.write_wave(tmp_path / f"in.{suffix}", samples, 8_000, "ALAC" if suffix == "m4a" else "PCM_16")
    assert sound.read_wave(tmp_path / f"in.{suffix}").samples == pytest.approx(samples, abs=2**-15)
