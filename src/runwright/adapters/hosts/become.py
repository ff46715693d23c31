"""Becoming root through sudo: how its password travels, and what its refusals mean."""

from __future__ import annotations

from runwright.adapters.hosts.attempts import Answer
from runwright.model.errors import Refused

BEGIN = "runwright: what follows is the program"

AWAIT = f'while IFS= read -r line && [ "$line" != "{BEGIN}" ]; do :; done; unset line; exec /bin/sh'
"""What sudo starts where it may ask for a password: a constant text, and so seen by anyone. sudo reads the password
from the line before the mark, or leaves it there where it wants none; then this reads it away."""

WITHOUT_PASSWORD = ("/bin/sh", "-c", "exec sudo -n -- /bin/sh")
WITH_PASSWORD = ("/bin/sh", "-c", f"exec sudo -S -p '' -- /bin/sh -c '{AWAIT}'")


def lead(password: str) -> bytes:
    """What stands before a program on the standard input of `WITH_PASSWORD`."""
    return f"{password}\n{BEGIN}\n".encode("utf-8", "surrogateescape")


def one_line(password: str, name: str) -> str:
    """The password without the line end that a file of one line has. Raises Refused where more lines follow."""
    value = password.rstrip("\r\n")
    if not value or "\n" in value or "\0" in value:
        raise Refused(
            f"Found secret {name} with {'no text' if not value else 'several lines'}, which sudo cannot be told.",
            allowed="Allowed: a password of one line.",
        )
    return value


def check(answer: Answer, host: str, secret: str | None) -> None:
    """Raise Refused where sudo does not let the user become root, saying what to do."""
    word = answer.words[0]
    if word == "ok":
        return
    if word == "missing":
        raise Refused(
            f"Found no sudo on {host}, and the step is to run as root.",
            next_step="Install sudo there, or connect as root, or set `become: false`.",
        )
    said = " ".join(answer.rest.decode("utf-8", "replace").split())
    known = f"secret {secret}" if secret else "no password"
    if "must have a tty" in said:
        found = f"sudo on {host} asks for a terminal (requiretty)"
        step = "Add `Defaults:USER !requiretty` for this user to its sudoers."
    elif "incorrect password" in said or "Sorry, try again" in said or "no password was provided" in said:
        found, step = f"sudo on {host} refused the password in {known}", "Correct the secret."
    elif "password is required" in said or "terminal is required" in said:
        found = f"sudo on {host} asks for a password, and {known} is set for it"
        step = "Name the secret that holds it in the host's `become_password`, or allow the user NOPASSWD."
    else:
        found, step = f"sudo on {host} refused: {said[-300:] or 'it said nothing'}", "Allow this user sudo there."
    raise Refused(f"Found that {found}.", next_step=step)
