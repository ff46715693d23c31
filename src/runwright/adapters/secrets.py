"""Secret values from files of the server: `<directory>/<client>/<name>`, mode 0600."""

from __future__ import annotations

from pathlib import Path

from runwright.model.errors import NotFound, Refused
from runwright.model.hosts import SecretRef

_OTHERS = 0o077


class FileSecrets:
    """Implements the `SecretSource` port. Read at each use; never kept."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def resolve(self, reference: SecretRef) -> str:
        """The file's text without its last line end.

        Raises NotFound naming the file, Refused for a file that others may read.
        """
        path = self._directory / reference.client_id / reference.name
        try:
            if path.stat().st_mode & _OTHERS:
                raise Refused(f"Found secret {path} readable by others.", next_step=f"chmod 600 {path}")
            return path.read_text(encoding="utf-8").removesuffix("\n")
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(
                f"Found no secret {reference.name!r} of client {reference.client_id!r}.",
                next_step=f"Write its value into {path}, mode 600.",
            ) from None
