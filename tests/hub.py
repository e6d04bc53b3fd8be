"""A model hub on 127.0.0.1 that speaks as much of the Hugging Face protocol as a download takes.

`serve_hub({"timm/name": {"model.safetensors": b"..."}})` yields the environment of a process that
should use it. A file may be a status code in place of bytes, and `Truncated` bytes stop half way.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from torch import nn

_COMMIT = "0" * 40


def fingerprint(model: nn.Module) -> str:
    """A checksum of all that a model has learnt."""
    return hashlib.sha256(b"".join(v.numpy().tobytes() for v in model.state_dict().values())).hexdigest()


class Truncated(bytes):
    """A file of which only half arrives."""


@contextmanager
def serve_hub(repos: Mapping[str, Mapping[str, bytes | int]], home: Path) -> Iterator[dict[str, str]]:
    """Serves repositories; yields environment variables that point a process at them."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(repos))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield {
            "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1",
        }
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(repos: Mapping[str, Mapping[str, bytes | int]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def find(self) -> bytes | int:
            repo, _, rest = self.path.lstrip("/").partition("/resolve/")
            return repos.get(repo, {}).get(rest.partition("/")[2], 404)

        def do_HEAD(self) -> bytes:
            found = self.find()
            body = b"" if isinstance(found, int) else found
            self.send_response(found if isinstance(found, int) else 200)
            if found == 404:
                known = self.path.lstrip("/").partition("/resolve/")[0] in repos
                self.send_header("X-Error-Code", "EntryNotFound" if known else "RepoNotFound")
            self.send_header("X-Repo-Commit", _COMMIT)
            self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Accept-Ranges", "none")
            self.end_headers()
            return body

        def do_GET(self) -> None:
            body = self.do_HEAD()
            self.wfile.write(body[: len(body) // 2] if isinstance(body, Truncated) else body)
            self.close_connection = isinstance(body, Truncated)

        def log_message(self, format: str, *args: object) -> None:
            """Keeps the tests' output clean."""

    return Handler
