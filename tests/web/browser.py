"""A browser without a window, driven by the Chrome DevTools Protocol over its WebSocket."""

import base64
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from websockets.sync.client import connect

from tests import tools

PATIENCE = 60                       # host seconds for what must come
PLACES = {"\n": "Enter", " ": "Space"}     # of keys that are no letters


class Browser:
    """Chromium with one page. What is asked of the page is JavaScript, and comes back as what JSON can say."""

    def __init__(self, width: int = 1280, height: int = 800):
        tools.require("chromium")
        self._profile = tempfile.mkdtemp(prefix="vm-browser-")
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                 "--disable-background-networking", "--disable-extensions", "--no-proxy-server",
                 f"--window-size={width},{height}", "--remote-debugging-port=0", "--remote-allow-origins=*",
                 f"--user-data-dir={self._profile}"]
        self._process = subprocess.Popen(["chromium", *flags, "about:blank"], stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL, env={**os.environ, "HOME": self._profile})
        try:
            port = self._port()
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(f"http://127.0.0.1:{port}/json") as answer:
                (page,) = (target for target in json.load(answer) if target["type"] == "page")
            self._connection = connect(page["webSocketDebuggerUrl"], max_size=None, compression=None)
            self._socket = self._connection.__enter__()
        except BaseException:
            self.close()
            raise
        self._numbers = itertools.count()
        self.requested: list[str] = []              # addresses that the page asked for
        self.complaints: list[str] = []             # what the page has logged as errors
        self._loads = 0
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def _port(self) -> str:
        path = Path(self._profile, "DevToolsActivePort")
        end = time.monotonic() + PATIENCE
        while not (path.exists() and "\n" in path.read_text()):
            assert self._process.poll() is None and time.monotonic() < end, "chromium does not start"
            time.sleep(0.05)
        return path.read_text().split()[0]

    def call(self, method: str, **parameters):
        """A command of the protocol, and its result; what the browser says meanwhile is heard."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=PATIENCE))
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self._hear(message)

    def _hear(self, message) -> None:
        method, said = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requested.append(said["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(said["exceptionDetails"].get("exception", {}).get("description", str(said)))
        elif method == "Log.entryAdded" and said["entry"]["level"] == "error":
            self.complaints.append(f"{said['entry']['text']} {said['entry'].get('url', '')}")
        elif method == "Page.loadEventFired":
            self._loads += 1

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def reload(self) -> None:
        """Until the page is there anew: meanwhile questions to it may come to nothing."""
        before = self._loads
        self.call("Page.reload")
        while self._loads == before:
            self._hear(json.loads(self._socket.recv(timeout=PATIENCE)))

    def look(self, script: str):
        """The value of an expression in the page."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait(self, script: str) -> None:
        """Until an expression is true."""
        end = time.monotonic() + PATIENCE
        while not self.look(f"!!({script})"):
            assert time.monotonic() < end, f"never true: {script}; the page has said {self.complaints}"
            time.sleep(0.05)

    def type(self, text: str) -> None:
        """By the keyboard, into what has the focus."""
        for character in text:
            key = {"key": character, "text": character, "code": PLACES.get(character, f"Key{character.upper()}")}
            if character == "\n":
                key |= {"key": "Enter", "text": "\r", "windowsVirtualKeyCode": 13}
            self.call("Input.dispatchKeyEvent", type="keyDown", **key)
            self.call("Input.dispatchKeyEvent", type="keyUp", **{name: key[name] for name in key if name != "text"})

    def click(self, selector: str) -> None:
        """The middle of what the selector finds, by the mouse."""
        place = self.look(f"(() => {{ const box = document.querySelector({selector!r}).getBoundingClientRect();"
                          "return [box.x + box.width / 2, box.y + box.height / 2] })()")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    def scheme(self, name: str) -> None:
        """Be of a user who likes it "light" or "dark"."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def picture(self, path: Path) -> None:
        """A PNG of the page."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        shutil.rmtree(self._profile, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
