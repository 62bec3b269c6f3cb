"""Stands in for PowerShell with grant-teams-access-policy.ps1: writes down the policy's users.

PWSH_STUB names a folder. In it, `pwsh-fails` holds the output of a script that fails, and
`policies` a line for each call. As PowerShell does, it refuses parameters that the
script does not have.
"""

import argparse
import os
import sys
import uuid
from pathlib import Path

folder = Path(os.environ["PWSH_STUB"])
parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("-NoProfile", action="store_true")
parser.add_argument("-File", type=Path, required=True)
parser.add_argument("-AppId", type=uuid.UUID, required=True)
target = parser.add_mutually_exclusive_group(required=True)
target.add_argument("-User")
target.add_argument("-Group", type=uuid.UUID)
target.add_argument("-Everyone", action="store_true")
options = parser.parse_args()
if options.File.name != "grant-teams-access-policy.ps1" or not options.File.is_file():
    sys.exit(f"The argument '{options.File}' is not recognized as the name of a script file.")

fails = folder / "pwsh-fails"
if fails.exists():
    sys.stdout.write(fails.read_text(encoding="utf-8"))
    sys.exit(1)
whom = "everybody" if options.Everyone else options.User or f"group {options.Group}"
with (folder / "policies").open("a", encoding="utf-8") as policies:
    policies.write(f"{options.AppId} {whom}\n")
sys.stdout.write("Done. It takes up to 30 minutes to work; 48 hours have been reported.\n")
