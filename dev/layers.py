"""`python -m dev.layers` runs import-linter, which cannot be run as a module itself."""

import sys

from importlinter.cli import lint_imports

if __name__ == "__main__":
    sys.exit(lint_imports(no_cache=True, no_logo=True))
