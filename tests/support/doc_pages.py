"""Examples out of the pages for people."""

from __future__ import annotations

import re
from pathlib import Path


def first_example(page: Path) -> str:
    """The first YAML block of a page."""
    found = re.search(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None, page
    return found[1]
