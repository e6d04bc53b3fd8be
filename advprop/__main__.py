"""`python -m advprop` is the command `advprop`; `torchrun -m advprop` needs it."""

import sys

from advprop.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
