"""Put this version of the documentation on the branch that a host serves: `python -m scripts.publish_site`.

A release is published under its first two numbers, as `0.1`, and as `latest`; everything else as `dev`. The
address of the site leads to `latest`, and to `dev` before the first release. The branch is `gh-pages`: GitHub
Pages serves it, and any other static server can.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from packaging.version import Version

from scripts.surroundings import ROOT

BRANCH = "gh-pages"
DEV = "dev"  # what is no release


def version_of(ref: str, others: Iterable[str] = ()) -> tuple[str, ...]:
    """The version that a branch or a tag is published as, and its alias if it has one.

    A release is the latest unless one of the others, which are published already, is later.

    Examples:
        >>> version_of("v0.1.3"), version_of("v1.0.0rc1"), version_of("main")
        (('0.1', 'latest'), ('dev',), ('dev',))
        >>> version_of("v0.9.4", ["dev", "0.10"])
        ('0.9',)
    """
    found = re.fullmatch(r"v(\d+\.\d+)\.\d+", ref)
    if not found:
        return (DEV,)
    later = any(Version(each) > Version(found[1]) for each in others if each != DEV)
    return (found[1],) if later else (found[1], "latest")


def mike(*words: str) -> str:
    """Run mike, which finds MkDocs beside this Python, and return its output; warnings of the site end it."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"SITE_STRICT": "true", "PATH": path}
    command = [sys.executable, "-c", "from mike.driver import main; main()", *words, "--branch", BRANCH]
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


def main() -> int:
    """Build and commit, and with `--push` publish; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("ref", help="the branch or the tag that is checked out, such as main or v0.1.0")
    parser.add_argument("--push", action="store_true", help="push the branch to origin")
    words = parser.parse_args()
    push = ["--push"] if words.push else []
    os.chdir(ROOT)
    try:
        others = [each["version"] for each in json.loads(mike("list", "--json"))]
        version, *alias = version_of(words.ref, others)
        mike("deploy", "--alias-type", "copy", "--update-aliases", version, *alias, *push)
        mike("set-default", DEV if {version, *others} == {DEV} else "latest", *push)
    except subprocess.CalledProcessError as error:
        return error.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
