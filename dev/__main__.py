"""`python -m dev`: dev.py starts this when the environment is ready."""

from dev.cli import main
from dev.processes import run_main

run_main(main)
