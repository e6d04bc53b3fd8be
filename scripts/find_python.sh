#!/bin/sh
# Prints the Python that makes the environment: $PYTHON where it is set, else the first below that works.
# Each candidate is run, because a name on the PATH may be a shim with nothing behind it.
probe="import sys; sys.exit(sys.version_info < (3, 11))"

if [ -n "$PYTHON" ]; then
    set -- "$PYTHON"
else
    set -- python3.13 python3.12 python3.11 python3 python
fi
for name in "$@"; do
    if "$name" -c "$probe" >/dev/null 2>&1; then
        printf '%s\n' "$name"
        exit 0
    fi
done

found=$("${PYTHON:-python3}" --version 2>/dev/null) || found="none that runs"
if [ -n "$PYTHON" ]; then
    echo "setup: PYTHON=$PYTHON must be Python 3.11 or newer; found $found." >&2
else
    echo "setup: Python 3.11 or newer is needed; found $found. Install one, or name it: make PYTHON=/path/to/python3" >&2
fi
exit 1
