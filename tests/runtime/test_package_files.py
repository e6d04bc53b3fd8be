"""The files that come with the package are found in a checkout and where a wheel was installed."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from advprop.runtime import package_files

READS_ALL = """
from advprop import load_model_index
from advprop.cards import load_results, snippet, verify
from advprop.models import create_model

name = "advprop_digits.advprop"
assert snippet("predict", name)
assert load_results().rows
assert not verify(load_model_index(), [name]).failures
create_model(name, pretrained=True)
print(__import__("advprop").__file__)
"""


@pytest.mark.slow
@pytest.mark.parametrize("installed", [False, True])
def test_what_comes_with_the_package_is_found(root: Path, tmp_path: Path, installed: bool) -> None:
    place = root
    if installed:
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
        subprocess.run(build, cwd=root, check=True, capture_output=True)
        (wheel,) = (tmp_path / "dist").glob("*.whl")
        place = tmp_path / "installed"
        zipfile.ZipFile(wheel).extractall(place)
    # In front of the path, before the checkout that this environment has installed.
    program = f"import sys; sys.path.insert(0, {str(place)!r})\n{READS_ALL}"
    command = [sys.executable, "-c", program]
    told = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert told.stdout.strip() == str(place / "advprop" / "__init__.py")


def test_packaged_files_come_before_those_of_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "advprop"
    monkeypatch.setattr(package_files, "_PACKAGE", package)
    with pytest.raises(FileNotFoundError, match="install advprop again"):
        package_files.package_folder("pages")
    in_checkout = tmp_path / "docs" / "models"
    in_checkout.mkdir(parents=True)
    assert package_files.package_folder("pages") == in_checkout
    (package / "pages").mkdir(parents=True)
    assert package_files.package_folder("pages") == package / "pages"
