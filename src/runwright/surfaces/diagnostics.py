"""What `runwright doctor` looks at: the parts of this machine and the settings in force."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from runwright.model.errors import RunwrightError
from runwright.surfaces.settings import Settings
from runwright.surfaces.wiring import engine_status, language_model, machines, opened_store


@dataclass(frozen=True)
class Finding:
    """One part: whether it is there, whether Runwright cannot work without it, and what was found."""

    part: str
    ok: bool
    needed: bool
    note: str


async def examine() -> tuple[Finding, ...]:
    """Look at every part. Never raises for a part that is missing: that is the answer."""
    settings = Settings()
    found = [Finding("data", True, True, str(settings.data_dir))]
    try:
        async with opened_store(settings) as store, store.reading() as tx:
            people = await tx.users.count(client="*")
        note = f"{settings.store_url.partition('://')[0]}, {people} people"
        if not people:
            note += "; make the first admin with `runwright user add NAME --admin`"
        found.append(Finding("database", True, True, note))
    except RunwrightError as error:
        found.append(Finding("database", False, True, str(error)))
    reason = await machines().unavailable()
    found.append(Finding("lab", reason is None, False, reason or "disposable machines can be made"))
    for name, use in (("ssh", "hosts by SSH"), ("openssl", "certificate checks"), ("curl", "HTTP checks")):
        path = shutil.which(name)
        found.append(Finding(name, path is not None, False, path or f"not found; used for {use}"))
    try:
        language_model(settings=settings)
        status = engine_status(settings)
        found.append(Finding("learning", True, False, ", ".join(f"{key}: {value}" for key, value in status.items())))
    except RunwrightError as error:
        found.append(Finding("learning", False, False, str(error)))
    return tuple(found)
