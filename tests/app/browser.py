"""A real browser under hands: Chromium by its DevTools protocol over a pipe, without any package."""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 40.0  # seconds for anything to appear


class Browser:
    """One Chromium; `page` opens tabs."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("chromium") or pytest.skip("chromium is not installed: the page is not opened")
        to_read, self._out = os.pipe()
        self._in, to_write = os.pipe()

        def as_three_and_four() -> None:
            read, write = os.dup(to_read), os.dup(to_write)  # neither is 3 or 4 then
            os.dup2(read, 3)
            os.dup2(write, 4)

        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
                 "--disable-component-update", "--disable-dev-shm-usage", "--remote-debugging-pipe",
                 f"--user-data-dir={folder}/user"]  # fmt: skip
        self._process = subprocess.Popen(
            [program, *flags, "about:blank"], close_fds=False,
            preexec_fn=as_three_and_four, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_read)
        os.close(to_write)
        self._numbers, self._rest = itertools.count(1), b""
        self.told: list[dict[str, Any]] = []  # events of all tabs

    def ask(self, method: str, session: str | None = None, **params: Any) -> Any:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params, **({"sessionId": session} if session else {})}
        os.write(self._out, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            for answer in self._read(1.0):
                if answer.get("id") == number:
                    assert "error" not in answer, (method, answer)
                    return answer["result"]
        raise AssertionError(f"{method}: no answer")

    def _read(self, seconds: float) -> list[dict[str, Any]]:
        if not select.select([self._in], [], [], seconds)[0]:
            return []
        *whole, self._rest = (self._rest + os.read(self._in, 1 << 20)).split(b"\0")
        found = [json.loads(one) for one in whole]
        self.told += [one for one in found if "method" in one]
        return found

    def page(self, url: str, width: int = 1280, height: int = 1000, dark: bool = False) -> Page:
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, target, session)
        for domain in ("Page", "Network", "Runtime", "DOM", "Log"):
            page.ask(f"{domain}.enable")
        page.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        page.ask(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}],
        )
        page.ask("Page.navigate", url=url)
        return page

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        os.close(self._in)
        os.close(self._out)


class Page:
    def __init__(self, browser: Browser, target: str, session: str) -> None:
        self.browser, self.target, self.session = browser, target, session

    def ask(self, method: str, **params: Any) -> Any:
        return self.browser.ask(method, self.session, **params)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, (script, answer["exceptionDetails"])
        return answer["result"].get("value")

    def text(self, place: str) -> str:
        return str(self.run(f"document.querySelector({json.dumps(place)})?.innerText ?? ''"))

    def html(self, place: str) -> str:
        return str(self.run(f"document.querySelector({json.dumps(place)})?.innerHTML ?? ''"))

    def until(self, seen: Callable[[], Any], seconds: float = PATIENCE) -> Any:
        """What `seen` gives, once it is something."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := seen():
                return found
            time.sleep(0.05)
        raise AssertionError(f"not seen within {seconds:g} s; the page says:\n{self.text('body')}")

    def waits_for(self, place: str, text: str) -> str:
        """The text of a place, once it has `text` in it."""
        return str(self.until(lambda: found if text in (found := self.text(place)) else None))

    def click(self, place: str) -> None:
        self.until(lambda: self.run(f"!!document.querySelector({json.dumps(place)})"))
        self.run(f"(document.querySelector({json.dumps(place)}).click(), 1)")

    def tab(self, name: str) -> None:
        tabs = "[...document.querySelectorAll('button[role=tab]')]"
        self.run(f"({tabs}.find(one => one.innerText.trim() == {json.dumps(name)}).click(), 1)")

    def give(self, place: str, *files: Path) -> None:
        """Files to the file chooser in a place; once more where it was just being drawn anew, and took none."""
        time.sleep(0.5)  # as a hand does: Gradio loses an event that is sent while its stream of the one before closes
        before = len(self.told("Network.requestWillBeSent"))
        for _ in range(3):
            self._give(place, files)
            end = time.monotonic() + 3
            while time.monotonic() < end:
                asked = [one["request"]["url"] for one in self.told("Network.requestWillBeSent")[before:]]
                if any("/upload" in url for url in asked) or self.text("[data-testid=toast-text]"):
                    return
                time.sleep(0.05)
        raise AssertionError(f"{place} takes no files")

    def _give(self, place: str, files: tuple[Path, ...]) -> None:
        field = f"{place} input[type=file]"
        self.until(lambda: self.run(f"!!document.querySelector({json.dumps(field)})"))
        root = self.ask("DOM.getDocument")["root"]["nodeId"]
        node = self.ask("DOM.querySelector", nodeId=root, selector=field)["nodeId"]
        self.ask("DOM.setFileInputFiles", files=[str(file) for file in files], nodeId=node)

    def set(self, place: str, value: float) -> None:
        """A number field, as typing does; a slider beside it follows once the page has taken it."""
        field = json.dumps(f"{place} input[type=number]")
        self.until(lambda: self.run(f"!!document.querySelector({field})"))  # tabs are drawn when they are opened
        act = (
            f"(() => {{ const field = document.querySelector({field});"
            f"Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(field, {value});"
            "for (const kind of ['input', 'change', 'blur']) field.dispatchEvent(new Event(kind, {bubbles: true}));"
            "return 1 })()"
        )
        every = f"[...document.querySelectorAll({json.dumps(f'{place} input')})].every(one => +one.value === {value})"
        for _ in range(5):  # once more where it was just being drawn anew
            self.run(act)
            time.sleep(0.5)
            if self.run(every):
                return
        raise AssertionError(f"{place} does not stay at {value}")

    def told(self, method: str) -> list[dict[str, Any]]:
        """Events of this tab."""
        self.browser._read(0)
        return [
            one["params"]
            for one in self.browser.told
            if one["method"] == method and one.get("sessionId") == self.session
        ]

    def screenshot(self, path: Path, whole: bool = True) -> None:
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", captureBeyondViewport=whole)["data"]))

    def close(self) -> None:
        self.browser.ask("Target.closeTarget", targetId=self.target)
