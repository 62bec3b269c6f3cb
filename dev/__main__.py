"""`python -m dev`: what dev.py starts once the environment is there."""

import sys

from dev.cli import main

try:
    sys.exit(main())
except KeyboardInterrupt:
    sys.exit(130)
