import dataclasses
import json

import pytest

from gst_jax import config
from gst_jax.config import Config, ConfigError
from gst_jax.runs import seals
from gst_jax.runs.directory import RunDirectory, Statistics


def test_two_seconds_are_126_frames():
    assert Config().audio.segment_frames == 126


def test_frames_toml_is_the_default():
    assert config.load("configs/frames.toml") == Config()


@pytest.mark.parametrize("name", ["frames", "pictures", "full", "smoke"])
def test_every_shipped_config_loads(name):
    config.load(f"configs/{name}.toml")


def test_override_wins_over_the_file_and_an_integer_may_stand_for_a_float():
    settings = config.load("configs/pictures.toml", ["training.epochs=3", "loss.cycle=7"])
    assert settings.training.epochs == 3
    assert settings.loss.cycle == 7.0 and isinstance(settings.loss.cycle, float)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epoch=3", "unknown config key training.epoch"),
        ("trainig.epochs=3", "unknown config section 'trainig'"),
        ("training.epochs", "section.key=value"),
        ("training.epochs=three", "not a number"),
        ("training.epochs=2.5", "must be of type int"),
        ("training.epochs=0", "at least 1"),
        ("training.learning_rate=0", "above 0"),
        ("training.learning_rate=nan", "finite"),
        ("training.beta1=1.0", "1 excluded"),
        ("loss.cycle=-1", "loss.cycle is -1.0; it must be at least 0"),
        ("audio.hop_length=600", "leaves gaps"),
        ("audio.f_max=9000", "half the sample rate"),
        ("audio.n_mels=34", "multiple of 4"),
        ("audio.segment_seconds=0.2", "frames"),
        ("data.held_out_fraction=1.5", "at most 0.9"),
        ("data.corpus_tracks=0", "at least 1"),
        ("audio.f_min=-100", "audio.f_min is -100.0; it must be at least 0"),
        ("model.architecture=cubes", "frames or pictures"),
        ("model.transport_taps=4", "odd number"),
        ("model.residual=1", "must be of type bool"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_with_its_name(override, message):
    with pytest.raises(ConfigError, match=message):
        config.load(None, [override])


def test_a_missing_or_broken_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="nowhere.toml"):
        config.load(tmp_path / "nowhere.toml")
    (tmp_path / "broken.toml").write_text("[training\n")
    with pytest.raises(ConfigError, match="not valid TOML"):
        config.load(tmp_path / "broken.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[model]\ndimensions = 2\n",
            "model.dimensions is now model.architecture: write model.architecture=pictures",
        ),
        ("[model]\ntransport = 9\n", "model.transport is now model.transport_taps: write model.transport_taps=9"),
        ("[loss]\nlogistic = false\n", "loss.logistic is now .*loss.adversarial_loss=least_squares"),
        ("[data]\ntransposed = 2\n", "data.transposed is now data.speed_semitones: write data.speed_semitones=2"),
    ],
)
def test_a_former_name_is_refused_with_the_new_one(tmp_path, text, message):
    (tmp_path / "old.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        config.load(tmp_path / "old.toml")
    section, _, setting = text[1:].partition("]\n")
    with pytest.raises(ConfigError, match=message):
        config.load(None, [f"{section}.{setting.strip().replace(' ', '')}"])


def test_a_run_directory_with_former_names_means_the_same(tmp_path):
    settings = config.load("configs/pictures.toml", ["data.speed_semitones=2"])
    level = Statistics(mean=(0.5,) * 64, deviation=(2.0,) * 64, highest=(9.5,) * 64)
    run = RunDirectory(path=tmp_path, pair=("a", "b"), config=settings, statistics={"a": level, "b": level})
    run.write()
    tree = seals.unsealed((tmp_path / "config.json").read_text())
    model, loss, data = (tree["config"][section] for section in ("model", "loss", "data"))
    model["dimensions"] = {"frames": 1, "pictures": 2}[model.pop("architecture")]
    model["transport"] = model.pop("transport_taps")
    loss["logistic"] = loss.pop("adversarial_loss") == "logistic"
    data["transposed"] = data.pop("speed_semitones")
    del tree["init_from"]
    tree["provenance"] = {"command": "x"}
    (tmp_path / "config.json").write_text(json.dumps(tree))
    assert RunDirectory.open(tmp_path) == dataclasses.replace(run, history=({"command": "x"},))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8"])
def test_a_file_from_windows_is_read(tmp_path, encoding):
    (tmp_path / "windows.toml").write_bytes("[training]\r\nepochs = 3\r\n".encode(encoding))
    assert config.load(tmp_path / "windows.toml").training.epochs == 3


def test_a_file_in_another_encoding_is_named(tmp_path):
    (tmp_path / "wide.toml").write_bytes("[training]\n".encode("utf-16"))
    with pytest.raises(ConfigError, match="wide.toml is not text in UTF-8"):
        config.load(tmp_path / "wide.toml")


def test_a_section_that_is_no_section_is_refused(tmp_path):
    (tmp_path / "flat.toml").write_text("audio = 3\n")
    for overrides in ([], ["audio.n_mels=64"]):
        with pytest.raises(ConfigError, match="section 'audio' must hold keys, not 3"):
            config.load(tmp_path / "flat.toml", overrides)


def test_a_genre_may_hold_an_underscore_where_the_genres_are_known():
    genres = ["bangla_folk", "rock", "folk"]
    assert config.parse_pair("bangla_folk_rock", genres) == ("bangla_folk", "rock")
    assert config.parse_pair("rock_bangla_folk", genres) == ("rock", "bangla_folk")
    with pytest.raises(ConfigError, match="can mean a and b_c or a_b and c; rename a folder"):
        config.parse_pair("a_b_c", ["a", "b_c", "a_b", "c"])


@pytest.mark.parametrize("pair", ["folk/lalon_rock", "folk_rock/", "folk\\x_rock"])
def test_a_pair_is_no_path(pair):
    with pytest.raises(ConfigError, match="two different genre names"):
        config.parse_pair(pair)


@pytest.mark.parametrize("pair", ["folk", "folk_", "folk_folk", "a_b_c", ""])
def test_a_pair_is_two_names(pair):
    with pytest.raises(ConfigError, match="two different genre names"):
        config.parse_pair(pair)
    assert config.parse_pair("folk_jazz") == ("folk", "jazz")


def test_dictionary_round_trip_and_differences():
    settings = config.load(None, ["training.epochs=3"])
    assert config.from_dict(config.to_dict(settings)) == settings
    assert config.differences(Config(), settings) == ["training.epochs: 40 -> 3"]


def test_run_directory_describes_itself(tmp_path):
    level = Statistics(mean=(0.5,) * 64, deviation=(2.0,) * 64, highest=(9.5,) * 64)
    run = RunDirectory(
        pair=("folk", "jazz"),
        config=Config(),
        statistics={"folk": level, "jazz": level},
        audio_dirs=("/গান 🎵", "corpus"),
        init_from="/runs/ক",
        history=({"command": "x"}, {"command": "y"}),
        path=tmp_path,
    )
    run.write()
    assert RunDirectory.open(tmp_path) == run
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.parametrize(("recorded", "audio_dirs"), [(None, ()), ("/music", ("/music",))])
def test_a_run_recorded_before_there_could_be_several_folders_opens(tmp_path, recorded, audio_dirs):
    RunDirectory(path=tmp_path, pair=("folk", "jazz"), config=Config(), statistics={}).write()
    tree = seals.unsealed((tmp_path / "config.json").read_text())
    del tree["audio_dirs"]
    (tmp_path / "config.json").write_text(json.dumps(tree | {"audio_dir": recorded}))
    assert RunDirectory.open(tmp_path).audio_dirs == audio_dirs


def test_a_damaged_or_missing_run_is_an_error_that_says_so(tmp_path):
    with pytest.raises(ConfigError, match="not a run directory"):
        RunDirectory.open(tmp_path)
    (tmp_path / "config.json").write_text('{"pair": ["a"')
    with pytest.raises(ConfigError, match="damaged"):
        RunDirectory.open(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"pair": ["a", "b"]}))
    with pytest.raises(ConfigError, match="damaged"):
        RunDirectory.open(tmp_path)


def test_settings_are_frozen_and_hashable_so_that_jit_can_key_on_them():
    assert hash(Config()) == hash(Config())
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().training = None


SETTINGS = [
    (section.name, key.name, getattr(getattr(Config(), section.name), key.name))
    for section in dataclasses.fields(Config)
    for key in dataclasses.fields(getattr(Config(), section.name))
]


@pytest.mark.parametrize(("section", "key", "value"), SETTINGS, ids=lambda value: str(value))
def test_every_setting_refuses_what_it_cannot_be(section, key, value):
    """Another type, a number below its range, none at all: by name, whichever setting it is."""
    wrong = "3" if isinstance(value, str) else '"three"'
    with pytest.raises(ConfigError, match=rf"{section}\.{key}"):
        config.from_dict({section: {key: 3 if isinstance(value, str) else "three"}})
    if isinstance(value, float):
        for bad in ("nan", "inf", "-1"):
            with pytest.raises(ConfigError, match=rf"{section}\.{key} is .*; it must be"):
                config.load(None, [f"{section}.{key}={bad}"])
    elif isinstance(value, int) and not isinstance(value, bool):
        with pytest.raises(ConfigError, match=rf"{section}\.{key} is -1; it must be"):
            config.load(None, [f"{section}.{key}=-1"])
    else:
        assert wrong


@pytest.mark.parametrize(("section", "key", "value"), SETTINGS, ids=lambda value: str(value))
def test_every_setting_survives_toml(tmp_path, section, key, value):
    text = {True: "true", False: "false"}.get(value, repr(value)) if isinstance(value, bool) else json.dumps(value)
    (tmp_path / "one.toml").write_text(f"[{section}]\n{key} = {text}\n")
    assert config.load(tmp_path / "one.toml") == config.load(None, [f"{section}.{key}={text}"]) == Config()
