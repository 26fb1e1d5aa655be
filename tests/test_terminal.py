"""Progress can be read: one line of the terminal's width, a few lines in a log."""

import io
import os
import sys
import warnings

import pytest

from gst_jax.runs import startup, terminal
from gst_jax.runs.terminal import Bar


class Clock:
    """Stands in for time: each look at it takes a second."""

    def __init__(self, step=1.0):
        self.now, self.step = 0.0, step

    def __call__(self):
        self.now += self.step
        return self.now


def screen(text):
    """Return the lines that a terminal shows, where what is cleared is gone."""
    rows = [""]
    for character in text.replace("\r\x1b[K", "\f"):
        if character == "\n":
            rows.append("")
        else:
            rows[-1] = "" if character == "\f" else rows[-1] + character
    return [row for row in rows if row]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def terminal_of_80_columns(monkeypatch):
    """Make standard error a terminal; return what tells the lines on it."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((80, 24)))
    return lambda: screen(sys.stderr.getvalue())


def test_a_log_has_a_line_for_each_ten_per_cent_and_one_for_the_end(capsys):
    bar = Bar(total=1000, desc="folk_jazz", unit="batch", at_most=True, clock=Clock(0.5))
    for _ in range(1000):
        bar.note = "held out 0.58"
        bar.update(1)
    bar.close()
    text = capsys.readouterr().err
    lines = text.splitlines()
    assert len(lines) == 10 and "\r" not in text
    assert [line.split(",")[0] for line in lines[:9]] == [f"folk_jazz: {tenth}0 %" for tenth in range(1, 10)]
    assert all("at most " in line and line.endswith(" left, held out 0.58") for line in lines[:9])
    assert lines[9] == "folk_jazz: 1000 batches in 8:25, held out 0.58"


def test_short_work_is_one_line_of_a_log(capsys):
    assert list(Bar(["a", "b"], desc="folk", unit="track", clock=Clock(0.01))) == ["a", "b"]
    assert capsys.readouterr().err == "folk: 2 tracks in 0:00\n"


def test_a_terminal_shows_one_line_that_fits(monkeypatch):
    tty = terminal_of_80_columns(monkeypatch)
    bar = Bar(total=4, desc="folk_jazz", unit="batch", clock=Clock())
    assert tty() == ["folk_jazz: 0 %"]  # at once
    bar.note = "held out 0.58, best 0.61 at minute 2.1, adversarial 1.71, cycle 0.01, 37.4 segments/s"
    bar.update(1)
    (line,) = tty()
    assert len(line) == 79 and line.startswith("folk_jazz: 25 %, 0:09 left, held out 0.58, best 0.61 at minute 2.1")
    bar.update(3)
    bar.close()
    (line,) = tty()
    assert line.startswith("folk_jazz: 4 batches in ") and len(line) <= 79


def test_what_is_said_meanwhile_stands_above_the_live_line(monkeypatch):
    tty = terminal_of_80_columns(monkeypatch)
    bar = Bar(total=2, desc="converting", unit="s", unit_scale=10, clock=Clock())
    bar.update(1)
    terminal.say("song.jazz.mp3", output := io.StringIO())
    with startup.plain_messages():
        warnings.simplefilter("always")
        warnings.warn("a.mp3 is cut off", stacklevel=1)
    bar.update(1)
    lines = tty()
    assert lines[0] == "gst_jax: a.mp3 is cut off" and lines[1].startswith("converting: 100 %") and len(lines) == 2
    assert output.getvalue() == "song.jazz.mp3\n"


def test_the_speed_of_sound_is_told_as_times_real_time(capsys):
    bar = Bar(total=400.0, desc="converting", unit="s", unit_scale=1 / 4, clock=Clock(5))
    bar.update(399.2)  # a header may promise a little more than there is
    bar.close()
    assert capsys.readouterr().err == "converting: 1:40 of sound in 0:10, 9.98 x real time\n"


def test_work_that_ends_early_says_so(capsys):
    bar = Bar(total=10, initial=2, desc="folk_jazz", unit="batch", clock=Clock(0.1))
    bar.update(3)
    bar.close()
    assert capsys.readouterr().err == "folk_jazz: stopped at 50 %, 3 batches in 0:00\n"


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (65, "1:05"), (3905, "1:05:05")])
def test_times_are_written_as_clocks_show_them(seconds, text):
    assert terminal.clock_time(seconds) == text
