"""Images, directories and servers that the tests use."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import banger

WORKSPACE = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def layout(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The reference of an image of two layers. BANGER_TEST_LAYOUT names one that is there already."""
    named = os.environ.get("BANGER_TEST_LAYOUT")
    if named:
        return named
    place = tmp_path_factory.mktemp("image") / "layout"
    command = [
        "cargo",
        "run",
        "--quiet",
        "--locked",
        "--package",
        "xtask",
        "--",
        "example-layout",
        str(place),
    ]
    return subprocess.run(command, cwd=WORKSPACE, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[banger.Store]:
    with banger.Store(tmp_path / "state", tmp_path / "cache") as opened:
        yield opened


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ext4 file with a few entries, which the tests copy before they edit it."""
    place = tmp_path_factory.mktemp("tree")
    (place / "root/etc").mkdir(parents=True)
    (place / "root/etc/hostname").write_text("old\n")
    (place / "root/etc/mtab").symlink_to("../proc/mounts")
    (place / "root/sub").mkdir()
    (place / "root/sub/data").write_bytes(bytes(range(256)) * 64)
    os.link(place / "root/sub/data", place / "root/sub/twin")
    banger.build(place / "root", place / "tree.ext4", size_bytes=16 << 20)
    return place / "tree.ext4"


@pytest.fixture
def disk(tree: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "disk.ext4"
    copy.write_bytes(tree.read_bytes())
    return copy


class SilentServer:
    """A server that accepts connections and never says a word."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.accepted = threading.Event()
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            self.accepted.set()

    def close(self) -> None:
        if self._listener.fileno() != -1:
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            connection.close()


@pytest.fixture
def silent_server() -> Iterator[SilentServer]:
    server = SilentServer()
    yield server
    server.close()


class Registry:
    """A registry that serves an OCI layout, as slowly as `pause_s` a 64 KiB says."""

    def __init__(self, reference: str) -> None:
        layout = Path(reference[len("oci:") :].rpartition(":")[0])
        registry = self
        self.pause_s = 0.0
        self.sending = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                kind, _, wanted = self.path.rpartition("/")
                if self.path == "/v2/":
                    self._answer(b"{}", "application/json")
                    return
                if ":" not in wanted:
                    index = json.loads((layout / "index.json").read_bytes())
                    wanted = index["manifests"][0]["digest"]
                content = (layout / "blobs" / wanted.replace(":", "/")).read_bytes()
                media_type = "application/octet-stream"
                if kind.endswith("/manifests"):
                    media_type = json.loads(content).get(
                        "mediaType", "application/vnd.oci.image.manifest.v1+json"
                    )
                self._answer(content, media_type)

            do_HEAD = do_GET

            def _answer(self, content: bytes, media_type: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", media_type)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command == "HEAD":
                    return
                try:
                    for start in range(0, len(content), 1 << 16):
                        self.wfile.write(content[start : start + (1 << 16)])
                        if start:
                            registry.sending.set()
                        time.sleep(registry.pause_s)
                except OSError:
                    self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.reference = f"127.0.0.1:{self._server.server_port}/example:latest"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def registry(layout: str) -> Iterator[Registry]:
    server = Registry(layout)
    yield server
    server.close()
