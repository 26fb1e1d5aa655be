"""What results/ shows is what its JSON files say, and says nothing of the machine's folders."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import band_rows
import pytest
import tables

from gst_jax.runs import provenance

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
FILES = sorted(RESULTS.rglob("*.json"))
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), *sorted(RESULTS.rglob("*.md"))]


@pytest.mark.parametrize("page", tables.PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_tables_are_what_the_command_makes_of_the_json(page):
    text = page.read_text(encoding="utf-8")
    assert tables.filled(text) == text, "run python scripts/tables.py"


def test_every_table_is_shown_and_every_marker_has_an_end():
    texts = [page.read_text(encoding="utf-8") for page in tables.PAGES]
    shown = [name for text in texts for name in re.findall(r"<!-- table: (.+?) -->", text)]
    assert sorted(shown) == sorted(tables.TABLES)
    assert len(shown) == sum(len(tables.MARKED.findall(text)) for text in texts)


def test_a_table_is_replaced_and_the_prose_around_it_stays():
    page = (
        "before\n<!-- table: growth -->\n{}<!-- end -->\nbetween\n<!-- table: training -->\n{}<!-- end -->\nafter\n"
    )
    made = tables.filled(page.format("", ""))
    assert made == tables.filled(page.format("| old |\n", "| old |\n| too |\n")) == tables.filled(made)
    outside = re.sub(r"^\|.*\n", "", made, flags=re.MULTILINE)
    assert outside == page.format("", "")
    assert tables.TABLES["growth"]() in made and tables.training() in made


def test_the_page_of_measures_shows_the_figures_of_the_first_pretrained_seed():
    shown = {}
    for line in (ROOT / "docs" / "measures.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        shown.setdefault(cells[0], cells[1:])  # style stands before closeness
    assert len(shown["conversion"]) == 4
    for place, direction in enumerate(("folk_to_rock", "rock_to_folk", "folk_to_jazz", "jazz_to_folk")):
        pair = "folk_rock" if "rock" in direction else "folk_jazz"
        tree = json.loads((RESULTS / f"evaluation_{pair}.json").read_text())
        methods = tree["recipes"]["pretrained"]["runs"][0]["directions"][direction]["methods"]
        for method in ("conversion", "untrained generator", "equaliser", "untouched input"):
            style = methods[method]["style"]
            distance, called = (style[name][0] for name in ("kernel distance to target", "songs called target"))
            assert shown[method][place] == f"{distance:.2f}, {round(100 * called)}%"


def test_each_pair_holds_three_seeds_of_each_recipe_and_what_is_bundled():
    for pair in ("folk_rock", "folk_jazz"):
        tree = json.loads((RESULTS / f"evaluation_{pair}.json").read_text())
        names = {"default", "batches_of_four", "sixty_epochs", "half_hour", "pretrained"}
        assert tree["pair"] == pair and set(tree["recipes"]) == names
        for name, recipe in tree["recipes"].items():
            assert [run["seed"] for run in recipe["runs"]] == ([0] if name == "pretrained" else [0, 1, 2])
            assert all(run["split"] == "test" for run in recipe["runs"])
            assert len({json.dumps(run["directions"]) for run in recipe["runs"]}) == len(recipe["runs"])


def distances(kind: str) -> dict[str, dict[str, float]]:
    """Return the outside judge's distance of each method in each direction, on one kind of music."""
    runs = json.loads((RESULTS / "outside_judge.json").read_text())["runs"].values()
    return {
        direction: {
            method: figures["kernel distance to target"][0]
            for method, figures in found["methods"].items()
            if not method.startswith("true target")
        }
        for run in runs
        for direction, found in run[kind].items()
    }


def test_what_is_said_of_the_outside_judge_follows_from_its_figures():
    """The sentences below the tables of elsewhere.md."""
    equalisers = {"equaliser", "equaliser, a filter alone"}
    for direction, rows in distances("own tunes").items():
        assert min(rows, key=rows.get) == "conversion", direction
    for direction, rows in distances("bank").items():
        nearer = {method for method, value in rows.items() if value < rows["conversion"]} - {"untrained generator"}
        assert nearer == (equalisers if direction == "folk to rock" else set()), direction
        assert rows["untrained generator"] > rows["conversion"] - 0.01, direction
    for rows in distances("mma").values():
        assert rows["conversion"] < rows["distortion"] and rows["conversion"] < rows["musaicing"]
    for direction, rows in distances("real").items():
        fewer = [method for method in (*equalisers, "untouched input") if rows[method] > rows["conversion"]]
        assert (len(fewer) == 3) == (direction != "jazz to folk"), direction


def test_what_is_said_of_what_the_band_plays_follows_from_its_figures():
    """The sentences below the tables of band.md."""
    short, alike = set(), set()
    for pair in ("folk_rock", "folk_jazz"):
        for direction, part in json.loads((RESULTS / f"band_content_{pair}.json").read_text())["directions"].items():
            rows, measures = part["methods"], ("chord", "beat")
            right, true = rows[band_rows.RIGHT], rows["true target, rearranged"]
            assert part["played"] == part["songs"] == 8
            for name in measures:
                assert right[f"{name} of the mix"][0] > true[f"{name} of the mix"][0], (direction, name)
            short |= {(direction, name) for name in measures if right[name][0] < true[name][0] - 0.05}
            for wrong in band_rows.WRONG:
                if not any(rows[wrong][f"{name} below the right band"][1] > 0 for name in measures):  # the lower end
                    pytest.fail(f"{direction}: {wrong} is not clearly worse")
                if not any(rows[wrong][f"{name} of the mix below the right band"][1] > 0 for name in measures):
                    alike.add((direction, wrong))
    assert short == {("folk to rock", "chord"), ("folk to jazz", "chord")}
    towards_jazz = {("folk to jazz", wrong) for wrong in (band_rows.TRITONE, band_rows.LATE, band_rows.RANDOM)}
    assert alike == towards_jazz | {("folk to rock", band_rows.RANDOM)}


def strings(tree: Any) -> Iterator[str]:
    """Yield every key and every string of a JSON tree."""
    if isinstance(tree, dict):
        yield from tree
        for value in tree.values():
            yield from strings(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from strings(value)
    elif isinstance(tree, str):
        yield tree


def is_of_a_machine(text: str) -> bool:
    """Tell whether a word of a text is an absolute path, on its own or as the value of a flag."""
    words = [part for word in shlex.split(text.replace("'", "")) for part in (word, word.rpartition("=")[2])]
    parts = [part for word in words for part in word.split(",")]
    return any(
        part.startswith("~") or len(part) > 1 and (PurePosixPath(part).is_absolute() or PureWindowsPath(part).drive)
        for part in parts
    )


def test_what_names_a_folder_of_a_machine_is_recognised():
    found = ("--weights=/mnt/x.whl", "python /home/me/x.py", "--runs=a,/b", "~/music", r"--out=C:\x.json")
    assert all(map(is_of_a_machine, found))
    assert not any(map(is_of_a_machine, ("python -m gst_jax.train --run=runs/x", "GFLOP / s", "the target's")))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(RESULTS)))
def test_no_result_names_a_folder_or_the_name_of_a_machine(path):
    tree = json.loads(path.read_text(encoding="utf-8"))
    assert not [text for text in strings(tree) if is_of_a_machine(text)]
    stamps = list(provenances(tree))
    assert stamps, "without a provenance no one can make it again"
    for stamp in stamps:
        assert set(stamp) <= set(provenance.collect())  # which has no name of the machine or its user
        assert re.fullmatch(r"[0-9a-f]{12}( with changes)?", stamp["commit"])


def provenances(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield what made a result, and its parts."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        if key == "provenance":
            yield value
        elif isinstance(value, dict | list):
            yield from provenances(value)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_links_to_exists(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        if "://" not in target and path:
            file = page.parent / path
            assert file.exists(), target
            assert not anchor or anchor in anchors(file), target


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub forms them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_picture_is_shown_and_the_first_page_stays_short():
    linked = {
        (page.parent / target).resolve()
        for page in PAGES
        for target in re.findall(r"\]\(([^)\s#]+)", page.read_text(encoding="utf-8"))
    }
    assert not [path.name for path in RESULTS.rglob("*.png") if path.resolve() not in linked]
    assert len((RESULTS / "README.md").read_text(encoding="utf-8").splitlines()) < 150
