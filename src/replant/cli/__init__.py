"""The command line: `main` finds the command, handles errors once; a module a command; `options` is the parser."""
