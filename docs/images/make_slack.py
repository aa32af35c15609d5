"""Draws the pictures of Slack messages in this folder: `python docs/images/make_slack.py`, with chromium on the PATH.

The messages are what Watchhouse sends for the groups of alerts in tests/slack/scenes.py.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageChops

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent.parent))

from tests.slack.drawn import page  # noqa: E402
from tests.slack.shown import CHART, pictures  # noqa: E402

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    """Writes a PNG for each picture."""
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        sys.exit(f"none of {', '.join(BROWSERS)} is on the PATH")
    for name, messages in pictures().items():
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder, "page.html"), Path(folder, "page.png")
            source.write_text(page(messages, CHART), encoding="utf-8")
            subprocess.run(
                [
                    browser, "--headless", "--no-sandbox", "--hide-scrollbars", "--disable-gpu",
                    f"--user-data-dir={folder}/profile", "--force-device-scale-factor=1.5", "--window-size=760,1600",
                    f"--screenshot={target}", source.as_uri(),
                ],
                check=True, capture_output=True, timeout=60,
            )  # fmt: skip
            trim(target, FOLDER / f"{name}.png")


def trim(source: Path, target: Path) -> None:
    """Cuts the empty rest of the page off, and keeps 128 colours: a third of the bytes."""
    with Image.open(source) as whole:
        picture = whole.convert("RGB")
    box = ImageChops.difference(picture, Image.new("RGB", picture.size, "white")).getbbox()
    if box is not None:
        picture = picture.crop((0, 0, picture.width, min(picture.height, box[3] + 20)))
    picture.quantize(128).save(target, optimize=True)


if __name__ == "__main__":
    main()
