"""The studio in a browser, with the network cut: convert, record, train, stop, resume, compare, and no barrier.

They need Chromium (`apt-get install chromium`) and `pip install 'gst_jax[browser]'`, and are skipped where either is
missing.
"""

import io
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
from test_pages import CHROMIUM, FLAGS, axe, sync_api
from test_player import k_weighted

from gst_jax import sound

pytestmark = pytest.mark.slow
pytest.importorskip("uvicorn", reason="pip install 'gst_jax[studio]'")

RATE = 44_100
HEARING = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
CUT = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
# In each Python process: whoever reaches for the network is noted.
GUARD = """
import os, socket
connect = socket.socket.connect
def checked(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6) and not str(address[0]).startswith("127."):
        open(os.environ["REACHED"], "a").write(f"{address}\\n")
        raise OSError("the network is cut")
    return connect(self, address)
socket.socket.connect = checked
"""
PLAYS = "Players.players.some(({ deck }) => deck?.running && deck.position > 0.05)"
HEARD = "Players.players[0].deck.versions.map(({ src, gain }) => [new URL(src, location).href, gain])"
TARGETS = "button, a.button, nav a, summary, select, label:has(input), .stage input"
DONE = "document.querySelector('#convert .status').textContent.startsWith('Done')"


class Server:
    """A studio in a folder, which can be ended and started again."""

    def __init__(self, folder: Path):
        self.folder = folder
        for name in ("home", "tmp", "guard"):
            (folder / name).mkdir()
        (folder / "guard" / "sitecustomize.py").write_text(GUARD)
        self.reached = folder / "reached"
        self.start(0)

    def start(self, port: int) -> None:
        places = {"TMPDIR": "tmp", "PYTHONPATH": "guard", "REACHED": "reached", "GST_JAX_CACHE": "cache"}
        environment = os.environ | {name: str(self.folder / place) for name, place in places.items()}
        command = [sys.executable, "-m", "gst_jax", "studio", "--noopen", f"--port={port}"]
        self.process = subprocess.Popen(
            command, cwd=self.folder / "home", env=environment, stdout=subprocess.PIPE, text=True
        )
        self.address = self.process.stdout.readline().split()[-1]
        self.process.stdout.readline()

    def end(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.wait(60)
        self.process.stdout.close()

    def again(self, number: int) -> None:
        self.end(number)
        self.start(int(self.address.rstrip("/").rpartition(":")[2]))


@pytest.fixture(scope="module")
def server(tmp_path_factory, audio_dir):
    folder = tmp_path_factory.mktemp("studio")
    server = Server(folder)
    (folder / "home" / "my_music").mkdir()
    for genre in ("harp", "organ"):
        place = folder / "home" / "my_music" / genre
        place.mkdir()
        for path in (audio_dir / genre).iterdir():
            tune = sound.read_wave(path)
            longer = np.concatenate([tune.samples[::-1], tune.samples] * 4)  # or training would be over at once
            sound.write_wave(place / path.name, longer, tune.sample_rate)
    yield server
    server.end()
    assert not server.reached.exists(), server.reached.read_text()
    assert not list((folder / "tmp").glob(".gst_jax-*"))


@pytest.fixture(scope="module")
def songs(tmp_path_factory) -> Path:
    """One of 24 s of chords in two channels, as MP3 and as M4A."""
    folder = tmp_path_factory.mktemp("songs")
    when = np.arange(24 * RATE) / RATE
    steps = np.array([0, 5, 7, 3])[(when // 2).astype(int) % 4]
    voices = [np.sin(2 * np.pi * 220 * 2 ** ((steps + n) / 12) * when + n) for n in (0, 4, 7, 12)]
    song = sum(voices) * (0.3 + 0.7 * np.exp(-4 * (when % 0.5)))
    stereo = 0.1 * np.stack([song, np.roll(song, 300)], 1).astype(np.float32)
    for suffix in ("mp3", "m4a"):
        sound.write_wave(folder / f"song.{suffix}", stereo, RATE)
    return folder


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("there is no Chromium: apt-get install chromium, or name one in $CHROMIUM")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *HEARING, CUT])
        yield browser
        browser.close()


@pytest.fixture
def show(browser, server):
    """Open the studio; what the console says, or what is asked of anyone else, fails the test, if not expected."""
    opened, complaints, expected = [], [], []

    def show(place="", expect=(), **options):
        expected.extend(expect)
        context = browser.new_context(
            accept_downloads=True, **({"viewport": {"width": 1280, "height": 900}} | options)
        )
        opened.append(context)
        tab = context.new_page()
        ours = (server.address, "data:", "blob:")
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("request", lambda asked: asked.url.startswith(ours) or complaints.append(asked.url))
        tab.goto(server.address + place)
        until(tab, "document.title.includes(' - ')")
        return tab

    yield show
    for context in opened:
        context.close()
    assert not [text for text in complaints if not any(part in text for part in expected)]


def until(tab, code: str, seconds: float = 120.0):
    """Wait until an expression holds; the page's policy forbids what Playwright would do for it."""
    end = time.monotonic() + seconds
    while not (found := tab.evaluate(code)):
        assert time.monotonic() < end, (code, tab.locator("main").inner_text())
        tab.wait_for_timeout(50)
    return found


def loudness(address: str, gain: float) -> float:
    """Return how loud a version is heard, in dB, by an independent weighting."""
    with urllib.request.urlopen(address) as answer:
        samples, rate = soundfile.read(io.BytesIO(answer.read()))
    channels = [scipy.signal.resample_poly(channel, 160, 147) for channel in samples.T]
    assert rate == RATE
    return gain + 10 * np.log10(sum(np.mean(k_weighted(channel, 48_000) ** 2) for channel in channels))


def take(tab, path: Path) -> None:
    tab.locator("#convert input[type=file]").set_input_files(path)


@pytest.mark.parametrize("kind", ["mp3", "m4a"])
def test_a_song_is_heard_at_once_then_whole_and_kept_with_its_length(show, songs, tmp_path, kind):
    tab = show()
    take(tab, songs / f"song.{kind}")
    until(tab, "document.querySelector('#convert .player .play') !== null")
    assert tab.evaluate("Players.players[0].deck.seconds") == pytest.approx(10, abs=0.01)  # the first seconds
    tab.get_by_role("button", name="Play").click()
    until(tab, PLAYS)
    until(tab, DONE)
    state = tab.evaluate("(({ deck }) => [deck.seconds, deck.running !== null])(Players.players[0])")
    assert state == [pytest.approx(24, abs=0.1), True]  # it plays on, in what is whole now
    for key in "1212":
        before = tab.evaluate("[performance.now() / 1000, Players.players[0].deck.position]")
        tab.keyboard.press(key)
        after = tab.evaluate("[performance.now() / 1000, Players.players[0].deck.position]")
        assert (after[1] - before[1]) % 24 == pytest.approx(after[0] - before[0], abs=0.1)
    assert tab.locator(".player .version").all_inner_texts() == ["1Original\nas it was", "2Jazz\nby folk_jazz"]
    assert np.ptp([loudness(*version) for version in tab.evaluate(HEARD)]) < 0.5
    names = [f"Download {kind.upper()}"] + (["Download MP3"] if kind != "mp3" else [])
    assert tab.locator("#convert .download").all_inner_texts() == names
    for name in names:
        with tab.expect_download() as waiting:
            tab.locator("#convert .download", has_text=name).click()
        suffix = name.split()[1].lower()
        assert waiting.value.suggested_filename == f"song.jazz.{suffix}"
        waiting.value.save_as(tmp_path / f"kept.{suffix}")
        kept = sound.read_wave(tmp_path / f"kept.{suffix}")
        assert kept.samples.shape == (24 * RATE, 2) and kept.sample_rate == RATE
    tab.reload()  # a closed tab loses nothing
    until(tab, DONE)
    assert tab.locator(".player .version").count() == 2


def test_strengths_and_a_band_are_added_to_the_player(show, songs):
    tab = show()
    take(tab, songs / "song.mp3")
    until(tab, DONE)
    tab.locator("#convert input[name=strength]").fill("0.5")
    tab.get_by_label("A band plays along").check()
    tab.get_by_role("button", name="Convert again").click()
    until(tab, "Players.players[0]?.deck.versions.length === 3")
    until(tab, DONE)
    assert tab.locator(".player .strength input").is_visible()
    assert tab.evaluate("Players.players[0].deck.versions.map(({ strength }) => strength ?? null)") == [None, 1, 0.5]


def test_what_the_microphone_hears_is_converted(show):
    tab = show()
    record = tab.get_by_role("button", name="Record")
    record.click()
    until(tab, "document.querySelector('.record.on') !== null")
    tab.wait_for_timeout(4000)
    tab.locator(".record").click()
    until(tab, DONE)
    assert tab.evaluate("Players.players[0].deck.seconds") == pytest.approx(4, abs=0.6)
    tab.get_by_role("button", name="Play").click()
    until(tab, PLAYS)


def test_what_is_no_sound_is_refused_in_a_sentence(show, tmp_path):
    (tmp_path / "notes.txt").write_text("no music")
    tab = show(expect=["status of 400"])
    take(tab, tmp_path / "notes.txt")
    text = until(tab, "document.querySelector('#convert .status.bad')?.textContent")
    assert text.startswith("notes.txt is not sound") and "Traceback" not in text


def test_two_tabs_wait_in_one_line_and_work_can_be_stopped(show, songs):
    first, second = show(), show()
    for tab in (first, second):
        take(tab, songs / "song.mp3")
        until(tab, "document.querySelector('#convert .work li') !== null")
    until(second, "document.querySelector('#convert .work').textContent.includes('in line, one before it')")
    second.get_by_role("button", name="Stop").click()
    until(second, "document.querySelector('#convert .work').textContent === ''")
    until(first, DONE)
    assert second.locator("#convert .player").is_hidden()


def look_over(tab, server, settings: str) -> None:
    """One genre by a folder, the other by its files."""
    one, other = tab.locator(".side").all()
    one.get_by_label("or a folder on this computer").fill("my_music/harp")
    other.get_by_label("Name").fill("church organ")
    files = sorted((server.folder / "home" / "my_music" / "organ").iterdir())
    other.locator("input[type=file]").set_input_files(files)
    until(tab, "document.querySelectorAll('.side')[1].textContent.includes('3 files taken in')")
    tab.get_by_label(settings).check()
    tab.get_by_role("button", name="Look over the music").click()
    until(tab, "document.querySelector('.found tbody tr') !== null")
    rows = tab.locator(".found tbody tr").all_inner_texts()
    assert [row.split("\t") for row in rows] == [
        ["harp", "2", "1.1", "1", "0"],
        ["church organ", "2", "1.1", "1", "0"],
    ]
    until(tab, "document.querySelector('.needed')?.textContent.startsWith('Training will take')")
    tab.get_by_role("button", name="Start training").click()


def steps(tab) -> int:
    return tab.evaluate("fetch('/api/trainings').then((answer) => answer.json()).then(([one]) => one?.step ?? 0)")


def test_a_training_outlives_its_tab_and_its_studio_stops_and_goes_on(show, server):
    tab = show("#train", expect=["ERR_CONNECTION"])  # while the studio is away
    look_over(tab, server, "Until it gets no better")
    while steps(tab) < 20:
        tab.wait_for_timeout(200)
    tab.context.close()
    server.again(signal.SIGKILL)
    tab = show("#train")
    until(tab, "document.querySelector('.training p')?.textContent === 'It trains.'")
    tab.get_by_role("button", name="Stop and keep").click()
    until(tab, "document.querySelector('.training p').textContent === 'Stopped.'")
    reached = steps(tab)
    assert reached >= 20
    server.again(signal.SIGTERM)
    tab.reload()
    tab.get_by_role("button", name="Resume").click()
    while steps(tab) <= reached:
        tab.wait_for_timeout(200)
    server.again(signal.SIGTERM)  # which stops it, and keeps what it learned
    tab.reload()
    until(tab, "document.querySelector('.training p')?.textContent === 'Stopped.'")
    assert steps(tab) > reached


def test_a_training_to_its_end_is_heard_and_used(show, server, songs):
    tab = show("#train")
    look_over(tab, server, "A quick trial")
    until(tab, "document.querySelector('.training p')?.textContent === 'Finished.'", 300)
    newest = tab.locator(".training", has_text="Finished.")
    until(tab, "document.querySelectorAll('.training')[0].querySelectorAll('figure').length === 3")  # the curve
    until(tab, "document.querySelectorAll('.training')[0].querySelectorAll('.version').length >= 3")  # the ages
    newest.locator(".play").click()
    until(tab, PLAYS)
    with tab.context.expect_page() as opening:
        newest.get_by_role("link", name="Report").click()
    assert opening.value.locator("h1").inner_text() == "Harp ⇄ church organ"
    newest.get_by_role("link", name="Use this model").click()
    until(tab, "document.querySelector('.directions').textContent.includes('Harp to church organ')")
    take(tab, songs / "song.mp3")
    until(tab, DONE)
    assert "Church organ" in tab.locator(".player .version").nth(1).inner_text()


def test_two_runs_are_compared_by_ear(show, songs):
    tab = show()
    take(tab, songs / "song.mp3")
    until(tab, DONE)
    tab.get_by_role("link", name="Runs").click()
    until(tab, "document.querySelectorAll('#runs .list li').length >= 2")
    runs = tab.locator("#runs")
    runs.get_by_label("One run").select_option("folk_jazz (bundled)")
    runs.get_by_label("The other").select_option("folk_rock (bundled)")
    assert runs.get_by_label("Into").input_value() == "folk"
    tab.locator("#runs select[name=song]").select_option("the one in Convert")
    tab.get_by_role("button", name="Compare").click()
    until(tab, "document.querySelectorAll('#runs .version').length === 4")
    names = [text.partition("\n")[0] for text in tab.locator("#runs .version").all_inner_texts()]
    assert names == ["1Original", "2Jazz", "3Folk by folk_jazz (bundled)", "4Folk by folk_rock (bundled)"]


def test_a_song_that_is_gone_is_said_to_be(show):
    tab = show("#convert/nothing", expect=["status of 404"])
    assert "not any more" in until(tab, "document.querySelector('#convert .status.bad')?.textContent")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_every_pane_has_no_barrier_fits_a_phone_and_has_room_for_a_finger(show, songs, width, scheme):
    tab = show(viewport={"width": width, "height": 844}, color_scheme=scheme)
    take(tab, songs / "song.mp3")
    until(tab, DONE)
    for pane in ("convert", "train", "runs", "about"):
        tab.evaluate(f"location.hash = '{pane}'")
        until(tab, f"!document.getElementById('{pane}').hidden")
        tab.wait_for_timeout(1500)
        tab.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
        found = axe.Axe().run(tab)
        assert found.violations_count == 0, found.generate_report()
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        sizes = tab.evaluate(
            f"[...document.querySelectorAll('{TARGETS}')]"
            """.filter((one) => one.offsetParent).map((one) => {
                const { width, height } = one.getBoundingClientRect();
                return [Math.min(width, height), one.outerHTML.slice(0, 80)];
            })"""
        )
        assert len(sizes) > 5 and min(sizes)[0] >= 44, min(sizes)
