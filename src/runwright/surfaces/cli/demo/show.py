"""How the demo shows things: headings, lines, tables, and the review side by side."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

console = Console(highlight=False, markup=False)

ACTS = 8


def act(number: int, title: str) -> None:
    """A heading of the story."""
    console.print()
    console.print(Rule(Text(f"{number}/{ACTS}  {title}", style="bold cyan"), align="left", style="cyan"))


def line(text: str, style: str | None = None) -> None:
    """One line of the story."""
    console.print(Text("  " + text, style=style or ""))


def good(text: str) -> None:
    line("✓ " + text, "green")


def bad(text: str) -> None:
    line("✗ " + text, "red")


def quote(text: str) -> None:
    """Something a machine said; shown as it is, never read as style."""
    console.print(Text("    │ " + text.rstrip()[:300], style="dim"))


def figures(rows: Sequence[tuple[str, str, str]]) -> None:
    """Before and after."""
    made = Table(box=None, header_style="bold", padding=(0, 3, 0, 2))
    for column in ("", "before (v1)", "after (v2)"):
        made.add_column(column)
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    console.print(made)


def review(comparison: dict[str, Any]) -> None:
    """The review as the queue's page shows it: added risk first, evidence, reasons, then the change."""
    item = comparison["item"]
    risk = comparison.get("added_risk") or item["added_risk"]
    verdict = {"ok": "green", "warn": "yellow", "refuse": "red"}[risk["verdict"]]
    classes = ", ".join(risk["classes"]) or "no risk class"
    console.print(Text(f"  added risk: {risk['verdict']} ({classes})", style=verdict))
    for finding in risk.get("findings", [])[:4]:
        quote(f"{finding['rule']}: {finding['explanation']}")
    for entry in item["evidence"]:
        mark = {True: "✓", False: "✗", None: "-"}[entry["passed"]]
        line(f"{mark} evidence ({entry['source']}): {entry['note']}")
    for edit in comparison.get("edits") or []:
        line(f"{edit['op']}: {edit['reason']}")
    console.print(_side_by_side(comparison.get("parent_text") or "", comparison.get("candidate_text") or ""))
    line(f"digest {item['subject']['digest']}", "dim")


def _side_by_side(old: str, new: str) -> Panel:
    before, after = old.splitlines(), new.splitlines()
    made = Table.grid(padding=(0, 2), expand=True)
    made.add_column(ratio=1, overflow="fold")
    made.add_column(ratio=1, overflow="fold")
    for group in difflib.SequenceMatcher(None, before, after, autojunk=False).get_grouped_opcodes(2):
        for tag, i1, i2, j1, j2 in group:
            left, right = before[i1:i2], after[j1:j2]
            for row in range(max(len(left), len(right))):
                one = left[row] if row < len(left) else ""
                two = right[row] if row < len(right) else ""
                same = tag == "equal"
                made.add_row(Text(one, style="dim" if same else "red"), Text(two, style="dim" if same else "green"))
    return Panel(made, title="v1 (approved)                 v2 (candidate)", title_align="left", border_style="dim")
