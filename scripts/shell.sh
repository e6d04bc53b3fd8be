#!/bin/sh
# The shell of the tutorials' kernels. IPython ignores what `!command` ends with; here a failure is noted.
"$(command -v bash || echo sh)" "$@"
status=$?
[ "$status" = 0 ] || printf '%s (it ended with %s)\n' "$2" "$status" >> "$FAILED_COMMANDS"
exit "$status"
