"""`runwright serve`, `worker`, `demo`, `doctor`, `kpis`, `stop`, `release`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runwright.surfaces.cli.connect import connect
from runwright.surfaces.cli.output import NEGATIVE, POSITIVE, Json, print_json, print_line, say, table

if TYPE_CHECKING:
    from runwright.surfaces.settings import Settings

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Where this server keeps everything.")]


def serve(
    host: Annotated[str | None, typer.Option("--host", help="A loopback address.")] = None,
    port: Annotated[int | None, typer.Option("--port", min=0, max=65535, help="0 takes any free port.")] = None,
    data_dir: DataDir = None,
    demo: Annotated[bool, typer.Option("--demo", help="Open the data that the demo left.")] = False,
    json_: Json = False,
) -> None:
    """Run the server: API, dashboard, and a worker of its own."""
    import asyncio

    from runwright.surfaces.cli.demo.folder import demo_folder, require_demo_folder
    from runwright.surfaces.run import run_server
    from runwright.surfaces.settings import Settings

    given: dict[str, object] = {"host": host, "port": port, "data_dir": data_dir}
    if demo:
        require_demo_folder()
        given["data_dir"] = demo_folder()
    settings = Settings(**{key: value for key, value in given.items() if value is not None})  # type: ignore[arg-type]  # values come from typed options

    def ready(url: str) -> None:
        if json_:
            print_line({"url": url, "data_dir": str(settings.data_dir)})
        else:
            say(f"Runwright serves at {url} (data in {settings.data_dir}). Ctrl-C ends it.")

    asyncio.run(run_server(settings, on_ready=ready))


def worker(
    child: Annotated[bool, typer.Option("--child", hidden=True, help="Ends when standard input closes.")] = False,
    data_dir: DataDir = None,
    take_over: Annotated[
        str | None,
        typer.Option(
            "--take-over", metavar="EXECUTOR_ID", help="Put a dead worker's runs back into the queue, and end."
        ),
    ] = None,
    json_: Json = False,
) -> None:
    """Run a further worker (with PostgreSQL). It holds no approval key."""
    import asyncio

    from runwright.surfaces.run import run_worker
    from runwright.surfaces.settings import Settings

    settings = Settings(data_dir=data_dir) if data_dir else Settings()
    if take_over is not None:
        _take_over(settings, take_over, as_json=json_)
        return

    def ready() -> None:
        if json_:
            print_line({"executor_id": settings.executor_id})
        elif not child:
            say(f"Worker {settings.executor_id} takes work. Ctrl-C ends it.")

    asyncio.run(run_worker(settings, child=child, on_ready=ready))


def _take_over(settings: Settings, executor_id: str, *, as_json: bool) -> None:
    from runwright.surfaces.wiring import take_over

    count = take_over(settings, executor_id)
    if as_json:
        print_json({"executor_id": executor_id, "put_back": count})
    else:
        say(f"{executor_id}: {count} unfinished put back. Any live worker goes on with them.")


def doctor(json_: Json = False) -> None:
    """What this machine has and what is in force. Exit 1 if something needed is missing."""
    from runwright.surfaces.cli.interrupt import run_until_done
    from runwright.surfaces.diagnostics import examine

    findings = run_until_done(examine())
    if json_:
        print_json([finding.__dict__ for finding in findings])
    else:
        for finding in findings:
            state = "ok" if finding.ok else "missing" if finding.needed else "absent"
            say(f"{state:8} {finding.part}: {finding.note}")
    raise typer.Exit(POSITIVE if all(item.ok or not item.needed for item in findings) else NEGATIVE)


def kpis(json_: Json = False) -> None:
    """Success, times and cost, each with numerator and denominator."""
    with connect() as server:
        answer = server.kpis()
    if json_:
        print_json(answer)
        return
    rows = [
        (name, value.get("value"), value.get("numerator"), value.get("denominator"))
        for name, value in answer.items()
        if isinstance(value, dict)
    ]
    table("Figures", ("figure", "value", "of", "in"), rows, "Nothing ran yet.")


def stop(
    reason: Annotated[str, typer.Option("--reason", help="Why; it is shown wherever runs wait.")],
    scope: Annotated[str, typer.Argument(help="global, client:ID or runbook:ID.")] = "global",
    json_: Json = False,
) -> None:
    """Hold every run of the scope before its next step."""
    with connect() as server:
        switch = server.stop(scope, reason)
    if json_:
        print_json(switch)
    else:
        say(f"Stopped: {switch.id}. Release it with: runwright release {switch.id}")


def release(
    scope: Annotated[str, typer.Argument(help="global, client:ID or runbook:ID.")] = "global",
    json_: Json = False,
) -> None:
    """Let held runs go on."""
    with connect() as server:
        server.release(scope)
    if json_:
        print_json({"id": scope, "stopped": False})
    else:
        say(f"Released: {scope}")


def demo(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Approve without asking; recorded as such.")] = False,
    lab: Annotated[bool, typer.Option("--lab/--no-lab", help="Use disposable machines where they can be made.")] = True,
) -> None:
    """Break a real service, watch v1 fail, review v2, and see it fix the next incident."""
    from runwright.surfaces.cli.demo.story import run_demo

    raise typer.Exit(run_demo(yes=yes, lab=lab))


def add_commands(root: typer.Typer) -> None:
    """Put these commands on the root."""
    for command in (demo, serve, worker, stop, release, kpis, doctor):
        root.command()(command)
