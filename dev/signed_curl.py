"""Writes a webhook as a shell command: curl, with a signature that openssl computes."""

import base64
import json
import re
from collections.abc import Mapping
from shlex import quote
from typing import Any


def signed_curl(
    *, url: str, scheme: Mapping[str, Any], secret: str, event: Mapping[str, Any]
) -> str:
    """Write the lines that post an event, for bash. They sign it when they run.

    Args:
        url: The webhook's address.
        scheme: The signature scheme, as in WEBHOOK_SOURCES.
        secret: The secret that signs.
        event: The event to post.
    """
    lines = [f"EVENT={quote(json.dumps(event, ensure_ascii=False))}"]
    headers = ["'Content-Type: application/json'"]
    match scheme["type"]:
        case "standard":
            key = base64.b64decode(secret.removeprefix("whsec_")).hex()
            lines.append("ID=event-$RANDOM TIME=$(date +%s)")
            hmac = f"-binary -mac HMAC -macopt hexkey:{key}"
            signature = _signature('"$ID.$TIME.$EVENT"', f"{hmac} | openssl base64 -A")
            headers += ['"webhook-id: $ID"', '"webhook-timestamp: $TIME"']
            headers.append(f'"webhook-signature: v1,{signature}"')
        case "timestamped":
            milliseconds = "000" if scheme.get("timestampUnit") == "ms" else ""
            lines.append(f"TIME=$(date +%s){milliseconds}")
            signature = _signature('"$TIME.$EVENT"', _hex(secret))
            key = _literal(scheme.get("signatureKey", "v1"))
            headers.append(f'"{_literal(scheme["header"])}: t=$TIME,{key}={signature}"')
        case "body-hmac":
            in_base64 = scheme.get("encoding") == "base64"
            hmac = f"-binary -hmac {quote(secret)} | openssl base64 -A"
            signed = f'{quote(scheme["url"])}"$EVENT"' if scheme.get("url") else '"$EVENT"'
            signature = _signature(signed, hmac if in_base64 else _hex(secret))
            before = _literal(f"{scheme['header']}: {scheme.get('prefix', '')}")
            headers.append(f'"{before}{signature}"')
        case _:
            headers.append(quote(f"{scheme['header']}: {scheme.get('prefix', '')}{secret}"))
    lines.append(f"curl -iw '\\n' {quote(url)} -d \"$EVENT\" \\")
    lines += [f"  -H {header} \\" for header in headers]
    return "\n".join(lines).removesuffix(" \\")


def _signature(signed: str, options: str) -> str:
    return f"$(printf %s {signed} |\n      openssl dgst -sha256 {options})"


def _literal(text: str) -> str:
    """Escape a text for double quotes in a shell."""
    return re.sub(r'([\\"$`])', r"\\\1", text)


def _hex(secret: str) -> str:
    return f"-r -hmac {quote(secret)} | cut -d' ' -f1"
