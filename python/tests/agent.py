"""An agent as it runs in a guest, as far as the tests need it: docs/guest-protocol.md."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import threading
from pathlib import Path
from typing import Any

REQUEST, REPLY, ACCEPTED, CONTROL, INPUT, INPUT_END, OUTPUT, ERROR_OUTPUT, CREDIT = range(1, 10)


class Agent:
    """Answers on a Unix socket. Programs run on this machine; files are those below `root`."""

    def __init__(self, path: Path, root: Path) -> None:
        self.address = f"unix:{path}"
        self.root = root
        self.seen: list[dict[str, Any]] = []
        self.waiting = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection:
            try:
                while True:
                    kind, payload = receive(connection)
                    if kind == REQUEST:
                        self._answer(connection, json.loads(payload))
            except (OSError, EOFError):
                pass

    def _answer(self, connection: socket.socket, request: dict[str, Any]) -> None:
        self.seen.append(request)
        operation, args = request["op"], request.get("args", {})
        try:
            result, value = getattr(self, "_" + operation)(connection, args)
        except FileNotFoundError as error:
            result, value = "error", {"code": "not_found", "message": str(error)}
        reply = {"id": request["id"], "result": result, "value": value}
        send(connection, REPLY, {name: part for name, part in reply.items() if part is not None})

    def _health(self, connection: socket.socket, args: dict[str, Any]) -> tuple[str, Any]:
        return "health", {"agent_version": "0.0.1", "protocol": 1, "uptime_ms": 5}

    def _grow(self, connection: socket.socket, args: dict[str, Any]) -> tuple[str, Any]:
        return "grow", {"before_bytes": 1, "after_bytes": 2}

    def _set_network(self, connection: socket.socket, args: dict[str, Any]) -> tuple[str, Any]:
        return "set_network", {"interface": "eth0"}

    def _shutdown(self, connection: socket.socket, args: dict[str, Any]) -> tuple[str, Any]:
        return "shutdown", None

    def _wait(self, connection: socket.socket, args: dict[str, Any]) -> tuple[str, Any]:
        # Nothing comes: the host goes away.
        self.waiting.set()
        receive(connection)
        raise EOFError

    def _copy_in(self, connection: socket.socket, args: dict[str, Any]) -> tuple[str, Any]:
        send(connection, ACCEPTED, {"op": "copy_in"})
        content = b""
        while True:
            kind, payload = receive(connection)
            if kind == INPUT_END:
                break
            content += payload
        (self.root / args["path"].lstrip("/")).write_bytes(content)
        return "copy_in", {"bytes": len(content)}

    def _copy_out(self, connection: socket.socket, args: dict[str, Any]) -> tuple[str, Any]:
        content = (self.root / args["path"].lstrip("/")).read_bytes()
        target = {"size_bytes": len(content), "mode": 0o644, "uid": 0, "gid": 0, "mtime_seconds": 7}
        send(connection, ACCEPTED, {"op": "copy_out", "args": target})
        for start in range(0, len(content), 1 << 16):
            send(connection, OUTPUT, content[start : start + (1 << 16)])
        return "copy_out", {"bytes": len(content)}

    def _exec(self, connection: socket.socket, args: dict[str, Any]) -> tuple[str, Any]:
        environment = {**os.environ, **dict(args.get("env", []))}
        stdin = subprocess.PIPE if args.get("stdin") else subprocess.DEVNULL
        process = subprocess.Popen(
            args["argv"],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        assert process.stdout is not None and process.stderr is not None
        send(connection, ACCEPTED, {"op": "exec", "args": {"pid": process.pid}})
        lock = threading.Lock()

        def take() -> None:
            try:
                while True:
                    kind, payload = receive(connection)
                    if kind == INPUT and process.stdin is not None:
                        process.stdin.write(payload)
                        process.stdin.flush()
                        with lock:
                            send(connection, CREDIT, struct.pack("<I", len(payload)))
                    elif kind == INPUT_END and process.stdin is not None:
                        process.stdin.close()
                    elif kind == CONTROL:
                        control = json.loads(payload)
                        if control["control"] == "signal":
                            os.killpg(process.pid, control["number"])
            except (OSError, EOFError, ValueError):
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)

        def pump(source: Any, kind: int) -> None:
            while content := source.read1(1 << 16):
                with lock:
                    send(connection, kind, content)

        threads = [
            threading.Thread(target=pump, args=pair)
            for pair in ((process.stdout, OUTPUT), (process.stderr, ERROR_OUTPUT))
        ]
        # It ends with the connection: a host asks once a connection.
        threading.Thread(target=take, daemon=True).start()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        status = process.wait()
        process.stdout.close()
        process.stderr.close()
        if status < 0:
            return "exec", {"how": "killed", "signal": -status}
        return "exec", {"how": "exited", "status": status}


def send(connection: socket.socket, kind: int, payload: Any) -> None:
    content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    connection.sendall(b"BG" + struct.pack("<BBI", 1, kind, len(content)) + content)


def receive(connection: socket.socket) -> tuple[int, bytes]:
    header = exactly(connection, 8)
    assert header[:3] == b"BG\x01"
    return header[3], exactly(connection, struct.unpack("<I", header[4:])[0])


def exactly(connection: socket.socket, size: int) -> bytes:
    content = b""
    while len(content) < size:
        part = connection.recv(size - len(content))
        if not part:
            raise EOFError
        content += part
    return content
