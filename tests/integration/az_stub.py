"""Stands in for the Azure CLI of somebody who has run `az login`.

AZ_TOKENS names a folder. It holds a token for each resource in a file with its host's name, and
the calls are written to it. Without a token it prints what az prints before `az login`.
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
