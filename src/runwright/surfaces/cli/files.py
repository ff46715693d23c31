"""Reading files that a user named."""

from __future__ import annotations

from pathlib import Path

from runwright.model.errors import InvalidInput


def read_text(path: Path) -> str:
    """The text of a UTF-8 file. Raises InvalidInput saying what was found instead."""
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise InvalidInput(f"Found no file {path}.", next_step="Check the path.") from None
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"Found a byte that is not UTF-8 in {path} at offset {error.start}.", allowed="Allowed: UTF-8 text."
        ) from error
    except OSError as error:
        raise InvalidInput(
            f"Could not read {path}: {error.strerror}.", next_step="Check the path and its rights."
        ) from error
