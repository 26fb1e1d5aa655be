"""Files that are damaged, lie or are no sound end in a result or in one line, in little time and memory."""

import os
import sys

import numpy as np
import pytest
import soundfile

from gst_jax import sound
from gst_jax.sound import AudioError, headers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it looks at processes as Linux shows them")
if sys.platform == "linux":
    import guarded
    import odd_files
    import readers
    import special_files


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("GST_JAX_CACHE", str(tmp_path / "cache"))
    ordinary = list(odd_files.make(tmp_path / "files", share=0.01, seed=1))
    special = [(special_files.SPECIAL, path) for path in special_files.make(tmp_path / "files" / "special")]
    return ordinary + special[:15] + special[15::4]


def test_a_few_of_each_kind_of_bad_file_end_in_sound_or_in_one_line(made, tmp_path):
    """The 2,000 of `scripts/bad_files.py` in small: read, and trained on, in a process with limits."""
    assert {kind for kind, _ in made} == {*odd_files.MAKERS, special_files.SPECIAL}
    calls = [("reader", path) for _, path in made]
    calls += [("training", path) for _, path in made[::3] if path.suffix in sound.SUFFIXES and path.is_file()]
    outcomes = list(guarded.try_all(impatient, calls))
    assert not [(path.name, outcome.fault) for _, path, outcome in outcomes if outcome.fault]
    assert {bool(outcome.said) for _, _, outcome in outcomes} == {True, False}
    assert not list(tmp_path.rglob("executed"))


def impatient():
    """Do not look as far into the sparse terabytes, of which there are many."""
    headers._FRUITLESS = 1 << 22
    return readers.start()


def test_limits_find_what_they_are_for(tmp_path, monkeypatch):
    """Or the test above could not fail."""
    monkeypatch.setattr(guarded, "HANGS", 2.0)
    paths = [
        tmp_path / name for name in ("sound", "line", "lines", "screen", "memory", "crash", "hang", "other", "run")
    ]
    outcomes = {
        path.name: outcome for _, path, outcome in guarded.try_all(misbehave, [("one", one) for one in paths])
    }
    faults = [
        "says more",
        "prints",
        "raises MemoryError",
        "crashes: exit status -11",
        "hangs",
        "raises Key",
        "starts",
    ]
    assert not outcomes["sound"].fault and outcomes["line"].said and not outcomes["line"].fault
    for path, fault in zip(paths[2:], faults, strict=True):
        assert outcomes[path.name].fault.startswith(fault), outcomes[path.name]


def misbehave():
    guarded.MORE_MEMORY = 200_000_000

    def one(path):
        if path.name in ("line", "lines"):
            raise AudioError(f"{path} is bad" + "\nand more" * (path.name == "lines"))
        if path.name == "screen":
            os.write(2, b"[mp3 @ 0x1] error")
        elif path.name == "memory":
            bytearray(2_000_000_000)
        elif path.name == "crash":
            os.kill(os.getpid(), 11)
        elif path.name == "hang":
            while True:
                pass
        elif path.name == "other":
            raise KeyError(path)
        elif path.name == "run":
            os.system("true")
        return 1.0

    return {"one": one}


@pytest.mark.parametrize("size", [1 << 32, 1 << 33, 1 << 40])
@pytest.mark.parametrize(
    "start", [b"RIFF\0\0\0\0AVI LIST", b"FORM\0\0\0\0ILBM", b"\0\0\0\x1cftypM4A ", b"MThd", b"\x89PNG"]
)
def test_a_long_file_that_libsndfile_does_not_know_is_refused(tmp_path, start, size, monkeypatch):
    """Its reader of SD2, which it asks last, divides by such a length's lower half, and ends the program."""
    monkeypatch.setattr(headers, "_FRUITLESS", 1 << 22)
    path = tmp_path / "long.wav"
    path.write_bytes(start)
    os.truncate(path, size)
    with pytest.raises(AudioError, match=r"long\.wav"):
        sound.read_header(path)


@pytest.mark.parametrize("suffix", ["flac", "mp3", "ogg", "wav"])
def test_terabytes_of_nothing_after_a_song_cost_no_hours(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(headers, "_FRUITLESS", 1 << 22)
    path, read = tmp_path / f"song.{suffix}", 0
    soundfile.write(path, np.zeros((8_000, 1)), 8_000)
    os.truncate(path, 1 << 40)
    before = headers.Patient.read, headers.Patient.readinto

    def counted(how):
        def count(patient, given):
            nonlocal read
            got = how(patient, given)
            read += got if isinstance(got, int) else len(got)
            return got

        return count

    monkeypatch.setattr(headers.Patient, "read", counted(before[0]))
    monkeypatch.setattr(headers.Patient, "readinto", counted(before[1]))
    try:
        sound.read_wave(path)
    except AudioError as error:
        assert path.name in str(error)
    assert 0 < read < 1 << 26


def test_samples_that_cannot_be_sound_are_refused_by_every_reader(tmp_path):
    """Their squares would not be finite."""
    soundfile.write(tmp_path / "loud.wav", np.array([0.1, 3e38, -0.1]), 44_100, "FLOAT")
    with pytest.raises(AudioError, match=r"loud\.wav holds samples beyond 1e\+06"):
        sound.read_wave(tmp_path / "loud.wav")


@pytest.mark.parametrize("place", [-5, -(1 << 62), (1 << 63) - 1])
@pytest.mark.parametrize("whence", [0, 1, 2])
def test_a_place_that_is_none_is_not_gone_to(tmp_path, place, whence, capfd):
    """libsndfile and FFmpeg go where damaged headers send them; an exception there would be told on the screen."""
    (tmp_path / "file").write_bytes(b"0123456789")
    with (tmp_path / "file").open("rb") as file:
        file.seek(3)
        patient = headers.Patient(file)
        assert patient.read(2) == b"34"
        before = patient.tell()
        after = patient.seek(place, whence)
        assert after == patient.tell() and (after == before or file.tell() >= 0)
    assert capfd.readouterr() == ("", "")


def test_a_decoder_that_gives_up_is_one_line(tmp_path, monkeypatch):
    def give_up(*given, **options):
        raise soundfile.LibsndfileError(1)

    soundfile.write(tmp_path / "song.wav", np.zeros(8_000), 8_000)
    monkeypatch.setattr(soundfile.SoundFile, "read", give_up)
    with pytest.raises(AudioError, match=r"song\.wav is damaged .*; remove it, or export it again"):
        sound.read_wave(tmp_path / "song.wav")


def test_tags_that_claim_gigabytes_are_none(tmp_path, monkeypatch):
    def greedy(path):
        raise MemoryError

    soundfile.write(tmp_path / "song.flac", np.zeros(8_000), 8_000)
    monkeypatch.setattr("gst_jax.sound.tags.mutagen.File", greedy)
    assert sound.read_tags(tmp_path / "song.flac", sound.read_header(tmp_path / "song.flac")).texts == {}
