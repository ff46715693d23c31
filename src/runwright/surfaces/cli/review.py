"""`runwright review`: the queue and the decisions. Only a logged-in person decides."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from runwright.surfaces.cli.connect import connect
from runwright.surfaces.cli.output import Json, print_json, say, table

app = typer.Typer(help="The review queue: look, try, approve or reject.", no_args_is_help=True)

DigestOption = Annotated[
    str | None, typer.Option("--digest", help="The digest you looked at; asked for interactively if left out.")
]


@app.command("list")
def list_(json_: Json = False) -> None:
    """What waits for a decision, most urgent first."""
    with connect() as server:
        items = server.pending()
    if json_:
        print_json(items)
        return
    rows = [
        (
            item.id,
            item.priority,
            item.status.value,
            item.added_risk.verdict.value,
            item.title,
            f"{item.created_at:%Y-%m-%d %H:%M}",
        )
        for item in items
    ]
    table(
        "Review queue", ("id", "priority", "status", "added risk", "title", "since"), rows, "Nothing waits for review."
    )


@app.command()
def show(subject_id: str, json_: Json = False) -> None:
    """The change, the risk it adds and the evidence."""
    with connect() as server:
        comparison = server.comparison(subject_id)
    if json_:
        print_json(comparison)
    else:
        show_comparison(comparison)


def show_comparison(comparison: dict[str, Any]) -> None:
    """Facts first: status, digest, added risk, evidence; then the reasons and the change."""
    item = comparison["item"]
    say(f"{item['id']}  {item['status']}  priority {item['priority']}", style="bold")
    say(f"digest {item['subject']['digest']}")
    risk = comparison.get("added_risk") or item["added_risk"]
    say(f"added risk: {risk['verdict']} {', '.join(risk['classes'])} {risk['explanation']}")
    for entry in item["evidence"]:
        verdict = {True: "passed", False: "failed", None: "no verdict"}[entry["passed"]]
        say(f"evidence ({entry['source']}): {verdict} - {entry['note']}")
    say(f"why: {item['reason']}")
    for edit in comparison.get("edits") or []:
        say(f"  {edit['op']}: {edit['reason']}")
    diff = comparison.get("diff")
    if diff and diff.get("unified"):
        say(diff["unified"])
    elif comparison.get("candidate_text"):
        say(comparison["candidate_text"])


@app.command()
def claim(subject_id: str, json_: Json = False) -> None:
    """Take an item; the lease runs out by itself."""
    with connect() as server:
        item = server.claim(subject_id)
    _said(item, json_)


@app.command()
def approve(
    subject_id: str,
    digest: DigestOption = None,
    note: Annotated[str, typer.Option("--note")] = "",
    override: Annotated[str, typer.Option("--override", help="Why, in spite of a failed test.")] = "",
    json_: Json = False,
) -> None:
    """Approve exactly what was shown: it becomes live in its scope."""
    with connect() as server:
        item = server.approve(subject_id, _digest(server, subject_id, digest), note, override)
    _said(item, json_)


@app.command()
def reject(
    subject_id: str,
    reason: Annotated[str, typer.Option("--reason", help="Goes into what is generated next.")],
    digest: DigestOption = None,
    json_: Json = False,
) -> None:
    """Reject, with the reason."""
    with connect() as server:
        item = server.reject(subject_id, _digest(server, subject_id, digest), reason)
    _said(item, json_)


@app.command()
def changes(
    subject_id: str,
    note: Annotated[str, typer.Option("--note", help="What should be different.")],
    digest: DigestOption = None,
    json_: Json = False,
) -> None:
    """Ask for changes."""
    with connect() as server:
        item = server.request_changes(subject_id, _digest(server, subject_id, digest), note)
    _said(item, json_)


@app.command()
def withdraw(subject_id: str, note: Annotated[str, typer.Option("--note")] = "", json_: Json = False) -> None:
    """Take an undecided item out of the queue."""
    with connect() as server:
        item = server.withdraw(subject_id, note)
    _said(item, json_)


@app.command("test")
def try_out(subject_id: str, json_: Json = False) -> None:
    """Try the version on disposable machines; the evidence appears with the item."""
    with connect() as server:
        request = server.test(subject_id)
    if json_:
        print_json({"request_id": request})
    else:
        say(f"{request}: queued. The evidence appears in `runwright review show {subject_id}`.")


@app.command()
def stats(json_: Json = False) -> None:
    """Items per status."""
    with connect() as server:
        answer = server.review_stats()
    if json_:
        print_json(answer)
    else:
        for name, count in answer.items():
            say(f"{name}: {count}")


def _digest(server: Any, subject_id: str, given: str | None) -> str:
    """The digest the person names. Shown and confirmed at a terminal; never guessed without one."""
    import sys

    from runwright.model.errors import UsageFault

    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise UsageFault(
            "Found no --digest.",
            allowed="Allowed: the digest that `runwright review show` prints.",
            next_step="A decision names what was shown.",
        )
    comparison = server.comparison(subject_id)
    show_comparison(comparison)
    typer.confirm("Is this what you decide on?", abort=True)
    return str(comparison["item"]["subject"]["digest"])


def _said(item: Any, as_json: bool) -> None:
    if as_json:
        print_json(item)
    else:
        say(f"{item.id}: {item.status.value}")
