"""What people see of an evaluation and of a training: tables, JSON, pictures."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import reliability_tables

from gst_jax import config, evaluation, sound
from gst_jax.evaluation.criteria import RIVALS
from gst_jax.evaluation.metrics.content import MEASURES
from gst_jax.presentation import pictures
from gst_jax.runs.directory import RunDirectory

ROOT = Path(__file__).parents[1]


@pytest.fixture
def report():
    """An evaluation of one direction, with a figure that could not be computed."""
    estimate = (0.25, 0.125, 0.5)
    figures = {
        "style": {"kernel distance to target": estimate, "songs called target": (math.nan, 0.0, 1.0)},
        "content": dict.fromkeys(MEASURES, estimate),
    }
    names = ("conversion", "conversion at 0.5", *RIVALS)
    return {
        "run": "a_b",
        "classifier": {"a": 1.0, "b": 0.75},
        "split": "test",
        "directions": {
            "a_to_b": {
                "songs": ["x", "y"],
                "methods": {name: figures for name in names} | {"true target": {"style": figures["style"]}},
                "findings": ["identity collapse: the conversion is only 0.10 dB from the untouched input"],
                "criteria": [("style: below the equaliser", 0.4, 0.3, True), ("songs called", 0.5, 0.8, False)],
            }
        },
    }


def test_a_table_has_a_line_for_each_method_and_says_what_falls_short(report):
    lines = evaluation.table(report).splitlines()
    assert lines[0] == "real tracks that the genre classifier recognises: a 100%, b 75%"
    assert "a to b, test, 2 songs" in lines and report["directions"]["a_to_b"]["findings"][0] in lines
    for name in report["directions"]["a_to_b"]["methods"]:
        assert sum(line.startswith(f"{name:29}") for line in lines) == (1 if name == "true target" else 2)
    assert any("0.25 [0.12, 0.50]" in line for line in lines)
    words = [line.split() for line in lines[-2:]]
    assert words[0] == "met 40% of 30% style: below the equaliser".split()
    assert words[1] == "short 50% of 80% songs called".split()


def test_the_summary_is_three_sentences_and_a_table_of_80_columns(report):
    text = evaluation.summary(report)
    lines = text.splitlines()
    assert all(len(line) <= 80 for line in lines) and lines[0] == "a to b, test, 2 songs"
    first, second = "In style the conversions are 0% nearer to real b", "A classifier takes - of them for b"
    assert first in text.replace("\n", " ") and second in text and "Notes kept: 0.25 of 1;" in text
    assert "that may be chance" in text.replace("\n", " ")
    assert "identity collapse" in text and "It meets 1 of 2 criteria" in text
    assert [line.split()[-3:] for line in lines if line.startswith("the conversions")] == [["0.25", "-", "0.25"]]
    assert lines[-1] == "Caution: the classifier knows only 75% of real b, so its word counts little."


@pytest.mark.parametrize("name", ["evaluation_real_folk_jazz", "evaluation_real_folk_rock"])
def test_the_summary_of_what_was_measured_says_what_the_figures_say(name):
    tree = json.loads((ROOT / "results" / f"{name}.json").read_text(encoding="utf-8"))
    text = evaluation.summary(tree)
    assert all(len(line) <= 80 for line in text.splitlines())
    for part in tree["directions"].values():
        style = part["methods"]["conversion"]["style"]
        ours, equaliser = (
            part["methods"][method]["style"]["kernel distance to target"][0] for method in ("conversion", "equaliser")
        )
        assert f"{style['songs called target'][0]:.0%} of them" in text
        assert f"{'nearer' if ours < equaliser else 'further away'} than an equaliser" in text.replace("\n", " ")


def test_json_has_no_number_that_is_none(report, tmp_path):
    evaluation.write_json(report, {"commit": "abc"}, tmp_path / "figures.json")
    tree = json.loads((tmp_path / "figures.json").read_text(), parse_constant=pytest.fail)
    style = tree["directions"]["a_to_b"]["methods"]["conversion"]["style"]
    assert style["songs called target"] == [None, 0.0, 1.0] and tree["provenance"] == {"commit": "abc"}


def test_a_picture_is_written_whole(report, tmp_path):
    evaluation.write_plot(report, tmp_path / "figures.png")
    assert (tmp_path / "figures.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["figures.png"]


def entries(*steps):
    names = ["generator/adversarial", "generator/cycle", "discriminator/a", "discriminator/b"]
    return [{"step": step, **{name: 1.0 / step for name in names}} for step in steps]


@pytest.mark.parametrize(
    ("loss", "line"), [("logistic", math.log(2)), ("least_squares", 0.25)], ids=["logistic", "squares"]
)
def test_curves_show_every_loss_and_where_a_discriminator_cannot_tell(loss, line):
    settings = config.load(None, [f"loss.adversarial_loss={loss}"])
    figure = pictures.draw_curves(entries(10, 20, 30), [], settings)
    adversarial, there_and_back, discriminators = figure.axes
    assert [len(panel.lines) for panel in figure.axes] == [1, 1, 3]  # no identity, which has no weight
    assert list(adversarial.lines[0].get_xdata()) == [10, 20, 30]
    assert there_and_back.lines[0].get_ydata() == pytest.approx([0.1, 0.05, 1 / 30])
    assert discriminators.lines[-1].get_ydata() == pytest.approx([line, line])


def test_curves_of_nothing_are_empty():
    assert all(not len(panel.lines[0].get_xdata()) for panel in pictures.draw_curves([], [], config.Config()).axes)


def test_what_was_measured_stands_beside_the_equaliser_and_the_start():
    scores = {-1: 0.4, 0: 0.3, 10: 0.6, 20: 0.5}
    measures = [{"step": step, "style": score, "notes": 1 - score, "score": score} for step, score in scores.items()]
    figure = pictures.draw_curves(entries(10, 20), measures, config.Config())
    style, notes, both = figure.axes[3:]
    assert list(style.lines[0].get_ydata()) == [0.3, 0.6, 0.5] and list(notes.lines[0].get_ydata()) == [0.7, 0.4, 0.5]
    assert [line.get_ydata()[0] for line in both.lines[1:3]] == [0.4, 0.3]
    assert list(both.lines[3].get_xdata()) == [10, 10]  # the best


def test_spectrograms_stand_source_conversion_target(tmp_path):
    run = RunDirectory(path=tmp_path, pair=("a", "b"), config=config.Config(), statistics={})
    rng = np.random.default_rng(0)
    names = ["real_a", "fake_b_from_a", "real_b", "fake_a_from_b"]
    samples = {
        name: sound.Sound(0.1 * rng.standard_normal((44_100, 2)).astype(np.float32), 44_100, "WAV", "FLOAT")
        for name in names
    }
    figure = pictures.draw_spectrograms(run, samples)
    titles = [panel.get_title() for panel in figure.axes[:6]]
    assert titles == ["real_a", "fake_b_from_a", "real_b", "real_b", "fake_a_from_b", "real_a"]
    assert figure.axes[0].images[0].get_array().shape == (96, 63)  # a second


def test_each_part_of_the_trials_stands_below_the_command_that_made_it():
    made = [{"command": f"python scripts/{name}.py", "commit": "0123456789", "date": "2026-01-02"} for name in "ab"]
    rows = [{"part": name, "what": name, "tried": 2, "held": held} for name, held in (("one", 2), ("two", 1))]
    found = {"provenance": made[1], "parts": {"one": made[0], "two": made[1]}, "rows": rows}
    shown = reliability_tables.part("disk", found)
    assert "`python scripts/a.py`, commit 0123456, 2026-01-02: one\n" in shown
    assert "`python scripts/b.py`, commit 0123456, 2026-01-02: two\n" in shown and "| 2 | **1** |" in shown
    alone = reliability_tables.part("disk", {"provenance": made[0], "rows": rows[:1]})
    assert "`python scripts/a.py`, commit 0123456, 2026-01-02\n" in alone
