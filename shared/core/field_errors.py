"""What is wrong with the fields of a request, a setting or a source, collected in one way."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MOST = 20
"""More field errors than this tell nobody more; the rest is counted."""
_MAX_POINTER = 100


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing that is wrong with what somebody sent: where (RFC 6901) and what."""

    pointer: str
    detail: str


class FieldErrors:
    """Collects field errors, so that all of them are told at once.

    Past MOST they are only counted: what somebody sends must not cost more than it is worth.
    """

    def __init__(self, found: Iterable[FieldError] = ()) -> None:
        self._found: list[FieldError] = []
        self.count = 0
        for error in found:
            self.append(error)

    def are_enough(self) -> bool:
        """Say whether further ones are only counted."""
        return len(self._found) >= MOST

    def add(self, detail: str, *place: str | int) -> None:
        """Add one, by the names and indexes that lead to its place."""
        self.count += 1
        if len(self._found) < MOST:
            self._found.append(FieldError(pointer(*place), detail))

    def append(self, error: FieldError) -> None:
        """Add one that is already made."""
        self.count += 1
        if len(self._found) < MOST:
            self._found.append(error)

    def __iter__(self) -> Iterator[FieldError]:
        return iter(sorted(self._found, key=lambda error: error.pointer))

    def __bool__(self) -> bool:
        return self.count > 0

    def __len__(self) -> int:
        return self.count

    def summary(self, subject: str) -> str:
        """Say how many there are, and the first one.

        Args:
            subject: what they are about, such as "the request".
        """
        count = "One thing is" if self.count == 1 else f"{self.count} things are"
        first = next(iter(self))
        return f"{count} wrong with {subject}. {first.pointer or 'The whole'}: {first.detail}"


def pointer(*names: str | int) -> str:
    """Join names to a JSON pointer (RFC 6901), readable and of bounded length."""
    text = ""
    for name in names:
        # A name may be as long as the whole body: only as much of it is read as can be shown.
        shown = str(name)[:_MAX_POINTER]
        text += "/" + shown.replace("~", "~0").replace("/", "~1")
        if len(text) > _MAX_POINTER:
            break
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= _MAX_POINTER else text[: _MAX_POINTER - 1] + "…"
