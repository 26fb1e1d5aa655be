"""What a player is given: versions at one loudness that do not clip, with the picture and the sound of each."""

import base64
import io
import tempfile

import numpy as np
import pytest
from PIL import Image

from gst_jax import sound
from gst_jax.presentation.charts import chart
from gst_jax.presentation.player import Version, element, entry, page, player

RATE = 44_100


def tone(level: float, hertz: float = 440.0, channels: int = 2, seconds: float = 3.0) -> np.ndarray:
    wave = level * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


def decoded(version: dict) -> tuple[np.ndarray, int]:
    with tempfile.NamedTemporaryFile(suffix=".mp3") as file:  # libsndfile reads one in memory only at times
        file.write(base64.b64decode(version["src"].partition(",")[2]))
        file.flush()
        wave = sound.read_wave(file.name)
    return wave.samples[:, 0], wave.sample_rate


@pytest.fixture(scope="module")
def made() -> dict:
    bursts = np.arange(3 * RATE) % (RATE // 4) < RATE // 200  # 5 ms, four times a second
    spiky = tone(1.0) * np.where(bursts, 1.0, 0.01).astype(np.float32)[:, None]
    sounds = (tone(0.5), tone(0.02, channels=1), tone(0.9, 3000), spiky)
    versions = [Version(f"v {number}", "a note", samples, RATE) for number, samples in enumerate(sounds)]
    return player("Title", [entry(version, "file") for version in versions], "jazz")


def test_what_is_played_is_equally_loud_and_never_clips(made):
    """By an independent weighting: BS.1770's two filters as the coefficients that it prints for 48 kHz."""
    levels = []
    for version in made["versions"]:
        wave, rate = decoded(version)
        played = 10 ** (version["gain"] / 20) * wave
        assert np.abs(played).max() < 1.0
        levels.append(-0.691 + 10 * np.log10(np.mean(k_weighted(played, rate) ** 2)))
    assert np.ptp(levels) < 0.1
    assert levels[0] < -21.5  # the bursts would clip at the usual level of -20.7, so all were lowered


def k_weighted(wave: np.ndarray, rate: int) -> np.ndarray:
    import scipy.signal

    wave = scipy.signal.resample_poly(wave, 48_000 // 8_000, rate // 8_000)
    shelf = ([1.53512485958697, -2.69169618940638, 1.19839281085285], [1.0, -1.69065929318241, 0.73248077421585])
    high = ([1.0, -2.0, 1.0], [1.0, -1.99004745483398, 0.99007225036621])
    return scipy.signal.lfilter(*high, scipy.signal.lfilter(*shelf, wave))


def test_all_versions_have_one_length_and_one_delay(made):
    lengths = {len(decoded(version)[0]) for version in made["versions"]}
    assert len(lengths) == 1 and made["seconds"] == 3.0


def test_the_waveform_is_that_of_the_sound(made):
    first = made["versions"][0]
    wave, _ = decoded(first)
    highest = 100 * 10 ** (entry(Version("", "", tone(0.5), RATE), "")["gain"] / 20) * np.abs(wave).max()
    assert max(first["peaks"]) == pytest.approx(highest, abs=3)
    assert max(map(len, (version["peaks"] for version in made["versions"]))) == 400


def test_the_spectrogram_has_low_sounds_below(made):
    brightest = []
    for hertz in (200.0, 5000.0):
        url = entry(Version("", "", tone(0.3, hertz), RATE), "")["picture"]
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("L"), float)
        brightest.append(picture.mean(axis=1).argmax() / len(picture))
    assert brightest[0] > 0.8 > 0.5 > brightest[1]


def test_names_of_downloads_tell_versions_apart():
    versions = [
        Version("Converted", "", tone(0.1), RATE, strength=0.5),
        Version("Converted", "", tone(0.1), RATE, strength=1.0),
        Version("Converted", "", tone(0.1), RATE, strength=1.0, has_band=True),
        Version("True jazz", "", tone(0.1), RATE),
    ]
    assert [entry(version, "song")["file"] for version in versions] == [
        "song_converted_0.5.mp3",
        "song_converted.mp3",
        "song_converted_band.mp3",
        "song_true_jazz.mp3",
    ]


def test_no_text_ends_the_script_that_holds_it(made):
    written = element(made | {"title": "</script><script>alert(1)</script>"})
    assert written.count("</script>") == 1 and "alert" in written


def test_a_page_holds_its_style_and_its_script():
    written = page("a < b", "<p>body</p>")
    assert "<title>a &lt; b</title>" in written and "class Deck" in written and ".stage" in written


def test_a_chart_puts_points_where_they_are():
    """The first and the last point lie at the ends, a level line at its level between two ticks."""
    import re

    drawn = chart("t", [[(0, 0.0), (2, 1.0)]], "x", [("flat", 0.5)], best=(2, 1.0))
    (path,) = re.findall(r'd="M([\d. L]+)"', drawn)
    (x0, y0), (x1, y1) = (map(float, point.split()) for point in path.split("L"))
    assert (x0, x1) == (40, 332) and y0 > y1
    level = float(re.search(r'class="flat"[^>]* y1="([\d.]+)"', drawn)[1])
    assert level == pytest.approx((y0 + y1) / 2, abs=0.1)
    assert f'class="best" cx="{x1}" cy="{y1}"' in drawn


def test_a_chart_of_next_to_nothing_shows_no_trend():
    import re

    drawn = chart("t", [[(0, 0.5), (1, 0.501)]], "x", least=0.1)
    (path,) = re.findall(r'd="M([\d. L]+)"', drawn)
    (_, y0), (_, y1) = (map(float, point.split()) for point in path.split("L"))
    assert abs(y0 - y1) < 4
