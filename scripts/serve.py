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


class SiteHandler(SimpleHTTPRequestHandler):
    """Serves the files of the site with the headers that it asks for in `_headers`, and logs nothing."""

    def end_headers(self) -> None:
        """Send them."""
        for name, value in read_headers(Path(self.directory)):
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the terminal for the address."""


def take_port(text: str) -> ThreadingHTTPServer:
    """Return a server that holds the port; leave with one line where it cannot be had."""
    handler = functools.partial(SiteHandler, directory=str(SITE))
    try:
        return ThreadingHTTPServer((HOST, int(text)), handler)
    except (ValueError, OverflowError):
        sys.exit(f"serve: the port must be a number from 1 to 65535, not {text!r}.")
    except OSError as error:
        reason, other = error.strerror or error, int(text) + 1
        sys.exit(f"serve: port {text} cannot be used ({reason}). Choose another: make serve PORT={other}")


def read_headers(site: Path) -> tuple[tuple[str, str], ...]:
    """What `_headers` of a site says of all its pages; nothing if there is no such file."""
    if not (site / "_headers").is_file():
        return ()
    lines = (site / "_headers").read_text(encoding="utf-8").splitlines()
    pairs = (line.strip().partition(": ") for line in lines if line.startswith(" "))
    return tuple((name, value) for name, _, value in pairs)


def main(port: str, *build: str) -> int:
    """Build, then serve; return the exit status."""
    status = 130  # of an interrupted build
    with take_port(port) as server:
        try:
            status = subprocess.run(build, check=False).returncode
            if status == 0:
                if (missing := SITE / "404.html").is_file():
                    page = missing.read_text(encoding="utf-8")
                    SiteHandler.error_message_format = page.replace("%", "%%")
                print(f"The site is at http://{HOST}:{server.server_port} (Ctrl-C stops it)", flush=True)
                server.serve_forever()
        except KeyboardInterrupt:
            print()
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
