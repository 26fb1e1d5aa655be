"""Claims about the built-in corpus; the whole of it is rendered only by the slow test."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile

from gst_jax import corpus
from gst_jax.corpus import bank, library, orchestra, render, strings
from gst_jax.corpus.arrangement import Hit, Note, Score
from gst_jax.corpus.composition import LEAD_IN, MODES, Tone, Tune
from gst_jax.runs import workers

TRACKS = {track.path: track for track in library.files()}
REARRANGED = {genre: TRACKS[f"paired/test/rearranged/{genre}/tune_01.flac"] for genre in corpus.GENRES}


@pytest.fixture(scope="module")
def sounds() -> dict[str, np.ndarray]:
    """Return one test tune in each genre, [N, 2]."""
    return {genre: library.samples_of(track) for genre, track in REARRANGED.items()}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Shrink the corpus to the three files of `sounds`."""
    few = list(REARRANGED.values())
    monkeypatch.setattr(library, "files", lambda training_tracks: few)
    return [track.path for track in few]


def straight_tune() -> Tune:
    return Tune(0, MODES[0], 4, 120.0, (0, 0, 0, 0), "A", (Tone(0, 4, 0),))


def test_layout_has_ten_training_files_a_genre_and_both_paired_sets():
    for genre in ("folk", "rock", "jazz"):
        assert sum(path.startswith(f"train/{genre}/") for path in TRACKS) == 10
        assert sum(path.startswith(f"paired/test/rearranged/{genre}/") for path in TRACKS) == 8
        assert sum(path.startswith(f"paired/validation/rearranged/{genre}/") for path in TRACKS) == 4
    for pair in ("folk_as_rock", "folk_as_jazz", "rock_as_folk", "jazz_as_folk"):
        assert sum(path.startswith(f"paired/test/reorchestrated/{pair}/") for path in TRACKS) == 8
    assert len(TRACKS) == 30 + 12 * 3 + 12 * 4


def test_more_training_files_begin_with_the_usual_ones_and_have_a_folder_of_their_own():
    usual = [track for track in library.files() if track.split == "train"]
    more = [track for track in library.files(training_tracks=60) if track.split == "train"]
    assert len(usual) == 30 and len(more) == 180
    assert {replace(track, path="") for track in usual} < {replace(track, path="") for track in more}
    assert not {track.path for track in usual} & {track.path for track in more}
    tunes = {library.tune_of("train", track.tune, track.source).melody for track in more}
    paired = {library.tune_of(split, number).melody for split in ("validation", "test") for number in range(8)}
    assert len(tunes) == 180 and not tunes & paired


def test_a_file_has_the_same_samples_bit_for_bit_whenever_it_is_rendered(sounds):
    again = library.samples_of(REARRANGED["folk"])
    assert again.tobytes() == sounds["folk"].tobytes()


def test_another_seed_gives_other_music():
    tunes = [library.tune_of(seed, "test", 0) for seed in (0, 1)]
    assert tunes[0].melody != tunes[1].melody


def test_no_tune_occurs_in_two_splits():
    melodies = [
        library.tune_of(track.split, track.tune, library._owner(track)).melody
        for track in TRACKS.values()
        if track.split == "train" or track.source == track.target == "folk"
    ]
    assert len(set(melodies)) == len(melodies) == 30 + 12


def test_training_tunes_vary_in_tempo_key_mode_metre_and_lead():
    for genre in corpus.GENRES:
        tunes = [library.tune_of("train", number, genre) for number in range(10)]
        assert max(tune.tempo for tune in tunes) / min(tune.tempo for tune in tunes) > 1.2
        assert len({tune.tonic for tune in tunes}) >= 4
        assert len({tune.mode.name for tune in tunes}) >= 2
        assert {tune.meter for tune in tunes} == {3, 4}
        assert all(27 < tune.seconds < 34 for tune in tunes)


def test_a_melody_stays_in_its_mode_and_ends_on_the_tonic():
    for number in range(8):
        tune = library.tune_of("test", number)
        scale = {(tune.tonic + step) % 12 for step in tune.mode.steps}
        assert {tune.pitch(tone.degree) % 12 for tone in tune.melody} <= scale
        assert tune.pitch(tune.melody[-1].degree) % 12 == tune.tonic
        assert tune.chords[-1] == 0
        ends = [tone.onset + tone.duration for tone in tune.melody]
        starts = [tone.onset for tone in tune.melody[1:]] + [tune.bars * tune.meter]
        assert all(end <= start + 1e-9 for end, start in zip(ends, starts, strict=True))


def test_chords_are_thirds_of_the_scale():
    tune = straight_tune()
    assert tune.chord(0, 4) == [60, 64, 67, 71]  # C major seventh
    assert replace(tune, chords=(4,)).chord(0, 4) == [67, 71, 74, 77]  # G7


def test_paired_versions_of_a_tune_are_sample_aligned(sounds):
    assert len({len(samples) for samples in sounds.values()}) == 1
    seconds = library.tune_of("test", 1).seconds
    assert len(sounds["folk"]) == pytest.approx(seconds * render.SAMPLE_RATE, abs=2)


def test_the_three_arrangements_play_the_melody_of_the_tune():
    tune = library.tune_of("test", 1)
    long = [tone for tone in tune.melody if tone.duration >= 1]
    for track in REARRANGED.values():
        lead = library.arrangement_of(track).parts["lead"]
        for tone in long:
            start = LEAD_IN + tone.onset * tune.beat_seconds
            near = [note for note in lead if start - 0.06 < note.onset < start + 1.1 * tune.beat_seconds]
            assert any((note.pitch - tune.pitch(tone.degree)) % 12 == 0 for note in near)


def test_reorchestration_keeps_every_note_and_stroke():
    for source, target in corpus.REORCHESTRATED:
        other = TRACKS[f"paired/test/reorchestrated/{source}_as_{target}/tune_01.flac"]
        assert library.arrangement_of(other) == library.arrangement_of(REARRANGED[source])


def test_reorchestration_changes_the_sound(sounds):
    other = library.samples_of(TRACKS["paired/test/reorchestrated/folk_as_rock/tune_01.flac"])
    assert other.shape == sounds["folk"].shape
    assert abs(np.corrcoef(other[:, 0], sounds["folk"][:, 0])[0, 1]) < 0.5


def test_every_genre_can_play_every_role_and_stroke():
    rng = np.random.default_rng(0)
    played = [library.arrangement_of(track) for track in TRACKS.values() if track.source == track.target]
    roles = {role for arrangement in played for role in arrangement.parts}
    strokes = {hit.stroke for arrangement in played for hit in arrangement.drums}
    for genre in corpus.GENRES:
        for seat in range(12):
            seats = dict.fromkeys((*roles, "drums"), seat)
            band = orchestra.orchestrate(genre, seats, rng)
            assert roles <= band.instruments.keys()
            assert band.kit.model or strokes <= dict(band.kit.keys).keys()


def test_recordings_are_loud_enough_unclipped_and_never_silent_for_long(sounds):
    for samples in sounds.values():
        assert samples.dtype == np.float32
        assert np.isfinite(samples).all()
        assert np.abs(samples).max() < 10 ** (-1 / 20)
        assert 20 * np.log10(np.sqrt((samples**2).mean())) == pytest.approx(-19, abs=1)
        half = render.SAMPLE_RATE // 2
        played = samples[: -2 * half]  # the last second rings out
        frames = played[: len(played) // half * half].reshape(-1, half * 2)
        assert 20 * np.log10(np.sqrt((frames**2).mean(axis=1))).min() > -40


def test_rock_is_denser_than_folk_and_brighter_than_jazz(sounds):
    crest = {genre: np.abs(samples).max() / samples.std() for genre, samples in sounds.items()}
    assert crest["rock"] < crest["folk"]
    mono = {genre: samples.mean(axis=1) for genre, samples in sounds.items()}
    centroid = {
        genre: librosa.feature.spectral_centroid(y=wave, sr=render.SAMPLE_RATE).mean() for genre, wave in mono.items()
    }
    assert centroid["rock"] > 1.1 * centroid["jazz"]


@pytest.mark.parametrize("pitch", [45, 57, 69])
@pytest.mark.parametrize("model", ["dotara", "lute", "tanpura"])
def test_modelled_strings_are_in_tune(model, pitch):
    note = Note(0.0, 1.5, pitch, 100)
    wave = strings.play(model, (note,), 1.6, 48_000, np.random.default_rng(0))
    wanted = librosa.midi_to_hz(pitch)
    found = librosa.yin(wave[4800:62400], fmin=wanted / 1.5, fmax=1.5 * wanted, sr=48_000, frame_length=4096)
    assert 1200 * np.log2(np.median(found) / wanted) == pytest.approx(0, abs=6)


def test_the_bank_plays_two_parts_apart_in_tune_with_slides():
    lower, upper = Note(0.1, 1.0, 69, 100), Note(0.1, 1.0, 76, 100, slide=-3.0)
    both = bank.play_pair([(73, [lower]), (73, [upper])], 1.3)
    assert both.shape == (round(1.3 * bank.RATE), 2)
    tracks = [
        librosa.hz_to_midi(librosa.yin(both[:, side], fmin=300, fmax=900, sr=bank.RATE, frame_length=2048))
        for side in (0, 1)
    ]
    step = 512 / bank.RATE
    assert np.median(tracks[0][int(0.5 / step) : int(0.9 / step)]) == pytest.approx(69, abs=0.15)
    assert np.median(tracks[1][int(0.5 / step) : int(0.9 / step)]) == pytest.approx(76, abs=0.15)
    assert tracks[1][int(0.135 / step)] < 75.0


def test_swing_delays_the_second_half_of_a_beat():
    score = Score(straight_tune(), np.random.default_rng(0), swing=2 / 3, looseness=0.0)
    score.hit(1.0, "ride", 80)
    score.hit(1.5, "ride", 80)
    hits = score.finish().drums
    assert hits[0].onset == pytest.approx(LEAD_IN + 0.5, abs=1e-4)
    assert hits[1].onset == pytest.approx(LEAD_IN + 0.5 + 0.5 * 2 / 3, abs=1e-4)


def test_drums_sound_where_they_are_written():
    hits = [Hit(0.5, "low", 100), Hit(1.0, "back", 100)]
    wave = np.abs(bank.play_drums(0, {"low": 36, "back": 38}, hits, 1.5)).max(axis=1)
    for onset in (0.5, 1.0):
        before = wave[round((onset - 0.05) * bank.RATE) : round((onset - 0.01) * bank.RATE)].max()
        after = wave[round(onset * bank.RATE) : round((onset + 0.02) * bank.RATE)].max()
        assert after > 5 * before


def test_build_writes_what_one_process_computes_and_then_what_is_missing(tmp_path: Path, small, sounds, monkeypatch):
    shown = []

    def progress(jobs, **about):
        shown.append(about)
        return jobs

    assert corpus.build(tmp_path, progress) == tmp_path
    assert [about["total"] for about in shown] == [3]
    for path, direct in zip(small, sounds.values(), strict=True):
        stored, rate = soundfile.read(tmp_path / path, dtype="int16")
        assert rate == render.SAMPLE_RATE
        assert np.abs(stored - 32768.0 * direct).max() <= 1.0
    assert not list(tmp_path.rglob("*.tmp*"))
    (tmp_path / small[1]).unlink()
    (tmp_path / "mine.txt").write_text("mine")
    rendered = []
    monkeypatch.setattr(library, "_render_all", lambda root, missing, progress: rendered.append(missing))
    corpus.build(tmp_path)
    assert rendered == [[TRACKS[small[1]]]]
    (tmp_path / small[1]).touch()
    corpus.build(tmp_path)
    assert len(rendered) == 1
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_another_version_replaces_the_files_of_the_old_one(tmp_path: Path, small, monkeypatch):
    rendered = []
    monkeypatch.setattr(library, "_render_all", lambda root, missing, progress: rendered.append(len(missing)))
    stale = tmp_path / "train/folk/99.flac"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"old")
    old = {"version": -1, "seed": 0, "files": ["train/folk/99.flac"], "complete": True}
    (tmp_path / "corpus.json").write_text(json.dumps(old))
    corpus.build(tmp_path)
    assert rendered == [3]
    assert not stale.exists()
    assert json.loads((tmp_path / "corpus.json").read_text())["version"] == corpus.VERSION


def test_corpora_of_two_sizes_live_side_by_side(tmp_path: Path, monkeypatch):
    def of_size(training_tracks):
        return [
            library.CorpusFile(
                f"{library.training_folder(training_tracks)}/folk/{n:02}.flac", "train", n, "folk", "folk"
            )
            for n in range(training_tracks - 9)
        ]

    rendered = []

    def render(root, missing, progress):
        rendered.append([track.path for track in missing])
        for track in missing:
            (root / track.path).parent.mkdir(parents=True, exist_ok=True)
            (root / track.path).touch()

    monkeypatch.setattr(library, "files", of_size)
    monkeypatch.setattr(library, "_render_all", render)
    for training_tracks in (10, 11, 10, 11):
        corpus.build(tmp_path, training_tracks=training_tracks)
    assert rendered == [["train/folk/00.flac"], ["train_11/folk/00.flac", "train_11/folk/01.flac"]]
    monkeypatch.setattr(library, "VERSION", -1)
    corpus.build(tmp_path, training_tracks=10)  # throws away what is of the old version, of either size
    assert rendered[2:] == [["train/folk/00.flac"]]
    assert not (tmp_path / "train_11/folk/00.flac").exists()


def test_an_interrupted_build_is_not_called_complete(tmp_path: Path, small, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(library, "_render_all", interrupt)
    with pytest.raises(KeyboardInterrupt):
        corpus.build(tmp_path)
    assert json.loads((tmp_path / "corpus.json").read_text())["complete"] is False


def test_tunes_json_holds_the_ground_truth(tmp_path: Path, small, monkeypatch):
    monkeypatch.setattr(library, "_render_all", lambda *_: None)
    corpus.build(tmp_path)
    tunes = json.loads((tmp_path / "paired/test/tunes.json").read_text())
    assert list(tunes) == [f"tune_{number:02}" for number in range(8)]
    for content in tunes.values():
        assert np.allclose(np.diff(content["beats"]), 60 / content["tempo"], atol=1e-5)
        assert len(content["chords"]) * content["meter"] == len(content["beats"])
        ends = [note["onset"] + note["duration"] for note in content["melody"]]
        assert max(ends) < content["seconds"]
        assert {note["pitch"] % 12 for note in content["melody"]} <= set(content["scale"])


def test_default_directory_follows_the_environment(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    monkeypatch.setenv("GST_JAX_CACHE", "/y")
    assert corpus.default_directory().parent == Path("/y")
    monkeypatch.delenv("GST_JAX_CACHE")
    assert corpus.default_directory().parent == Path("/x/gst_jax")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert corpus.default_directory().parent == Path.home() / ".cache/gst_jax"


@pytest.mark.slow
def test_the_whole_corpus_builds_with_even_loudness(tmp_path: Path):
    corpus.build(tmp_path)
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.flac")} == TRACKS.keys()
    levels = []
    for path in TRACKS:
        samples, _ = soundfile.read(tmp_path / path)
        assert np.abs(samples).max() < 10 ** (-1 / 20)
        levels.append(20 * np.log10(np.sqrt((samples**2).mean())))
    assert max(levels) - min(levels) < 2


@pytest.mark.skipif(sys.platform == "win32", reason="process groups are POSIX")
@pytest.mark.parametrize("end", ["ctrl-c as it starts", "ctrl-c", "kill -9"])
def test_a_build_that_is_ended_says_so_in_one_line_and_goes_on_from_there(tmp_path, hearing, monkeypatch, end):
    """Ctrl-C reaches the command and its workers alike, as in a terminal; kill -9 the command alone."""
    command = [*hearing, sys.executable, "-m", "gst_jax.prepare", "--pair=folk_jazz"]
    environment = os.environ | {"GST_JAX_CACHE": str(tmp_path)}
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    root = tmp_path / "corpus"
    with subprocess.Popen(command, env=environment, **options) as process:
        while not (root.exists() if end == "ctrl-c as it starts" else list(root.rglob("*.flac"))):
            assert process.poll() is None
            time.sleep(0.01)
        if end == "kill -9":
            process.kill()
        else:
            time.sleep(0.3)
            os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=20)  # until its workers, which could write there, have ended, too
    if end != "kill -9":
        assert process.returncode == 130
        lines = [line for line in errors.replace("\r", "\n").splitlines() if line and "corpus" not in line]
        assert lines == ["gst_jax: interrupted"]
    assert not list(root.rglob("*.tmp"))
    there = {path.relative_to(root).as_posix() for path in root.rglob("*.flac")}
    assert all(soundfile.info(root / path).duration > 15 for path in there)
    assert json.loads((root / "corpus.json").read_text())["complete"] is False
    rendered = []
    monkeypatch.setattr(library, "_render_all", lambda root, missing, progress: rendered.extend(missing))
    corpus.build(root)
    assert {file.path for file in rendered} == TRACKS.keys() - there


def test_a_renderer_that_is_killed_is_said_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "_start_worker", os._exit)  # given a leash, it fails at once
    with pytest.raises(OSError, match="because memory ran out .*run the command again"):
        library.build(tmp_path / "corpus")
