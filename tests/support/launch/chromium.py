"""A headless Chromium, driven over a pipe with the DevTools protocol."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

#: Starts a program whose file descriptors 3 and 4 are those of its first two arguments.
_WITH_PIPES = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
os.dup2(ends[0], 3)
os.dup2(ends[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""

#: Seconds that anything may take on a busy machine.
PATIENCE_SECONDS = 120.0


def find_chromium() -> str | None:
    """Path of a Chromium or Chrome on this machine."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((path for name in names if (path := shutil.which(name))), None)


class Chromium:
    """One page; remembers what it requested, logged and asked."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._buffer = b""
        self._last_id = 0
        self.events: list[tuple[str, dict[str, Any]]] = []
        target = self._call("Target.createTarget", {"url": "about:blank"})["targetId"]
        attach = {"targetId": target, "flatten": True}
        self._session = self._call("Target.attachToTarget", attach)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **values: Any) -> dict[str, Any]:
        """A command to the page; returns its result."""
        return self._call(method, values, self._session)

    def open(self, url: str) -> None:
        """Load a page, and wait for it and its scripts."""
        self.events.clear()
        self.call("Page.navigate", url=url)
        self.wait_for(f"location.href === {json.dumps(url)} && document.readyState === 'complete'")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, of a promise when it is fulfilled."""
        result = self.call(
            "Runtime.evaluate",
            expression=expression,
            returnByValue=True,
            awaitPromise=True,
            userGesture=True,
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Wait until a JavaScript expression is true."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not self.evaluate(condition):
            assert time.monotonic() < end, condition
            time.sleep(0.05)

    def press(self, key: str, code: int) -> None:
        """Press and release a key."""
        for kind in ("rawKeyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                windowsVirtualKeyCode=code,
            )

    def requested(self) -> set[str]:
        """Addresses that the page requested since it was opened, but for the player's own icons."""
        sent = [values for name, values in self.events if name == "Network.requestWillBeSent"]
        urls = {values["request"]["url"] for values in sent}
        return {url for url in urls if not url.startswith("data:image/svg+xml")}

    def complaints(self) -> list[str]:
        """Errors, violations of the policy, and dialogs since the page was opened."""
        names = ("Runtime.exceptionThrown", "Log.entryAdded", "Page.javascriptDialogOpening")
        return [json.dumps(values) for name, values in self.events if name in names]

    def _call(self, method: str, values: dict[str, Any], session: str = "") -> dict[str, Any]:
        self._last_id += 1
        message = {"id": self._last_id, "method": method, "params": values}
        if session:
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._last_id:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            if "method" in answer:
                self.events.append((answer["method"], answer.get("params", {})))

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            data = os.read(self._from, 1 << 16)
            assert data, "the browser has ended"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def running(program: str, folder: Path) -> Iterator[Chromium]:
    """Start a browser whose profile is in `folder`; it is killed with all its processes."""
    read_end, to_browser = os.pipe()
    from_browser, write_end = os.pipe()
    command = [
        *(sys.executable, "-c", _WITH_PIPES, str(read_end), str(write_end)),
        *(program, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"),
        *("--no-first-run", "--mute-audio", "--disable-background-networking"),
        *("--disable-component-update", f"--user-data-dir={folder}", "about:blank"),
    ]
    process = subprocess.Popen(
        command,
        pass_fds=(read_end, write_end),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(read_end)
    os.close(write_end)
    try:
        yield Chromium(to_browser, from_browser)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(to_browser)
        os.close(from_browser)
