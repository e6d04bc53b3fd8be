"""The command line: arguments to commands, errors to one line and an exit status."""
