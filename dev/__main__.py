"""`python -m dev`: what dev.py starts once the environment is there."""

from dev.cli import main
from dev.processes import run_main

run_main(main)
