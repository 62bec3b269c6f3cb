"""Stands in for the Azure CLI of somebody who has run `az login`.

AZ_TOKENS names a folder: in it lies a token for each resource, under its host's name, and what was
asked is noted there. Without a token it says what az says before `az login`.
"""

import json
import os
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

tokens = Path(os.environ["AZ_TOKENS"])
with (tokens / "calls").open("a", encoding="utf-8") as calls:
    calls.write(f"{' '.join(sys.argv[1:])}\n")
token = tokens / str(urlsplit(sys.argv[sys.argv.index("--resource") + 1]).hostname)
if not token.exists():
    sys.exit("ERROR: Please run 'az login' to setup account.")
answer = {
    "accessToken": token.read_text(encoding="utf-8"),
    "expires_on": int(time.time()) + 3600,
    "tokenType": "Bearer",
}
json.dump(answer, sys.stdout)
