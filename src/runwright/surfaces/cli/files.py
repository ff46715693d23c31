"""Reading and writing files that a user named."""

from __future__ import annotations

import os
import sys
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


def read_bytes(path: Path) -> bytes:
    """The bytes of a file. Raises InvalidInput saying what was found instead."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(
            f"Could not read {path}: {error.strerror}.", next_step="Check the path and its rights."
        ) from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file for its owner, or its standard output for `-`. Raises InvalidInput where it cannot be written."""
    if str(path) == "-":
        sys.stdout.buffer.write(data)
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
    except OSError as error:
        raise InvalidInput(
            f"Could not write {path}: {error.strerror}.", next_step="Check the path and its rights."
        ) from error
