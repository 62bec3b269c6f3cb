"""`python -m dev.layers`: import-linter, which has no module of its own to be run by."""

import sys

from importlinter.cli import lint_imports

if __name__ == "__main__":
    sys.exit(lint_imports(no_cache=True, no_logo=True))
