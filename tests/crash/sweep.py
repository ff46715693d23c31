"""The crash sweep: workers killed at every named point and at random moments, over databases and hosts.

    python -m crash.sweep --kills 1100 --json build/bench/crash.json

Each lane is a process without threads that has imported everything: it forks one worker after another, so that a
life costs what a worker's start costs and no import. A worker reports a run and is killed in it; the next worker
of the same name ends that run, which is then held against the log that the host kept (`judge.py`), and is killed
in a run of its own. A kill that led to a wrong outcome is printed with its name: `--only NAME` does it again.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import json
import os
import pkgutil
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import runwright
from crash.hosts import CELLS, HostPlace, Hosts
from crash.houses import BOOKS, certify, set_up
from crash.judge import Faults, judge, lines_of
from crash.life import HEARTBEAT, Home, LastPlace, Order, live
from support.postgres_server import PostgresServer

AT_LEAST = 20
"""Kills for each point and phase over the whole sweep."""
RANDOM_SHARE = 0.2
LIFE_SECONDS = 200.0


@dataclass
class Kill:
    """One worker that died, and what came of its run."""

    order: Order
    point: str
    phase: str
    faults: Faults = field(default_factory=Faults)
    status: str = ""
    seconds: float = 0.0
    taken_up: float | None = None


@dataclass
class Report:
    """What a lane hands back."""

    kills: list[Kill] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    """Orders whose place was not passed."""
    starts: list[float] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)


def phase_of(book: str, place: str, point: str) -> str:
    """Which part of a run a place is in."""
    if place.startswith("rollback:"):
        return "rollback"
    if not place.startswith("steps:"):
        return place or "run"
    steps = [step for step in BOOKS[book].steps if step.startswith("steps:")]
    reached = [step for step in steps if any(step == f"steps:{name}" for name, _ in BOOKS[book].begins)]
    if place not in reached:
        return "skipped step"
    if point in ("before-guard", "after-guard"):
        return "guard"
    index = reached.index(place)
    return "first step" if index == 0 else "last step" if index == len(reached) - 1 else "middle step"


class Lane:
    """One world: a database, a host, and the workers that die there one after another."""

    def __init__(self, cell: str, home: Home, host: HostPlace) -> None:
        self.cell, self._home, self._host = cell, home, host
        self._last = LastPlace()
        self._lives = 0
        self._open: dict[str, Kill] = {}
        """Kills whose run has not been judged, by the run's name."""
        self._executions: list[str] = []
        self.report = Report()

    def life(self, order: Order) -> dict[str, Any]:
        """Fork a worker and wait for its end; what it wrote down."""
        self._lives += 1
        open_runs = tuple(name.split("+")[0] for name in self._open)
        order = replace(order, number=self._lives, cell=self.cell, open_runs=open_runs)
        answers = self._home.directory / f"answers-{self._lives}.json"
        self._last.write("")
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.setsid()
                live(self._home, order, self._last, answers)
                status = 0
            finally:
                os._exit(status)
        status = _wait(pid)
        answer: dict[str, Any] = json.loads(answers.read_text()) if answers.exists() else {"seen": [], "start": 0.0}
        answers.unlink(missing_ok=True)
        self.report.starts.append(answer["start"])
        self._judge(answer["seen"])
        if status == -signal.SIGKILL:
            self._died(order)
        elif status != 0:
            raise RuntimeError(f"the worker ended with {status}; see {self._home.directory}/worker.log")
        elif order.point or order.delay is not None:
            self.report.missed.append(order.name)
        return answer

    def _died(self, order: Order) -> None:
        point, _, place = self._last.read().partition(" ")
        place = place if order.delay is not None or not order.place else order.place
        label = order.point or "random"
        phase = phase_of(order.book, place, point or order.point)
        if order.point == "":
            phase = phase if phase != "run" else point
        kill = Kill(order, label, phase)
        run = f"r{order.number}"
        if order.recovery:
            # the run of the life before dies a second time: both kills are judged by how it ends
            run = next(iter(self._open), run)
        self._open.setdefault(run, kill)
        if self._open[run] is not kill:
            self._open[f"{run}+{self._lives}"] = kill
        self.report.kills.append(kill)

    def _judge(self, found: Sequence[dict[str, Any]]) -> None:
        if not found:
            return
        from crash.life import Seen

        log = lines_of(self._host.read_log())
        for one in found:
            seen = Seen(**one)
            kills = [name for name in self._open if name.split("+")[0] == seen.run]
            if not kills:
                continue
            self._executions.append(seen.execution_id)
            book = BOOKS[self._open[kills[0]].order.book]
            faults = judge(book, seen, log, HEARTBEAT)
            for index, name in enumerate(kills):
                kill = self._open.pop(name)
                kill.status, kill.seconds, kill.taken_up = seen.status, seen.seconds, seen.taken_up
                if index == len(kills) - 1:
                    kill.faults = faults
                    if faults.any:
                        say(f"WRONG {kill.order.name}", *faults.sentences)

    def finish(self) -> None:
        """A last life that ends what is open, and a look at what is left on the host."""
        for _ in range(3):
            if not self._open:
                break
            self.life(Order(book="heals", run=False))
        for name, kill in self._open.items():
            if kill.status == "":
                kill.faults.stuck_executions += 1
                kill.faults.sentences.append(f"stuck_executions: {name} was never found again")
                say(f"WRONG {kill.order.name}", *kill.faults.sentences)
        self.report.leftovers = self._host.leftovers(self._executions)


def _wait(pid: int) -> int:
    end = time.monotonic() + LIFE_SECONDS
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            os.kill(pid, signal.SIGABRT)
            os.waitpid(pid, 0)
            return -signal.SIGABRT
        time.sleep(0.005)


def sites(lane: Lane) -> list[Order]:
    """Every place that undisturbed runs pass, learned from one of each runbook."""
    found: list[Order] = []
    for book in BOOKS:
        answer = lane.life(Order(book=book))
        counts: Counter[tuple[str, str]] = Counter()
        for point, place in answer["trace"]:
            counts[(point, place)] += 1
            if counts[(point, place)] <= 3:
                found.append(Order(book=book, point=point, place=place, nth=counts[(point, place)]))
    return found


FIRST_DEATHS = ("after-intent", "after-start", "before-outcome")
"""Kills after which the next worker has something to ask the host: where it is killed in turn."""


def plan(found: Sequence[Order], kills: int, lanes: Sequence[str], seed: int) -> dict[str, list[tuple[Order, ...]]]:
    """Which kills each lane gets: every point and phase alike, then random moments; two in one run for recoveries."""
    dice = random.Random(seed)  # noqa: S311 - a plan that can be made again
    groups: dict[tuple[str, str], list[tuple[Order, ...]]] = {}
    for order in found:
        phase = phase_of(order.book, order.place, order.point)
        groups.setdefault((order.point, phase), []).append((order,))
        if order.point in FIRST_DEATHS:
            again = Order(book=order.book, point="in-recovery", place=order.place, recovery=True)
            groups.setdefault(("in-recovery", phase), []).append((order, again))
    for orders in groups.values():
        dice.shuffle(orders)
    wanted = round(kills * (1 - RANDOM_SHARE))
    chosen: list[tuple[Order, ...]] = []
    turn = 0
    while sum(map(len, chosen)) < wanted:
        for orders in groups.values():
            chosen.append(orders[turn % len(orders)])
        turn += 1
    dice.shuffle(chosen)
    while sum(map(len, chosen)) < kills:
        chosen.append((Order(book=dice.choice(list(BOOKS)), delay=round(dice.uniform(0, 3.0), 3)),))
    dice.shuffle(chosen)  # a sweep that runs out of time has done some of all
    return {lane: chosen[index :: len(lanes)] for index, lane in enumerate(lanes)}


def database(cell: str, servers: list[PostgresServer]) -> str | None:
    """The database's URL for a cell; None is SQLite in the data directory."""
    if cell.startswith("sqlite"):
        return None
    if not servers:
        # as a server is run: what was committed is on disk
        servers.append(PostgresServer(settings=("fsync=on", "synchronous_commit=on", "full_page_writes=on")))
        servers[0].start()
    return servers[0].url(servers[0].create_database())


def in_child(work: Any, result: Path) -> int:
    """Run something in a forked process and keep what it returns."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            result.write_text(json.dumps(work()))
            status = 0
        except BaseException:  # noqa: BLE001 - shown, and the process ends
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)
    return pid


def say(*lines: str) -> None:
    """Print for a person."""
    for line in lines:
        print(line, flush=True)  # noqa: T201 - a program's output


@dataclass(frozen=True)
class Work:
    """What one lane needs."""

    lane: str
    directory: Path
    url: str | None
    host: HostPlace

    @property
    def cell(self) -> str:
        return self.lane.partition(".")[0]

    def prepared(self) -> Lane:
        """A new world with its first worker yet to come."""
        certify(self.host.root / self.host.log.lstrip("/"))
        set_up(self.directory, self.url, self.host.connection, self.host.key)
        return Lane(self.cell, Home(self.directory, self.url, self.host.log), self.host)

    def scout(self) -> list[dict[str, Any]]:
        """All places that can be died at."""
        return [asdict(order) for order in sites(self.prepared())]

    def kill(self, orders: Sequence[tuple[Order, ...]], until: float) -> dict[str, Any]:
        """Kill one worker after another."""
        lane = self.prepared()
        for done, chain in enumerate(orders):
            if time.monotonic() > until:
                say(f"{self.lane}: out of time, {len(orders) - done} left out")
                break
            for order in chain:
                lane.life(order)
        lane.finish()
        return asdict(lane.report)


def only(name: str) -> tuple[Order, ...]:
    """The order of that name, with the kill before it where it is one in a recovery."""
    cell, book, where, *more = name.split("/")
    if where.startswith("+"):
        return (Order(book=book, delay=float(where[1:-1]), cell=cell),)
    point, _, rest = where.partition("@")
    place, _, nth = rest.rpartition(":")
    order = Order(book=book, point=point, place=place, nth=int(nth), recovery=bool(more), cell=cell)
    return (Order(book=book, point="after-start", place=place, cell=cell), order) if more else (order,)


def table(kills: Sequence[dict[str, Any]], cells: Sequence[str]) -> list[str]:
    """Kills per point and phase, by cell; wrong outcomes behind."""
    rows: dict[tuple[str, str], Counter[str]] = {}
    for kill in kills:
        row = rows.setdefault((kill["point"], kill["phase"]), Counter())
        row[kill["order"]["cell"]] += 1
        row["wrong"] += _wrong(kill)
        row["interrupted"] += kill["status"] == "interrupted"
    head = f"{'kill point':24}{'phase':16}" + "".join(f"{cell:>18}" for cell in cells) + "     all  interrupted  wrong"
    lines = [head]
    for (point, phase), row in sorted(rows.items()):
        counts = [row[cell] for cell in cells]
        lines.append(
            f"{point:24}{phase:16}"
            + "".join(f"{count:18}" for count in counts)
            + f"{sum(counts):8}{row['interrupted']:13}{row['wrong']:7}"
        )
    return lines


def _wrong(kill: dict[str, Any]) -> int:
    return int(any(value for name, value in kill["faults"].items() if name != "sentences"))


def preload() -> None:
    """Import all that a worker needs, so that none of the forked ones does."""
    for module in pkgutil.walk_packages(runwright.__path__, "runwright."):
        if not any(part in module.name for part in (".cli", "__main__", "migrations", "llm")):
            importlib.import_module(module.name)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1100)
    parser.add_argument("--seconds", type=float, default=1500.0, help="what is not done by then is left out")
    parser.add_argument("--cells", type=lambda text: text.split(","), default=list(CELLS))
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--lanes", type=int, default=6, help="workers that live and die beside each other")
    parser.add_argument("--only", action="append", help="names of kills that went wrong")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", action="store_true", help="leave the worlds for a look")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    preload()
    root = Path(tempfile.mkdtemp(prefix="runwright-crash-"))
    servers: list[PostgresServer] = []
    try:
        results = _sweep(options, root, servers)
    finally:
        for server in servers:
            server.remove()
        if not options.keep:
            shutil.rmtree(root, ignore_errors=True)
    return _conclude(options, results, time.monotonic() - began)


def _sweep(options: argparse.Namespace, root: Path, servers: list[PostgresServer]) -> list[dict[str, Any]]:
    """Every lane's report. Nothing in this process may have threads: it forks."""
    each = max(options.lanes // len(options.cells), 1)
    lanes = [f"{cell}.{number}" for number in range(each) for cell in options.cells]
    until = time.monotonic() + options.seconds
    with contextlib.ExitStack() as stack:
        hosts = Hosts(stack)

        def work(lane: str) -> Work:
            cell = lane.partition(".")[0]
            directory = root / lane
            directory.mkdir()
            return Work(lane, directory, database(cell, servers), hosts.place(lane, directory))

        if options.only:
            orders = {
                lane: [only(name) for name in options.only if name.split("/")[0] == lane.partition(".")[0]]
                for lane in lanes
            }
        else:
            scout = work(f"{options.cells[0]}.scout")
            file = scout.directory / "sites.json"
            (found,) = finished({in_child(scout.scout, file): file})
            orders = plan([Order(**site) for site in found], options.kills, lanes, options.seed)
        at_work = {}
        for lane in lanes:
            ready = work(lane)
            result = ready.directory / "report.json"
            at_work[in_child(functools.partial(ready.kill, orders[lane], until), result)] = result
        return finished(at_work)


def finished(at_work: dict[int, Path]) -> list[Any]:
    """What each of these children returned, once all have ended."""
    results = []
    while at_work:
        pid, status = os.wait()
        result = at_work.pop(pid, None)
        if result is None:
            continue
        if status or not result.exists():
            raise SystemExit(f"{result.parent.name}: the lane broke off")
        results.append(json.loads(result.read_text()))
    return results


def _conclude(options: argparse.Namespace, results: Sequence[dict[str, Any]], took: float) -> int:
    kills = [kill for result in results for kill in result["kills"]]
    faults = {
        name: sum(kill["faults"][name] for kill in kills)
        for name in ("lost_steps", "doubled_steps", "without_intent", "stuck_executions")
    }
    leftovers = [line for result in results for line in result["leftovers"]]
    missed = [name for result in results for name in result["missed"]]
    say(*table(kills, options.cells), "")
    for what in ("taken_up", "seconds"):
        times = sorted(kill[what] for kill in kills if kill["status"] and kill[what] is not None)
        if times:
            middle, longest = times[len(times) // 2], times[-1]
            name = "taken up" if what == "taken_up" else "over"
            say(f"{name} after a restart: median {middle:.2f} s, longest {longest:.2f} s")
    statuses = Counter(kill["status"] for kill in kills)
    say(f"{len(kills)} kills in {took:.0f} s; ended: {dict(statuses)}; {len(missed)} places were not passed")
    for line in leftovers:
        say(f"LEFT {line}")
    figures = {"kills": len(kills), **faults}
    say(json.dumps(figures))
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 1 if any(faults.values()) or leftovers or not kills else 0


if __name__ == "__main__":
    raise SystemExit(main())
