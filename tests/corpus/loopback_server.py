"""A web server on this computer for tests of the sources: it serves given bytes, and fails in the ways that it is told to."""

import contextlib
import hashlib
import json
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Answer(NamedTuple):
    """One answer other than the file: a status with headers, or the file cut after `cut` bytes (Content-Length says more)."""

    status: int = 200
    headers: dict[str, str] = {}  # noqa: RUF012
    cut: int | None = None
    ranges: bool = True


class Server:
    """What is served and what was asked.

    Attributes:
        files: path -> bytes. faults: path -> the answers to the first requests, one each; then the file comes as it is.
        asked: method, path and Range header of each request.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[Answer]] = {}
        self.asked: list[tuple[str, str, str]] = []
        self.repository = ""

    def gets(self, path: str) -> list[str]:
        """The Range headers of the GET requests for a path."""
        return [ranges for method, asked, ranges in self.asked if method == "GET" and asked == path]

    def be_hub(self, repository: str, files: dict[str, bytes]) -> None:
        """Serve a data set as the Hugging Face hub does."""
        self.repository = repository
        self.files |= {f"/datasets/{repository}/resolve/main/{name}": data for name, data in files.items()}


def _hub(server: Server, path: str, query: str, body: bytes) -> object | None:
    """The hub's answers about a data set: what it is, which folders and files it holds."""
    start = f"/api/datasets/{server.repository}"
    if not server.repository or not path.startswith(start):
        return None
    prefix = f"/datasets/{server.repository}/resolve/main/"
    files = {name.removeprefix(prefix): data for name, data in server.files.items() if name.startswith(prefix)}
    entries = [
        {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
        for name, data in sorted(files.items())
    ]
    folders = sorted({"/".join(name.split("/")[:i]) for name in files for i in range(1, name.count("/") + 1)})
    entries += [{"type": "directory", "path": name, "size": 0, "oid": "f" * 40} for name in folders]
    rest = path.removeprefix(start).strip("/").split("/")
    if rest[0] == "tree":
        inside = urllib.parse.unquote("/".join(rest[2:]))
        deep = "recursive=true" in query.lower()
        below = [e for e in entries if not inside or str(e["path"]).startswith(inside + "/")]
        return [e for e in below if deep or "/" not in str(e["path"]).removeprefix(inside).strip("/")]
    if rest[0] == "paths-info":
        wanted = (json.loads(body) if body.startswith(b"{") else urllib.parse.parse_qs(body.decode()))["paths"]
        return [e for e in entries if e["path"] in wanted]
    siblings = [{"rfilename": name} for name in files]
    return {
        "id": server.repository,
        "sha": "a" * 40,
        "siblings": siblings,
        "private": False,
        "tags": [],
        "gated": False,
    }


@contextlib.contextmanager
def serve() -> Iterator[Server]:
    """A server on a free port of 127.0.0.1, as long as the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def _send(self, status: int, headers: dict[str, str], data: bytes, length: int | None = None) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data) if length is None else length))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = urllib.parse.urlsplit(self.path)
            path = urllib.parse.unquote(parts.path)
            wanted = self.headers.get("Range", "")
            server.asked.append((self.command, path, wanted))
            waiting = server.faults.get(path, [])
            fault = waiting.pop(0) if waiting and self.command == "GET" else Answer()
            if fault.status != 200:
                self._send(fault.status, fault.headers, b"")
                return
            answer = _hub(server, path, parts.query, body)
            if answer is not None:
                self._send(200, {"Content-Type": "application/json"}, json.dumps(answer).encode())
                return
            data = server.files.get(path)
            if data is None:
                self._send(404, {"X-Error-Code": "RepoNotFound" if path.startswith("/api/") else "EntryNotFound"}, b"")
                return
            headers = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": "a" * 40, **fault.headers}
            status, start, stop = 200, 0, len(data)
            if wanted and fault.ranges:
                first, _, last = wanted.removeprefix("bytes=").partition("-")
                status, start, stop = 206, int(first), min(len(data), int(last) + 1 if last else len(data))
                headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
            part = data[start:stop]
            self._send(status, headers, part if fault.cut is None else part[: fault.cut], len(part))
            if fault.cut is not None:
                self.close_connection = True

        do_HEAD = do_POST = do_GET

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server = Server(f"http://127.0.0.1:{http.server_address[1]}")
    thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
