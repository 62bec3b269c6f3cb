"""Reads one entry of WEBHOOK_SOURCES or DELIVERIES: JSON objects with a name for each entry."""

from collections.abc import Mapping

from shared.core.identifiers import is_secret_name, is_source_name
from shared.core.strict_json import FieldErrors


def numbered(number: int) -> str:
    """Give what a pointer shows in place of a name that may be a secret, or hold one."""
    return f"#{number}"


def shown_name(name: str, place: int) -> str:
    """Give the name of an entry for health and events. An invalid name is shown as its number.

    An invalid name may be a URL with a key in it, so it is not shown.
    """
    return name if is_source_name(name) else numbered(place)


class ConfigurationReader:
    """Reads the members of one entry, and collects their errors in `field_errors`.

    Where a method adds an error, its return value is a placeholder that nobody uses. No error text
    quotes a value, because the value may be a secret.
    """

    def __init__(self) -> None:
        self.field_errors = FieldErrors()

    def _secret_name(self, given: Mapping[str, object], member: str) -> str:
        """Read the name of a secret in Key Vault."""
        value = given.get(member)
        if not isinstance(value, str) or not is_secret_name(value):
            self._complain(
                "Must be the name of a secret in Key Vault: 1 to 127 letters, digits and hyphens.",
                member,
            )
        return str(value)

    def _choice(
        self, options: Mapping[str, object], name: str, choices: tuple[str, ...], *place: str
    ) -> str:
        """Read one of the allowed words. The first is the default, but a `type` has none."""
        value = options.get(name, choices[0] if name != "type" else None)
        if value not in choices:
            self._complain(f"Must be one of {', '.join(choices)}.", *place, name)
        return str(value)

    def _text(self, options: Mapping[str, object], name: str, default: str, *place: str) -> str:
        value = options.get(name, default)
        if not isinstance(value, str) or not value.isascii():
            self._complain("Must be a text of ASCII characters.", *place, name)
        return str(value)

    def _object(self, value: object, *place: str) -> Mapping[str, object]:
        if value is None and place:
            return {}
        if not isinstance(value, dict):
            self._complain("Must be a JSON object.", *place)
            return {}
        return value

    def _refuse_others(
        self, value: Mapping[str, object], known: frozenset[str], *place: str
    ) -> None:
        """Refuse other members than the known ones. They are shown by their number.

        A name that is not known may be a misplaced secret.
        """
        for number, name in enumerate(value, 1):
            if name not in known:
                self._complain(
                    f"Member {number} of this object has an unknown name. Known are "
                    f"{', '.join(sorted(known))}.",
                    *place,
                    numbered(number),
                )

    def _complain(self, detail: str, *place: str | int) -> None:
        self.field_errors.add(detail, *place)
