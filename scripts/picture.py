"""Take the picture of the player that README shows, with Chromium.

    python scripts/picture.py --page=results/examples/index.html --out=docs/player.png

Needs `pip install 'gst_jax[browser]'` and Chromium (`apt-get install chromium`).
"""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import command
from absl import flags
from PIL import Image

from gst_jax.runs.atomic import replacing

_PAGE = flags.DEFINE_string("page", None, "page with players", required=True)
_OUT = flags.DEFINE_string("out", None, "PNG to write", required=True)
_NUMBER = flags.DEFINE_integer("number", 2, "of the player on the page, from 0")


def main() -> None:
    """Open the page, move into the song, take the player's picture in few colours."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1000, "height": 900}, color_scheme="light")
        tab.goto(Path(_PAGE.value).resolve().as_uri())
        tab.evaluate(f"Players.players[{_NUMBER.value}].deck.seek(3.2)")
        content = tab.locator(".player").nth(_NUMBER.value).screenshot()
        browser.close()
    picture = Image.open(io.BytesIO(content)).convert("RGB").quantize(192)
    with replacing(_OUT.value) as temporary:
        picture.save(temporary, "PNG", optimize=True)


if __name__ == "__main__":
    command.run(main)
