"""The pages in a browser: the place and the loudness hold, one thing sounds, keys, phone, dark, and no barrier.

They need Chromium (`apt-get install chromium`) and `pip install 'gst_jax[browser]'`, and are skipped where either is
missing. The network is cut throughout.
"""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from gst_jax.presentation.player import Version, element, entry, page, player

pytestmark = pytest.mark.slow
sync_api = pytest.importorskip("playwright.sync_api", reason="pip install 'gst_jax[browser]'")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install 'gst_jax[browser]'")

ROOT = Path(__file__).parents[1]
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = """--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --autoplay-policy=no-user-gesture-required""".split()
RATE, SECONDS = 32_000, 4.0
# What a listener hears of the player that sounds: the level in dB, over 50 ms, of what goes to the loudspeakers.
LEVEL = """async () => {
  const { deck } = Players.players.find(({ deck }) => deck?.running);
  const analyser = new AnalyserNode(deck.running.master.context, { fftSize: 2048 });
  deck.running.master.connect(analyser);
  const samples = new Float32Array(2048);
  let energy = 0;
  for (let turn = 0; turn < 12; turn++) {
    await new Promise((resolve) => setTimeout(resolve, 60));
    analyser.getFloatTimeDomainData(samples);
    energy += samples.reduce((sum, sample) => sum + sample * sample, 0) / 2048 / 12;
  }
  return 10 * Math.log10(energy);
}"""
STATE = """() => Players.players.filter(({ deck }) => deck).map(({ deck }) => ({
  runs: deck.running !== null, place: deck.position, loop: deck.loop,
  chosen: deck.versions[deck.chosen].name, band: deck.versions[deck.chosen].band ?? false,
  strength: deck.versions[deck.chosen].strength ?? null,
  gains: deck.running?.gains.map(({ gain }) => gain.value) ?? [],
}))"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("there is no Chromium: apt-get install chromium, or name one in $CHROMIUM")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def show(browser):
    """Open a page with the network cut; anything that the console says, or that is asked for, fails the test."""
    opened = []
    complaints = []

    def show(path, **options):
        options = {"viewport": {"width": 1280, "height": 900}} | options
        context = browser.new_context(offline=True, accept_downloads=True, **options)
        opened.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("request", lambda asked: asked.url.startswith(("file:", "data:", "blob:")) or complaints.append(asked))
        tab.goto(path.as_uri())
        return tab

    yield show
    for context in opened:
        context.close()
    assert not complaints


def noise(level: float, seed: int) -> np.ndarray:
    return (level * np.random.default_rng(seed).standard_normal(int(RATE * SECONDS))).astype(np.float32)


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """Two players of noise, of very different levels before they were matched."""
    body = "<h1>Two songs</h1><h2>Listen</h2>"
    for number in range(2):
        versions = [
            Version("Original", "as played", noise(0.2, 0), RATE),
            Version("Converted", "by the model", noise(0.02, 1), RATE, strength=0.5),
            Version("Converted", "by the model", noise(0.01, 2), RATE, strength=1.0, chosen=True),
            Version("Converted", "by the model", noise(0.1, 3), RATE, strength=1.0, has_band=True),
            Version("Equaliser", "learns nothing", noise(0.05, 4), RATE),
            Version("True jazz", "arranged", noise(0.3, 5), RATE),
        ]
        entries = [entry(version, f"song_{number}") for version in versions]
        body += element(player(f"Song {number}", entries, "jazz", "Listen."))
    body += '<h2>Blind test</h2><section class="blind-test" aria-label="Blind test"></section>'
    path = tmp_path_factory.mktemp("page") / "small.html"
    path.write_text(page("Two songs", body), encoding="utf-8")
    return path


def begin(tab, number=0):
    tab.locator(".player .play").nth(number).click()
    tab.wait_for_function("Players.players.some(({ deck }) => deck?.running && deck.position > 0.05)")


def test_switching_keeps_the_place_and_the_loudness(show, small):
    tab = show(small)
    begin(tab)
    levels = [tab.evaluate(LEVEL)]
    for key in "134":
        before = tab.evaluate("[performance.now() / 1000, Players.players[0].deck.position]")
        tab.keyboard.press(key)
        after = tab.evaluate("[performance.now() / 1000, Players.players[0].deck.position]")
        moved = (after[1] - before[1]) % SECONDS
        assert moved == pytest.approx(after[0] - before[0], abs=0.1)
        tab.wait_for_timeout(50)
        levels.append(tab.evaluate(LEVEL))
    assert np.ptp(levels) < 0.5  # they were up to 29 dB apart; the analyser's windows of noise differ by some tenths


def test_versions_run_together_and_one_of_them_sounds(show, small):
    tab = show(small)
    begin(tab)
    for key, name in (("1", "Original"), ("2", "Converted"), ("4", "True jazz")):
        tab.keyboard.press(key)
        tab.wait_for_timeout(100)
        (state, other) = tab.evaluate(STATE)
        assert state["chosen"] == name and not other["runs"]
        assert len([gain for gain in state["gains"] if gain > 0]) == 1


def test_one_player_sounds_at_a_time(show, small):
    tab = show(small)
    begin(tab, 0)
    tab.locator(".player .play").nth(1).click()
    tab.wait_for_function("Players.players[1].deck.running")
    assert [state["runs"] for state in tab.evaluate(STATE)] == [False, True]


def test_the_keys_play_switch_move_and_loop(show, small):
    tab = show(small)
    tab.keyboard.press(" ")
    tab.wait_for_function("Players.players[0].deck.running")
    tab.keyboard.press(" ")
    (state, _) = tab.evaluate(STATE)
    assert not state["runs"] and state["loop"]
    tab.evaluate("Players.players[0].deck.seek(0)")
    for key, wanted in (("ArrowRight", 2.0), ("ArrowLeft", 0.0), ("ArrowRight", 2.0), ("ArrowRight", 4.0)):
        tab.keyboard.press(key)
        assert tab.evaluate(STATE)[0]["place"] == pytest.approx(wanted, abs=0.3)
    tab.keyboard.press("l")
    assert not tab.evaluate(STATE)[0]["loop"]
    tab.keyboard.press("9")  # there is no ninth
    assert tab.evaluate(STATE)[0]["chosen"] == "Converted"


def test_a_chosen_version_does_not_take_the_space_bar_from_play(show, small):
    tab = show(small)
    tab.locator(".player .version").nth(2).click()
    tab.keyboard.press(" ")
    tab.wait_for_function("Players.players[0].deck.running")
    assert tab.evaluate(STATE)[0]["chosen"] == "Equaliser"


def test_by_keyboard_alone_everything_is_reached_and_says_what_it_is(show, small):
    tab = show(small)
    names = []
    for _ in range(9):
        tab.keyboard.press("Tab")
        names.append(tab.evaluate("(document.activeElement.ariaLabel ?? document.activeElement.textContent).trim()"))
    assert names[0] == "Play Song 0" and "Loop" in names and "Place" in names and "Strength" in names
    assert sum("Original" in name or "Equaliser" in name for name in names) == 2
    assert tab.locator(".heard[aria-live=polite]").first.text_content() == "Converted, strength 1"


def test_strength_and_band_choose_among_versions_of_one_name(show, small):
    tab = show(small)
    strength = tab.get_by_label("Strength").first
    strength.fill("0")
    assert tab.evaluate(STATE)[0]["strength"] == 0.5
    tab.get_by_role("button", name="Band").first.click()  # there is one at strength 1 alone
    assert (tab.evaluate(STATE)[0]["strength"], tab.evaluate(STATE)[0]["band"]) == (1.0, True)
    assert strength.input_value() == "1"
    tab.get_by_role("button", name="Band").first.click()
    assert (tab.evaluate(STATE)[0]["strength"], tab.evaluate(STATE)[0]["band"]) == (0.5, False)
    assert tab.get_by_label("Strength").first.is_visible()
    tab.keyboard.press("1")
    assert not tab.get_by_label("Strength").first.is_visible()


def test_without_a_loop_it_ends_and_begins_again(show, small):
    tab = show(small)
    tab.keyboard.press("l")
    tab.evaluate("Players.players[0].deck.seek(3.6)")
    tab.locator(".player .play").first.click()
    tab.wait_for_function("!Players.players[0].deck.running && Players.players[0].deck.place === 0")
    assert tab.locator(".player .play").first.text_content() == "Play"


def test_a_click_on_the_picture_moves_there(show, small):
    tab = show(small)
    box = tab.locator(".stage").first.bounding_box()
    tab.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + 0.5 * box["height"])
    assert tab.evaluate(STATE)[0]["place"] == pytest.approx(0.75 * SECONDS, abs=0.1)


def test_a_download_is_the_version_that_is_heard(show, small, tmp_path):
    tab = show(small)
    tab.keyboard.press("3")
    with tab.expect_download() as waiting:
        tab.locator(".download").first.click()
    assert waiting.value.suggested_filename == "song_0_equaliser.mp3"
    waiting.value.save_as(tmp_path / "sound.mp3")
    assert (tmp_path / "sound.mp3").stat().st_size > 10_000


def test_the_blind_test_hides_names_and_gives_its_answers_as_json(show, small, tmp_path):
    tab = show(small)
    test = tab.locator(".blind-test")
    test.get_by_role("button", name="Begin").click()
    for number in range(10):
        assert test.locator("h3").text_content() == f"Pair {number + 1} of 10"
        assert "Converted" not in test.inner_text() and "Equaliser" not in test.inner_text()
        following = test.locator(".next")
        assert following.is_disabled()
        if number == 0:
            test.get_by_role("button", name="Play").click()
            tab.wait_for_function("document.querySelector('.blind-test .play').textContent === 'Pause'")
            tab.keyboard.press("2")
            assert test.locator(".version[aria-pressed=true]").text_content().endswith("B")
        test.locator("fieldset").nth(0).get_by_text("A", exact=True).click()
        test.locator("fieldset").nth(1).get_by_text("Can't tell").click()
        following.click()
    with tab.expect_download() as waiting:
        test.get_by_text("Save as JSON").click()
    waiting.value.save_as(tmp_path / "blind_test.json")
    found = json.loads((tmp_path / "blind_test.json").read_text())
    assert len(found["pairs"]) == 10 and found["page"] == "Two songs"
    for pair in found["pairs"]:
        assert pair["a"] != pair["b"] and pair["target"] == "jazz" and pair["song"].startswith("Song ")
        assert (pair["more_like_target"], pair["keeps_tune"]) == ("a", "neither")


@pytest.fixture(scope="module")
def run_page(tmp_path_factory, audio_dir) -> Path:
    """The page of a small run that was measured while it trained."""
    from gst_jax import config
    from gst_jax.evaluation import held_out
    from gst_jax.learning import loop
    from gst_jax.presentation import live, report

    run_dir = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GST_JAX_CACHE", str(tmp_path_factory.mktemp("cache")))
        settings = config.load("configs/smoke.toml", ["training.epochs=3", "training.measure_every=4"])
        options = {"listen": held_out.prepare, "on_measure": live.Live(run_dir).on_measure}
        loop.train(("harp", "organ"), settings, run_dir, audio_dirs=[audio_dir], **options)
        return report.write(run_dir)


PAGES = ["small", "run_page", "examples"]


@pytest.fixture
def shown_page(request) -> Path:
    if request.param == "examples":
        return ROOT / "results" / "examples" / "index.html"
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("shown_page", PAGES, indirect=True)
def test_a_page_has_no_barrier_fits_a_phone_and_has_room_for_a_finger(show, shown_page, width, scheme):
    tab = show(shown_page, viewport={"width": width, "height": 844}, color_scheme=scheme)
    tab.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    found = axe.Axe().run(tab)
    assert found.violations_count == 0, found.generate_report()
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    sizes = tab.evaluate(
        """() => [...document.querySelectorAll("button, a.button, summary, input")].filter((one) => one.offsetParent)
        .map((one) => [one.getBoundingClientRect().width, one.getBoundingClientRect().height])"""
    )
    assert len(sizes) > 10 and min(min(size) for size in sizes) >= 44
    background = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 150) == (scheme == "dark")


@pytest.mark.parametrize("shown_page", PAGES, indirect=True)
def test_every_sound_of_a_page_plays(show, shown_page):
    tab = show(shown_page)
    lengths = tab.evaluate(
        """async () => {
        const context = new OfflineAudioContext(1, 1, 44100);
        const all = Players.players.filter(({ data }) => data).map(({ data }) => data);
        return Promise.all(all.flatMap(({ seconds, versions }) => versions.map(async ({ src }) => {
            const answer = await fetch(src);
            return (await context.decodeAudioData(await answer.arrayBuffer())).duration - seconds;
        })));
        }"""
    )
    assert len(lengths) > 5 and all(-0.01 < more < 0.2 for more in lengths)
