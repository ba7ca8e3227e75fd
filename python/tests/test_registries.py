"""Inspection of images, pull policies, login and logout."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import banger


@pytest.fixture
def locked() -> Iterator[str]:
    """A registry without images that knows the user `me` with the password `secret`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            me = "Basic " + base64.b64encode(b"me:secret").decode()
            known = self.headers.get("Authorization") == me
            self.send_response(200 if known else 401)
            if not known:
                self.send_header("WWW-Authenticate", 'Basic realm="r"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_logins_are_checked_kept_and_removed(store: banger.Store, locked: str, tmp_path: Path) -> None:
    file = tmp_path / "auth.json"
    with pytest.raises(banger.AccessError):
        store.login(locked, user="me", password="wrong", auth_file=[file])
    assert not file.exists()
    login = store.login(locked, user="me", password="secret", auth_file=[file])
    assert login == {"version": 1, "registry": locked, "path": str(file), "checked": True}
    assert store.logout(locked, auth_file=[file])["registries"] == [locked]
    with pytest.raises(banger.NotFoundError):
        store.logout(locked, auth_file=[file])
    assert store.logout(auth_file=[file])["registries"] == []


def test_inspect_downloads_no_layer(store: banger.Store, layout: str) -> None:
    inspected = store.inspect(layout)
    assert inspected["digest"].startswith("sha256:")
    assert len(inspected["layers"]) == 2
    assert inspected["boot"]["boots"] is True
    with store.pull(layout, size_bytes=64 << 20) as image:
        assert store.inspect(layout)["boot"]["init"] == image.record["boot_contract"]


def test_policies_and_configurations(store: banger.Store, tmp_path: Path) -> None:
    with pytest.raises(banger.NotFoundError) as caught:
        store.inspect("registry.test/app", pull_policy="never")
    assert caught.value.code == 1183
    conf = tmp_path / "registries.conf"
    conf.write_text('[[registry]]\nlocation = "docker.io"\nblocked = true\n')
    with pytest.raises(banger.AccessError):
        store.pull("debian", registries_conf=[conf])
    with pytest.raises(banger.ArgumentError):
        store.pull("debian", registries_conf=[conf], registries="user")
