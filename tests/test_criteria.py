"""How conversions are judged: style figures, collapses, criteria."""

import math

import numpy as np
import pytest

from gst_jax.evaluation import analysis, criteria, scores
from gst_jax.evaluation.metrics import style
from gst_jax.evaluation.metrics.transcription import Transcription


def gaussian_tracks(shift, seed, count=6):
    rng = np.random.default_rng(seed)
    return [rng.normal(0, 1, (10, 3)) + shift for _ in range(count)]


def judge():
    embedding = style.StyleEmbedding(("a", "b"), np.zeros(3), np.eye(3), np.array([[0.0, 0, 0], [4, 4, 4]]))
    return scores.StyleJudge(embedding, "a", "b", {"a": gaussian_tracks(0, 1), "b": gaussian_tracks(4, 2)})


def test_style_figures_tell_source_from_target():
    source, target = judge().measure(gaussian_tracks(0, 3)), judge().measure(gaussian_tracks(4, 4))
    assert abs(target["kernel distance to target"].value) < 0.05 < source["kernel distance to target"].value
    assert abs(source["kernel distance to source"].value) < 0.05 < target["kernel distance to source"].value
    assert target["Frechet distance to target"].value < 1 < source["Frechet distance to target"].value
    assert (source["songs called target"].value, target["songs called target"].value) == (0, 1)
    for estimate in (*source.values(), *target.values()):
        assert estimate.low <= estimate.high


def test_a_single_track_is_judged_by_its_windows():
    assert np.isfinite(judge().measure(gaussian_tracks(4, 5, count=1))["kernel distance to target"]).all()


def analysed(level, windows):
    return analysis.Analysis(np.full((5, 64), level, np.float32), np.ones((5, 513), complex), windows, None)


def test_collapses_are_named():
    apart = gaussian_tracks(0, 6, count=3)
    spread = [track + 10 * number for number, track in enumerate(apart)]
    methods = {
        "untouched input": [analysed(0, track) for track in spread],
        "equaliser": [analysed(9, track) for track in spread],
        "conversion": [analysed(5, track) for track in spread],
    }
    assert scores.findings(methods) == []
    methods["conversion"] = [analysed(0.5, track) for track in spread]
    assert "identity collapse" in scores.findings(methods)[0]
    methods["conversion"] = [analysed(9, track) for track in spread]
    assert "equaliser collapse" in scores.findings(methods)[0]
    methods["conversion"] = [analysed(5, track) for track in apart]
    assert "mode collapse" in scores.findings(methods)[0]


def method(kernel, log_mel_distance, pitch=0.5, called=0.0):
    distances = {name: (log_mel_distance,) * 3 for name in ("log-mel distance (dB)", "log-spectral distance (dB)")}
    return {
        "rearranged": distances,
        "reorchestrated": distances,
        "style": {
            "kernel distance to target": (kernel, kernel - 0.1, kernel + 0.1),
            "songs called target": (called,) * 3,
        },
        "content": {name: (pitch,) * 3 for name in ("pitch", "chord", "beat")},
    }


def test_criteria_are_met_by_what_beats_every_rival_alone():
    methods = {name: method(0.8, 10.0) for name in criteria.RIVALS} | {
        "true target, rearranged": method(0, 0, pitch=0.3)
    }
    won = criteria.criteria(methods | {"conversion": method(0.1, 7.0, called=1.0)})
    assert all(criterion.met for criterion in won) and len(won) == 11
    lost = criteria.criteria(methods | {"conversion": method(0.7, 11.0, pitch=0.2)})
    assert not any(criterion.met for criterion in lost)


def test_a_style_criterion_asks_for_intervals_that_do_not_overlap():
    methods = {name: method(0.3, 10.0) for name in criteria.RIVALS}
    found = {
        criterion.name: criterion for criterion in criteria.criteria(methods | {"conversion": method(0.12, 7.0)})
    }
    style_criterion = found["style, kernel distance: below the equaliser (intervals overlap)"]
    assert style_criterion.value == pytest.approx(0.6) and not style_criterion.met


def judged(conversion, **rivals):
    """Return the criteria by name, of a conversion beside rivals that are at 10 dB and at 0.8 unless given."""
    methods = {name: method(0.8, 10.0) for name in criteria.RIVALS} | rivals | {"conversion": conversion}
    return {criterion.name: criterion for criterion in criteria.criteria(methods)}


@pytest.mark.parametrize(
    ("name", "enough", "short"),
    [
        ("reorchestrated, log-mel distance: below the untouched input", method(0.8, 8.29), method(0.8, 8.31)),
        ("reorchestrated, log-spectral distance: below the untouched input", method(0.8, 8.29), method(0.8, 8.31)),
        ("rearranged, log-mel distance: below the equaliser", method(0.8, 9.99), method(0.8, 10.01)),
        ("style, kernel distance: below the equaliser", method(0.55, 10.0), method(0.57, 10.0)),
        ("style, kernel distance: below the untouched input", method(0.39, 10.0), method(0.41, 10.0)),
        ("style, songs called target (equaliser 0%)", method(0.8, 10.0, called=0.8), method(0.8, 10.0, called=0.79)),
    ],
    ids=lambda value: value.split(":")[0] if isinstance(value, str) else "",
)
def test_each_criterion_has_the_threshold_that_is_documented(name, enough, short):
    assert judged(enough)[name].met and not judged(short)[name].met
    assert judged(enough)[name].wanted == judged(short)[name].wanted


def test_intervals_that_touch_overlap():
    """The ends are 0.5 each: 0.375 + 0.125 and 0.625 - 0.125."""
    near = method(0.375, 10.0)
    near["style"]["kernel distance to target"] = (0.375, 0.25, 0.5)
    for low, met in ((0.5, False), (0.501, True)):
        far = method(0.625, 10.0)
        far["style"]["kernel distance to target"] = (0.625, low, 0.75)
        name = "style, kernel distance: below the equaliser" + ("" if met else " (intervals overlap)")
        assert judged(near, equaliser=far)[name].met == met


@pytest.mark.parametrize("best", criteria.RIVALS)
def test_the_best_rival_is_whichever_is_nearest(best):
    found = judged(method(0.8, 6.0), **{best: method(0.8, 5.0)})
    criterion = found[f"reorchestrated, log-mel distance: below the best rival, {best}"]
    assert criterion.value == pytest.approx(1 - 6 / 5) and criterion.wanted == 0 and not criterion.met


def test_a_rival_that_is_perfect_cannot_be_beaten():
    for distance in (0.0, -0.02):  # an unbiased kernel distance may fall below 0
        found = judged(method(-0.3, 10.0), equaliser=method(distance, 10.0))
        criterion = next(part for name, part in found.items() if "below the equaliser" in name and "style" in name)
        assert criterion.value == 0 and not criterion.met


def test_songs_without_a_true_arrangement_are_judged_by_style_alone():
    methods = {name: {"style": method(0.8, 0)["style"]} for name in ("conversion", *criteria.RIVALS)}
    found = criteria.criteria(methods)
    assert len(found) == 3 and all(criterion.name.startswith("style") for criterion in found)


def test_a_figure_that_could_not_be_computed_meets_nothing():
    unknown = method(math.nan, math.nan, pitch=math.nan, called=math.nan)
    found = judged(unknown, **{"true target, rearranged": method(0, 0)})
    assert len(found) == 11 and not any(criterion.met for criterion in found.values())


def test_content_is_held_against_the_true_arrangement_measure_by_measure():
    truth = method(0, 0)
    truth["content"] = {"pitch": (0.4,) * 3, "chord": (0.6,) * 3, "onset": (0.9,) * 3}
    found = judged(method(0.8, 10.0, pitch=0.5), **{"true target, rearranged": truth})
    content = {name: (part.value, part.met) for name, part in found.items() if name.startswith("content")}
    assert content == {
        "content, pitch: above the true arrangement's": (pytest.approx(0.1), True),
        "content, chord: above the true arrangement's": (pytest.approx(-0.1), False),
    }


def collapses(level, windows, equalised=9.0):
    sources = [track + 10 * number for number, track in enumerate(gaussian_tracks(0, 6, count=len(windows)))]
    return scores.findings(
        {
            "untouched input": [analysed(0, track) for track in sources],
            "equaliser": [analysed(equalised, track) for track in sources],
            "conversion": [analysed(level, track) for track in windows],
        }
    )


def test_a_change_of_one_decibel_is_no_collapse():
    windows = [track + 10 * number for number, track in enumerate(gaussian_tracks(0, 7, count=3))]
    assert collapses(1.0, windows) == []
    assert collapses(0.75, windows) == ["identity collapse: the conversion is only 0.75 dB from the untouched input"]
    assert collapses(0.75, windows, equalised=0.5) == [
        "identity collapse: the conversion is only 0.75 dB from the untouched input",
        "equaliser collapse: the conversion is only 0.25 dB from the equaliser",
    ]


def test_mode_collapse_is_less_than_half_the_variety_of_the_sources():
    centres = [track * 0 + 10.0 * number for number, track in enumerate(gaussian_tracks(0, 6, count=3))]
    sources = [track + 10 * number for number, track in enumerate(gaussian_tracks(0, 6, count=3))]
    whole = style.diversity(sources) / style.diversity(centres)
    assert collapses(5, [0.52 * whole * track for track in centres]) == []
    found = collapses(5, [0.25 * whole * track for track in centres])
    assert found == ["mode collapse: the converted songs vary 25% as much as the songs put in"]


def test_one_song_alone_cannot_be_a_mode_collapse():
    assert collapses(5, gaussian_tracks(0, 6, count=1)) == []


def test_closeness_is_the_mean_over_songs():
    def figures(levels):
        sounds = [analysed(level, None) for level in levels]
        return scores.closeness_figures(sounds, [analysed(0, None)] * len(levels))

    found = figures([2.0, 4.0])
    assert found["log-mel distance (dB)"] == (3, 2, 4)  # two songs: draws are 2, 3 or 4
    assert found["log-spectral distance (dB)"] == (0, 0, 0)
    assert found["MFCC distance"].value == pytest.approx(0, abs=1e-5)  # the level is not in it
    with pytest.raises(ValueError, match="zip"):
        scores.closeness_figures([analysed(0, None)], [])


def test_content_of_a_song_is_compared_with_its_own_conversion():
    songs = [transcription(pitch) for pitch in (3, 20, 40)]
    same, shuffled = (
        scores.content_figures(*(list(map(analysed_music, part)) for part in (songs, order)))
        for order in (songs, songs[1:] + songs[:1])
    )
    assert same["pitch"].value == 1 and shuffled["pitch"].value < 0


def transcription(pitch):
    roll = np.zeros((50, 61), bool)
    roll[:, pitch] = True
    chroma = np.zeros((50, 12))
    chroma[:, pitch % 12] = 1
    times = np.array([0.5 + pitch / 100])
    notes = np.array([[times[0], 36 + pitch]])
    return Transcription(roll, chroma, np.full(50, pitch % 12), notes, times, times)


def analysed_music(music):
    return analysis.Analysis(np.zeros((5, 64)), np.ones((5, 513)), np.zeros((1, 3)), music)


def test_a_track_is_called_the_target_by_its_mean_and_its_windows_one_by_one():
    """The middle between the centres is (2, 2, 2)."""
    track = np.array([[4.0, 4, 4], [4, 4, 4], [1, 1, 1]])  # two windows of three, and the mean of 3, are the target
    figures = judge().measure([track])
    assert figures["songs called target"].value == 1
    assert figures["windows called target"].value == pytest.approx(2 / 3)
