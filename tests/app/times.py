"""How long the page lets one wait: `python -m tests.app.times [SCREENSHOT.png]`, by the default generator, two drawn faces.

Seconds on the clock, Chromium beside it on the same machine: measure with nothing else running.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.app.browser import Browser, Page

PATIENCE = 300.0
LIKENESSES = (0.2, 0.8, 0.4, 0.65, 0.3)


def told(what: str, page: Page, act: Callable[[], None], seen: Callable[[], object]) -> None:
    begin = time.monotonic()
    act()
    page.until(seen, PATIENCE)
    print(f"{what}: {time.monotonic() - begin:.1f} s", flush=True)


def main(screenshot: Path | None) -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command = [sys.executable, "-m", "gan_inversion", "app", "port=0"]
        begin = time.monotonic()
        served = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert served.stdout
        url = served.stdout.readline().split()[1]
        print(f"start: {time.monotonic() - begin:.1f} s", flush=True)
        browser = Browser(Path(folder))
        try:
            page = browser.page(url)
            page.until(lambda: page.text("#examples"))
            picture = "document.querySelector('#child img')?.src"
            told(
                "both photographs to the first child", page, lambda: page.click("#examples"), lambda: page.run(picture)
            )
            page.until(lambda: not page.text("#status").strip(), PATIENCE)
            for likeness in LIKENESSES:
                before = page.run(picture)
                told(
                    "slider", page, lambda value=likeness: page.set("#likeness", value),  # type: ignore[misc]
                    lambda old=before: page.run(picture) != old,  # type: ignore[misc]
                )  # fmt: skip
            told("child in full", page, lambda: page.click("#draw"), lambda: "Download" in page.text("#child"))
            if screenshot:
                time.sleep(1)
                page.screenshot(screenshot)
        finally:
            browser.close()
            served.terminate()
            served.wait(30)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else None)
