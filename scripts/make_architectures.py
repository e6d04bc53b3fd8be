"""Write the table of timm's architectures anew: `.venv/bin/python -m scripts.make_architectures`.

Errors use it to say which architecture weights look like. It takes some minutes.
"""

from advprop.models import architecture_table
from scripts.notebook_cache import PACKAGE

if __name__ == "__main__":
    (PACKAGE / "data_files" / "architectures.txt").write_text(architecture_table(), encoding="utf-8")
