"""The studio's server: it answers its own page alone, takes only sound, does one thing at a time."""

import asyncio
import importlib
import io
import json
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
import types
import urllib.parse
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attacks
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from gst_jax import sound
from gst_jax.runs import atomic

TestClient = pytest.importorskip("starlette.testclient", reason="pip install 'gst_jax[studio]'").TestClient
app, guard, queue, songs, trainings, uploads = (
    importlib.import_module(f"gst_jax.web.{name}")
    for name in ("app", "guard", "queue", "songs", "trainings", "uploads")
)

HOST = "127.0.0.1:8765"
OURS = {"host": HOST, "origin": f"http://{HOST}"}
RATE = 16_000


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(int(seconds * RATE))).astype(np.float32)


def wave(seconds: float, format: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, noise(seconds), RATE, format=format)
    return file.getvalue()


@pytest.fixture
def places(tmp_path, audio_dir):
    for name in ("home", "scratch"):
        (tmp_path / name).mkdir()
    (tmp_path / "home" / "my_music").symlink_to(audio_dir)
    return tmp_path


@pytest.fixture
def client(places, monkeypatch):
    """A studio that does not compile anything by itself."""
    monkeypatch.setattr("gst_jax.web.models.Models.warm_up", lambda models, ticket: None)
    served = app.create((places / "home", audio_folder(places)), places / "scratch", (HOST,))
    with TestClient(served, base_url=f"http://{HOST}", headers=OURS) as client:
        yield client


def audio_folder(places: Path) -> Path:
    return (places / "home" / "my_music").resolve()


def upload(client, content: bytes, name: str = "song.wav"):
    return client.post("/api/songs", content=content, headers={"x-file-name": name})


def converted(client, song: dict, **wanted) -> dict:
    wanted = {"run": "folk_jazz (bundled)", "to": "jazz", "strength": 1.0, "band": 0} | wanted
    answer = client.post(f"/api/songs/{song['id']}", json=wanted)
    assert answer.status_code == 200, answer.json()
    return until(client, f"/api/songs/{song['id']}", lambda shown: shown["conversions"][-1]["state"] not in BUSY)


BUSY = ("waiting", "running")


def until(client, path: str, holds, seconds: float = 120.0):
    end = time.monotonic() + seconds
    while not holds(found := client.get(path).json()):
        assert time.monotonic() < end, found
        time.sleep(0.05)
    return found


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "evil.example:8765"},
        {"host": "127.0.0.1:9999"},
        {"host": "127.0.0.1.evil.example:8765"},
        {"host": ""},
    ],
)
def test_another_host_is_refused_so_that_no_name_can_be_bent_to_here(client, headers):
    for path in ("/", "/api/models", "/api/folders"):
        assert client.get(path, headers=headers).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": f"https://{HOST}"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_no_other_origin_changes_anything(client, headers):
    changing = [
        (method, route.path.replace(":int", ""))
        for route in client.app.routes
        for method in (route.methods or ())
        if method not in ("GET", "HEAD")
    ]
    assert len(changing) >= 7
    for method, path in changing:
        path = path.replace("{number}", "0").replace("{", "").replace("}", "")
        assert client.request(method, path, headers=headers, content=b"{}").status_code == 403


def test_nothing_is_shared_across_origins_and_pages_may_load_nothing_from_elsewhere(client):
    for path in ("/", "/parts/studio.js", "/api/models", "/nothing"):
        answer = client.get(path, headers={"origin": "http://evil.example"})
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert answer.headers["x-content-type-options"] == "nosniff"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy and "http" not in policy
    assert client.options("/api/songs", headers={"origin": "http://evil.example"}).status_code == 403


def test_the_page_names_no_other_address():
    folder = Path(app.__file__).parent
    texts = [path.read_text(encoding="utf-8") for path in folder.iterdir() if path.suffix in (".html", ".css", ".js")]
    assert len(texts) >= 6 and not any("http:" in text or "https:" in text for text in texts)
    assert "<style" not in texts[0] and " style=" not in "".join(texts)


def hostile() -> dict[str, tuple[str, bytes]]:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("song.wav", b"x" * 100_000)
    return {
        "text": ("song.txt", b"not music at all\n" * 100),
        "text that calls itself music": ("song.mp3", b"not music at all\n" * 100),
        "a zip": ("songs.zip", packed.getvalue()),
        "a zip that calls itself music": ("song.flac", packed.getvalue()),
        "nothing": ("song.wav", b""),
        "a playlist of other files": ("song.m3u8", b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"),
        "a list of files": ("song.mp3", b"ffconcat version 1.0\nfile /etc/passwd\n"),
        "a page": ("song.html", b"<script>alert(1)</script>"),
        "a damaged header": ("song.wav", wave(1)[:30]),
    }


@pytest.mark.parametrize("kind", hostile())
def test_what_is_no_sound_gets_one_line_and_leaves_nothing(client, places, kind):
    name, content = hostile()[kind]
    answer = upload(client, content, name)
    assert answer.status_code == 400
    message = answer.json()["error"]
    assert name in message and "\n" not in message and str(places) not in message
    assert not list((places / "scratch").iterdir())


@pytest.mark.parametrize(
    "name",
    ["../../evil.wav", "/etc/evil.wav", "..\\..\\evil.wav", "a\0b.wav", "evil\n.wav", "..", "", "é" * 300 + ".wav"],
)
def test_a_name_is_never_a_path(client, places, name):
    before = {path for path in places.rglob("*") if "scratch" not in path.parts}
    answer = upload(client, wave(1), urllib.parse.quote(name))
    assert answer.status_code == 200
    shown = answer.json()["name"]
    assert shown and shown.isprintable() and "/" not in shown and "\\" not in shown and len(shown) <= 120
    (folder,) = (places / "scratch").iterdir()
    assert [path.stem for path in folder.iterdir()] == ["song"]
    assert {path for path in places.rglob("*") if "scratch" not in path.parts} == before


def test_an_endless_body_is_cut_off_whatever_it_says_of_its_length(client, places, monkeypatch):
    monkeypatch.setattr(uploads, "MOST_BYTES", 100_000)
    sent = 0

    def endless():
        nonlocal sent
        while sent < 10_000_000:
            sent += 10_000
            yield bytes(10_000)

    answer = client.post("/api/songs", content=endless(), headers={"x-file-name": "song.wav"})
    assert answer.status_code == 413 and "0 MB" in answer.json()["error"]
    assert not list((places / "scratch").iterdir())
    long = client.post("/api/looks", content=b"[" * 100_000)
    assert long.status_code == 413


def test_a_body_of_which_nothing_more_comes_is_dropped(places, monkeypatch):
    """By the real server: its slow senders get an answer, and leave no file."""
    monkeypatch.setattr(guard, "_WAITS", 0.3)
    served = app.create((places / "home",), places / "scratch", (HOST,))

    async def send(messages, said):
        waiting = asyncio.Event()

        async def receive():
            return messages.pop() if messages else await waiting.wait()

        async def answer(message):
            said.append(message)

        headers = [(b"host", HOST.encode()), (b"origin", f"http://{HOST}".encode()), (b"x-file-name", b"a.wav")]
        scope = {"type": "http", "method": "POST", "path": "/api/songs", "query_string": b"", "headers": headers}
        await asyncio.wait_for(served(scope, receive, answer), 20)

    said = []
    asyncio.run(send([{"type": "http.request", "body": b"RIFF", "more_body": True}], said))
    assert said[0]["status"] == 408 and b"nothing came" in said[1]["body"]
    assert not list((places / "scratch").iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="the trial counts on a Unix")
def test_other_sites_and_200_connections_that_hardly_send_change_nothing(tmp_path):
    """As `scripts/studio_attack.py`, in small: what was refused, and how soon the page comes meanwhile."""
    with attacks.studio(str(tmp_path)) as host:
        assert all(row["tried"] == row["held"] > 0 for row in attacks.refusals(host))
        for start in attacks.HELD.values():
            with attacks.held(host, start):
                assert statistics.median(attacks.waits(host, 5)) < 5
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("body", [b"", b"[]", b"nonsense", b'"text"', b"[" * 60_000, b"\xff\xfe"])
def test_a_form_that_is_none_gets_one_line(client, body):
    answer = client.post("/api/trainings", content=body)
    assert answer.status_code == 400 and "\n" not in answer.json()["error"]


ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["folk", 10**400]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
RUNS = st.sampled_from(["folk_jazz (bundled)", "folk_rock (bundled)"])
SIDES = st.fixed_dictionaries({}, optional={"folder": ANY, "batch": ANY | st.just("a-1"), "genre": ANY})
FORMS = {
    "songs/{song}": {"run": ANY | RUNS, "to": ANY | st.just("jazz"), "strength": ANY, "band": ANY},
    "comparisons": {"runs": ANY | st.lists(ANY | RUNS, min_size=2, max_size=2), "to": ANY, "song": ANY},
    "looks": {"sides": ANY | st.lists(SIDES, min_size=2, max_size=2), "settings": ANY | st.just("trial")},
    "trainings": {"do": ANY | st.sampled_from(["start", "stop", "resume"]), "name": ANY, "look": ANY},
}


@pytest.mark.parametrize("path", FORMS)
def test_any_form_is_answered_or_refused_in_one_line(client, monkeypatch, path):
    """Whatever JSON comes: no fault of ours, which the client of these tests would raise."""
    monkeypatch.setattr(songs.Songs, "_convert", lambda *given: None)
    monkeypatch.setattr(songs.Songs, "lend", lambda songs, run, genre: songs.get("nothing"))
    monkeypatch.setattr("gst_jax.web.music._look", lambda look, ticket: None)
    path = path.replace("{song}", upload(client, wave(1)).json()["id"])

    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(st.fixed_dictionaries({}, optional=FORMS.get(path, FORMS["songs/{song}"])))
    def check(form):
        answer = client.post(f"/api/{path}", content=json.dumps(form))
        assert answer.status_code in (200, 400, 404)
        assert answer.status_code == 200 or len(answer.json()["error"].splitlines()) == 1

    check()


def test_a_fault_of_ours_and_an_address_that_is_none_get_one_plain_line(client, monkeypatch):
    monkeypatch.setattr(app.Models, "find", lambda models: [][0:] + None)
    calm = TestClient(client.app, base_url=f"http://{HOST}", headers=OURS, raise_server_exceptions=False)
    for answer, status in (
        (calm.get("/api/models"), 500),
        (calm.get("/nothing"), 404),
        (calm.post("/", content=""), 405),
    ):
        said = answer.json()["error"]
        assert answer.status_code == status and "\n" not in said and "Traceback" not in said


def test_uploads_at_once_leave_the_disk_its_room(client, places, monkeypatch):
    """Each looks at the disk before it writes, and one that is refused leaves nothing."""
    disk = 3_000_000

    def usage(folder):
        held = sum(path.stat().st_size for path in places.rglob("*") if path.is_file() and path.suffix != ".json")
        return types.SimpleNamespace(free=uploads._ROOM + disk - held + sum_before)

    sum_before = sum(path.stat().st_size for path in places.rglob("*") if path.is_file() and path.suffix != ".json")
    monkeypatch.setattr(uploads.shutil, "disk_usage", usage)
    song = wave(30)  # a megabyte
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: upload(client, song), range(8)))
    taken = [answer for answer in answers if answer.status_code == 200]
    assert 1 <= len(taken) <= 4 and {answer.status_code for answer in answers} == {200, 507}
    assert len(list((places / "scratch").iterdir())) == len(taken)


def test_a_song_becomes_a_conversion_to_play_and_to_keep(client, places):
    song = upload(client, wave(3, "FLAC"), "my song.flac").json()
    assert song["name"] == "my song.flac" and song["seconds"] == 3.0
    shown = converted(client, song)
    (made,) = shown["conversions"]
    assert made["state"] == "done" and made["error"] == ""
    player = client.get(f"/api/songs/{song['id']}?player").json()["player"]
    assert [version["name"] for version in player["versions"]] == ["Original", "Jazz"]
    for version in player["versions"]:
        samples, rate = soundfile.read(io.BytesIO(client.get(version["src"]).content))
        assert (len(samples), rate) == (3 * RATE, RATE)
    kept = client.get(f"/api/songs/{song['id']}/0/download/same")
    assert "my%20song.jazz.flac" in kept.headers["content-disposition"]
    assert len(soundfile.read(io.BytesIO(kept.content))[0]) == 3 * RATE
    as_mp3 = client.get(f"/api/songs/{song['id']}/0/download/mp3")
    assert as_mp3.content[:3] == b"ID3" or as_mp3.content[0] == 0xFF
    (places / "kept.mp3").write_bytes(
        as_mp3.content
    )  # libsndfile reads an MP3 in memory at some times and not at others
    assert sound.duration(places / "kept.mp3") == pytest.approx(3.0, abs=0.1)


def test_the_conversion_is_that_of_the_command(client, tmp_path):
    """To one step of 16 bits, which FLAC and WAV round differently: the page hears what `gst_jax convert` writes."""
    from gst_jax.conversion import jobs, planning
    from gst_jax.conversion.translator import Translator

    song = upload(client, wave(3)).json()
    converted(client, song, strength=0.75)
    kept = client.get(f"/api/songs/{song['id']}/0/download/same").content
    (tmp_path / "song.wav").write_bytes(wave(3))
    plan = planning.plan([tmp_path / "song.wav"], tmp_path / "out", "jazz")
    jobs.convert(plan.jobs, Translator.from_run("folk_jazz", "jazz"), tmp_path / "out", 0.75)
    expected = soundfile.read(plan.jobs[0].target, dtype="int16")[0]
    found = soundfile.read(io.BytesIO(kept), dtype="int16")[0]
    np.testing.assert_allclose(found.astype(int), expected.astype(int), rtol=0, atol=1)


def test_a_part_of_a_sound_can_be_asked_for(client):
    song = upload(client, wave(1)).json()
    converted(client, song)
    path = f"/api/songs/{song['id']}/0/whole.flac"
    whole = client.get(path).content
    part = client.get(path, headers={"range": "bytes=100-199"})
    assert part.status_code == 206 and part.content == whole[100:200]
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole)}"
    assert client.get(path, headers={"range": f"bytes={len(whole)}-"}).status_code == 416


@pytest.mark.parametrize(
    "wanted",
    [
        {"run": "nothing"},
        {"run": "../../etc"},
        {"run": ["folk_jazz (bundled)"]},
        {"to": "rock"},
        {"to": ["jazz"]},
        {"strength": 2},
        {"strength": "much"},
        {"band": 99},
        {"band": "loud"},
    ],
)
def test_a_conversion_that_cannot_be_gets_one_line(client, wanted):
    song = upload(client, wave(1)).json()
    usual = {"run": "folk_jazz (bundled)", "to": "jazz", "strength": 1.0, "band": 0}
    answer = client.post(f"/api/songs/{song['id']}", json=usual | wanted)
    assert answer.status_code == 400 and "\n" not in answer.json()["error"]


def test_two_runs_convert_a_song_that_they_did_not_learn_from(client, places, monkeypatch):
    sound.write_wave(places / "held out.wav", noise(3), RATE)
    monkeypatch.setattr(
        songs.data, "sample_tracks", lambda run, count: dict.fromkeys(run.pair, [places / "held out.wav"])
    )
    runs = ["folk_jazz (bundled)", "folk_rock (bundled)"]
    song = client.post("/api/comparisons", json={"runs": runs, "to": "folk"}).json()
    path = f"/api/songs/{song['id']}"
    shown = until(client, path, lambda shown: all(made["state"] not in BUSY for made in shown["conversions"]))
    assert [made["error"] for made in shown["conversions"]] == ["", ""] and shown["seconds"] == 3.0
    versions = client.get(f"{path}?player").json()["player"]["versions"]
    assert [version["name"] for version in versions] == ["Original", *(f"Folk by {run}" for run in runs)]
    for wrong in ({"runs": runs, "to": "jazz"}, {"runs": runs[:1] * 2, "to": "folk"}, {"runs": "both", "to": "folk"}):
        assert client.post("/api/comparisons", json=wrong).status_code == 400


def test_one_at_a_time_and_each_knows_its_place(client):
    gate, order = threading.Event(), []
    line = queue.Queue()

    def work(number):
        def do(ticket):
            order.append(number)
            assert gate.wait(10)

        return do

    tickets = [line.add(work(number)) for number in range(4)]
    while not order:
        time.sleep(0.01)
    assert [line.place(ticket) for ticket in tickets] == [0, 1, 2, 3]
    assert [ticket.state for ticket in tickets] == ["running", "waiting", "waiting", "waiting"]
    tickets[1].cancel()
    assert [line.place(ticket) for ticket in tickets[2:]] == [1, 2] and tickets[1].state == "cancelled"
    gate.set()
    line.close()
    assert order[0] == 0 and 1 not in order


def test_work_that_is_stopped_ends_at_its_next_step(client):
    line, begun = queue.Queue(), threading.Event()

    def endless(ticket):
        counted = ticket.progress(total=1e9)
        while True:
            counted.update(1)
            begun.set()
            time.sleep(0.001)

    ticket = line.add(endless)
    assert begun.wait(5)
    ticket.cancel()
    line.close()
    assert ticket.state == "cancelled" and ticket.error == ""


def test_a_fault_of_ours_is_told_on_the_terminal_and_the_line_goes_on(capsys):
    line = queue.Queue()
    first, second = line.add(lambda ticket: [][0]), line.add(lambda ticket: 1)
    assert second.future.result(10) == 1
    line.close()
    assert first.state == "failed" and "terminal" in first.error
    assert "IndexError" in capsys.readouterr().err


def test_songs_are_removed_an_hour_after_their_last_use(client, places, monkeypatch):
    song = upload(client, wave(1)).json()
    now = time.monotonic()
    kept = next(route.endpoint.__self__ for route in client.app.routes if route.path == "/api/models").songs
    monkeypatch.setattr(songs.time, "monotonic", lambda: now + 3500)
    kept.remove_old()
    assert client.get(f"/api/songs/{song['id']}").status_code == 200  # and used again
    monkeypatch.setattr(songs.time, "monotonic", lambda: now + 3500 + 3700)
    kept.remove_old()
    assert client.get(f"/api/songs/{song['id']}").status_code == 404
    assert not list((places / "scratch").iterdir())


def test_a_song_that_is_too_long_is_refused(client, monkeypatch):
    monkeypatch.setattr(songs, "LONGEST", 2.0)
    answer = upload(client, wave(3))
    assert answer.status_code == 400 and "minutes long" in answer.json()["error"]


@pytest.mark.parametrize(
    "path", ["/parts/app.py", "/parts/..%2f..%2fconfig.py", "/reports/..%2f..%2fetc", "/etc/passwd"]
)
def test_no_other_file_is_served(client, path):
    assert client.get(path).status_code in (400, 404)


@pytest.mark.parametrize(
    "folder", ["..", "/etc", "my_music/../..", "../home2", "", "\0", "link", "nowhere", ["my_music"]]
)
def test_no_folder_beyond_those_given_is_read(client, places, folder):
    (places / "home2").mkdir()
    (places / "home" / "link").symlink_to(places / "home2")
    sides = [{"folder": folder}, {"folder": "my_music/harp"}]
    answer = client.post("/api/looks", json={"sides": sides, "settings": "trial"})
    assert answer.status_code == 400 and "\n" not in answer.json()["error"]


def test_folders_with_music_are_offered(client):
    offered = client.get("/api/folders").json()
    assert {(one["genre"], one["files"]) for one in offered} == {("harp", 3), ("organ", 3)}


def send_music(client, audio_dir, genre, batch, name=None):
    for path in sorted((audio_dir / genre).iterdir()):
        headers = {"x-genre": name or genre, "x-file-name": path.name.replace(" ", "%20")}
        answer = client.post(f"/api/music/{batch}", content=path.read_bytes(), headers=headers)
        assert answer.status_code == 200, answer.json()


def test_the_table_of_prepare_is_shown_with_each_file_left_out_by_its_name(client, places, audio_dir, monkeypatch):
    monkeypatch.setenv("GST_JAX_CACHE", str(places / "cache"))
    batch = client.post("/api/music").json()["batch"]
    send_music(client, audio_dir, "harp", batch, "Baul%20gaan")
    bad = {"x-genre": "Baul%20gaan", "x-file-name": "broken%20tune.mp3"}
    assert client.post(f"/api/music/{batch}", content=b"nothing", headers=bad).status_code == 200
    sides = [{"batch": batch, "genre": "Baul gaan"}, {"folder": str(audio_dir / "organ")}]
    look = client.post("/api/looks", json={"sides": sides, "settings": "trial"}).json()
    found = until(client, f"/api/looks/{look['id']}", lambda shown: shown["found"] or shown["error"])
    assert found["error"] == ""
    ours, other = found["found"]["rows"]
    assert (ours["genre"], ours["tracks"], ours["held_out"]) == ("Baul gaan", 2, 1)
    assert (other["genre"], other["tracks"], other["skipped"]) == ("organ", 2, [])
    (left_out,) = ours["skipped"]
    assert left_out.startswith("Baul gaan/broken tune.mp3") and str(places) not in left_out
    assert any("too little to learn from" in text for text in found["found"]["cautions"])
    timed = until(client, f"/api/looks/{look['id']}", lambda shown: shown["state"] not in BUSY)
    assert timed["error"] == "" and timed["seconds"] > 0


@pytest.mark.parametrize("genre", ["..", "a/b", "", "a_b", ".hidden", "x" * 41, "a\\b", "-v", "a:b"])
def test_a_genre_is_called_so_that_a_folder_can_be(client, places, genre):
    headers = {"x-genre": urllib.parse.quote(genre, safe=""), "x-file-name": "a.wav"}
    answer = client.post(f"/api/music/{client.post('/api/music').json()['batch']}", content=wave(1), headers=headers)
    assert answer.status_code == 400
    assert not list(places.rglob("*.wav"))


def test_two_genres_of_one_name_are_refused(client):
    sides = [{"folder": "my_music/harp"}, {"folder": "my_music/harp"}]
    answer = client.post("/api/looks", json={"sides": sides, "settings": "trial"})
    assert answer.status_code == 400 and "harp" in answer.json()["error"]


def test_a_report_can_ask_nothing_of_the_studio(client, places):
    folder = places / "home" / "runs" / "a_b"
    folder.mkdir(parents=True)
    from gst_jax import bundled

    (folder / "config.json").write_bytes((bundled("pretrained")["folk_jazz"] / "config.json").read_bytes())
    assert client.get("/reports/a_b").status_code == 404
    (folder / "report.html").write_text("<h1>report</h1>")
    answer = client.get("/reports/a_b")
    assert answer.text == "<h1>report</h1>"
    policy = answer.headers["content-security-policy"]
    assert "sandbox allow-scripts" in policy and "allow-same-origin" not in policy and "default-src 'none'" in policy


def test_what_is_known_of_a_training_lies_in_its_run(places, audio_dir):
    """Whoever looks at the folder, a studio that was started anew too, sees the same."""
    from gst_jax.web.music import Pair

    ours = trainings.Trainings(places / "home" / "runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainings.subprocess, "Popen", Slow)
        name = ours.start(Pair(("harp", "organ"), (str(audio_dir),), "trial"))
        other = trainings.Trainings(places / "home" / "runs")
        for one in (ours, other):
            assert one.state(name)["state"] == "running"
            with pytest.raises(guard.Refused, match="one at a time"):
                one.start(Pair(("harp", "organ"), (str(audio_dir),), "trial"))
        other.stop(name)
        assert ours.state(name)["state"] == "stopping"
        with pytest.raises(guard.Refused, match="stopping already"):
            ours.stop(name)
        assert ours._children[name].wait(10) == 130
        for one in (ours, other):
            assert one.state(name)["state"] == "stopped"
        other.resume(name)
        assert other.state(name)["state"] == "running" and Slow.commands[0] == Slow.commands[1]
        other.stop_all()
        other._children[name].wait(10)


class Slow(subprocess.Popen):
    """In place of a training: a process that ends some seconds after Ctrl-C, as a training does."""

    commands: list = []

    def __init__(self, command, **options):
        self.commands.append(command)
        code = (  # where the tests run in a shell's background, Ctrl-C is off
            "import signal, sys, time\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "try: print(1, flush=True), time.sleep(60)\nexcept KeyboardInterrupt: time.sleep(3), sys.exit(130)"
        )
        options = options | {"stdout": subprocess.PIPE}
        super().__init__([sys.executable, "-c", code, *command[3:]], **options)
        self.stdout.readline()
        self.stdout.close()


@pytest.mark.parametrize("name", ["nothing", "../..", "", None, ["a"], "a/b"])
def test_only_what_was_started_here_can_be_stopped_or_resumed(client, name):
    for do in ("stop", "resume"):
        answer = client.post("/api/trainings", json={"do": do, "name": name})
        assert answer.status_code == 404 and "\n" not in answer.json()["error"]


def test_a_scratch_folder_is_private_removed_at_the_end_and_swept_after_a_kill(tmp_path):
    with atomic.scratch(tmp_path) as folder:
        (folder / "song").write_text("x")
        assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()
    code = "from gst_jax.runs import atomic\nwith atomic.scratch(sys.argv[1]): os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", f"import os, sys\n{code}", str(tmp_path)])
    assert len(list(tmp_path.iterdir())) == 1
    atomic.sweep(tmp_path)
    assert not list(tmp_path.iterdir())


def studio(*options, cwd):
    command = [sys.executable, "-m", "gst_jax", "studio", "--noopen", *options]
    return subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_command_prints_its_address_and_leaves_nothing_behind(tmp_path):
    """By a signal that also ends it in the background of a shell."""
    (tmp_path / "tmp").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path / "tmp"))
        process = studio("--port=0", cwd=tmp_path)
    address = process.stdout.readline().split()[-1]
    assert address.startswith("http://127.0.0.1:")
    for _ in range(200):
        try:
            with urllib.request.urlopen(address) as answer:
                assert b"gst_jax studio" in answer.read()
            break
        except OSError:
            time.sleep(0.1)
    break_off(address)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert said == ""
    assert not list((tmp_path / "tmp").iterdir())


def break_off(address: str) -> None:
    """Begin to send a song, and leave."""
    host = address.split("/")[2]
    with socket.create_connection(host.split(":")) as sender:
        lines = [
            "POST /api/songs HTTP/1.1",
            f"Host: {host}",
            f"Origin: http://{host}",
            "Content-Length: 9999",
            "",
            "RIFF",
        ]
        sender.sendall("\r\n".join(lines).encode())
        time.sleep(0.5)
    time.sleep(0.5)


@pytest.mark.parametrize(
    ("option", "said"),
    [("--folder=nowhere", "there is no folder"), ("--host=0.0.0.0", "one address"), ("taken", "try --port=0")],
)
def test_the_command_says_in_one_line_what_it_cannot_do(tmp_path, option, said):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        option = f"--port={taken.getsockname()[1]}" if option == "taken" else option
        process = studio(option, cwd=tmp_path)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 1 and said in error and error.count("\n") == 1


def test_without_its_packages_the_command_says_how_to_get_them(tmp_path):
    code = (
        "import runpy, sys, importlib.util\nfind = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'starlette' else find(name, *rest)\n"
        "sys.argv = ['gst_jax.studio']\nrunpy.run_module('gst_jax.studio', run_name='__main__', alter_sys=True)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and "pip install 'gst_jax[studio]'" in done.stderr and done.stderr.count("\n") == 1
