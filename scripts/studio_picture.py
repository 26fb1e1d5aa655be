"""Take the pictures of the studio that its page shows, with Chromium.

    python scripts/studio_picture.py --song=song.mp3 --desktop=docs/studio.png --phone=docs/studio_phone.png

Needs `pip install 'gst_jax[browser,studio]'` and Chromium (`apt-get install chromium`).
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile

import command
from absl import flags
from PIL import Image

from gst_jax.runs.atomic import replacing

_SONG = flags.DEFINE_string("song", None, "sound file to convert to jazz", required=True)
_PICTURE = flags.DEFINE_string("desktop", None, "PNG to write", required=True)
_PHONE = flags.DEFINE_string("phone", None, "PNG to write, as on a phone in the dark", required=True)
_LOOKS = {"light": (1000, 1130), "dark": (390, 844)}
_DONE = "document.querySelector('#convert .status').textContent.startsWith('Done')"


def main() -> None:
    """Start a studio, convert the song on its page, take both pictures."""
    from playwright.sync_api import sync_playwright

    arguments = [sys.executable, "-m", "gst_jax", "studio", "--noopen", "--port=0"]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = subprocess.Popen(arguments, cwd=folder, stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        try:
            address = server.stdout.readline().split()[-1]
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            for (scheme, (width, height)), out in zip(_LOOKS.items(), (_PICTURE.value, _PHONE.value), strict=True):
                tab = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
                tab.goto(address)
                tab.locator("#convert input[type=file]").set_input_files(_SONG.value)
                while not tab.evaluate(_DONE):
                    tab.wait_for_timeout(200)
                tab.evaluate("Players.players[0].deck.seek(0.3 * Players.players[0].deck.seconds)")
                tab.evaluate("document.querySelector('.drop').scrollIntoView()" if width < 500 else "scrollTo(0, 0)")
                _write(tab.screenshot(), out)
            browser.close()
        finally:
            server.terminate()
            server.wait()


def _write(content: bytes, out: str) -> None:
    """Write a picture in few colours."""
    picture = Image.open(io.BytesIO(content)).convert("RGB").quantize(160)
    with replacing(out) as temporary:
        picture.save(temporary, "PNG", optimize=True)


if __name__ == "__main__":
    command.run(main)
