"""Whether a stored text still is what was stored: the gate asks before every admission."""

from __future__ import annotations

from runwright.model.errors import InvalidInput, Tampered
from runwright.model.ids import sha256
from runwright.runbooks.load import LoadedRunbook, load_runbook


def check_stored(text: str, digest: str, raw_digest: str) -> LoadedRunbook:
    """The runbook of a stored text, if both digests hold.

    Arguments: `digest`, of the canonical data; `raw_digest`, of the bytes.
    Raises Tampered if either differs or the text no longer loads.
    """
    advice = "Restore the record from a backup, or store the text as a new version and have it reviewed."
    found = sha256(text.encode("utf-8", "surrogatepass"))
    if found != raw_digest:
        raise Tampered(f"found text with sha-256 {found}.", allowed=f"Allowed: {raw_digest}.", next_step=advice)
    try:
        loaded = load_runbook(text)
    except InvalidInput as error:
        raise Tampered("found a stored runbook that does not load.", next_step=advice, faults=error.faults) from error
    if loaded.digest != digest:
        raise Tampered(f"found content with digest {loaded.digest}.", allowed=f"Allowed: {digest}.", next_step=advice)
    return loaded
