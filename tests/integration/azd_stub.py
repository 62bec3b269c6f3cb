"""Stands in for azd: keeps an environment in a folder, and writes down its calls.

AZD_STUB names the folder. In it, `signed-out` means that nobody is signed in, `fails` holds
a command that fails, `outputs` what the first provisioning adds to the environment, and `calls` the
calls. AZD_STUB_HOOK names a script that it runs after provisioning, as azd runs a hook: on the same
terminal, with the environment's values.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

folder = Path(os.environ["AZD_STUB"])
environments = folder / "environments"
environments.mkdir(exist_ok=True)
arguments = sys.argv[1:]
called = " ".join(arguments)
with (folder / "calls").open("a", encoding="utf-8") as calls:
    calls.write(f"azd {called}\n")
fails = folder / "fails"
if fails.exists() and called.startswith(fails.read_text(encoding="utf-8").strip()):
    sys.exit("ERROR: by order")


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{text}\n")


def values(name: str) -> dict[str, str]:
    """Read an environment."""
    path = environments / name
    found: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def keep(name: str, found: dict[str, str]) -> None:
    """Write an environment."""
    (environments / name).write_text(json.dumps(found), encoding="utf-8")


def environment() -> str:
    """Give the name of the environment of the call."""
    return arguments[arguments.index("--environment") + 1]


match arguments:
    case ["version"]:
        say(os.environ.get("AZD_VERSION", "azd version 1.25.0 (commit abc)"))
    case ["auth", "login", "--check-status", *options]:  # the exit code is 0 either way
        signed_in = not (folder / "signed-out").exists()
        if options == ["--output", "json"]:
            say(json.dumps({"status": "success" if signed_in else "unauthenticated"}))
        else:
            say("Logged in to Azure." if signed_in else "Not logged in, run `azd auth login`.")
    case ["env", "list", *_]:
        say(json.dumps([{"Name": path.name} for path in sorted(environments.iterdir())]))
    case ["env", "new", name, *_]:
        keep(name, {"AZURE_ENV_NAME": name})
    case ["env", "get-values", *_]:
        for name, value in values(environment()).items():
            say(f"{name}={json.dumps(value)}")
    case ["env", "set", name, value, *_]:
        keep(environment(), {**values(environment()), name: value})
    case ["provision", *_]:
        for needed in ("AZURE_LOCATION", "AZURE_SUBSCRIPTION_ID"):
            if needed not in values(environment()):
                sys.exit(f"ERROR: no default response for the prompt that gives {needed}")
        outputs = json.loads((folder / "outputs").read_text(encoding="utf-8"))
        keep(environment(), {**values(environment()), **outputs})
        if hook := os.environ.get("AZD_STUB_HOOK"):
            given = {**os.environ, **values(environment())}
            sys.stdout.flush()
            sys.exit(subprocess.run([sys.executable, hook], env=given, check=False).returncode)  # noqa: S603 - the project's own
    case ["deploy", *_]:
        pass
    case _:
        sys.exit(f"ERROR: unknown command {called}")
