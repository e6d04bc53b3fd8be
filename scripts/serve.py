"""Take the port, run the command that builds the site, then serve `site/` until interrupted.

`python scripts/serve.py PORT COMMAND...`: the port is taken first, so that a port in use is known before the
minutes of building are spent. The standard library is enough, so this runs before anything is installed.
"""

import functools
import subprocess
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
SITE = Path(__file__).resolve().parent.parent / "site"


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files and the site's own page for what is missing; logs nothing."""

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the terminal for the address."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer with the site's 404 page where there is one."""
        page = SITE / "404.html"
        if code != 404 or not page.is_file():
            super().send_error(code, message, explain)
            return
        body = page.read_bytes()
        self.send_response(code)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """Listens on one port of this machine."""

    daemon_threads = True


def take_port(text: str) -> Server:
    """Return a server that holds the port; leave with one line where it cannot be had."""
    handler = functools.partial(QuietHandler, directory=str(SITE))
    try:
        return Server((HOST, int(text)), handler)
    except (ValueError, OverflowError):
        sys.exit(f"serve: the port must be a number from 1 to 65535, not {text!r}.")
    except OSError as error:
        reason, other = error.strerror or error, int(text) + 1
        sys.exit(f"serve: port {text} cannot be used ({reason}). Choose another: make serve PORT={other}")


def main(port: str, *build: str) -> int:
    """Build, then serve; return the exit status."""
    status = 130  # of an interrupted build
    with take_port(port) as server:
        try:
            status = subprocess.run(build, check=False).returncode
            if status == 0:
                print(f"The site is at http://{HOST}:{server.server_port} (Ctrl-C stops it)", flush=True)
                server.serve_forever()
        except KeyboardInterrupt:
            print()
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
