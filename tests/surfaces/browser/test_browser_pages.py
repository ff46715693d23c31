"""What a real browser makes of the pages: live timelines, hostile telemetry, small screens, both colour schemes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Page, Request, expect

from runwright.adapters.hosts.local import LocalConnector
from runwright.execution.service import ExecutionService
from runwright.learning.service import LearningService
from runwright.loop import LoopWorker
from runwright.model.clients import client_scope
from runwright.model.hosts import LocalConnection, NewHost
from runwright.model.incidents import NewIncident
from runwright.model.ports.store import EVERY_CLIENT
from runwright.model.principals import ENGINE
from runwright.review.authoring import submit_text
from runwright.review.gate import ApprovalGate
from runwright.surfaces.services import Services
from support.house import ADMIN
from surfaces import seed
from surfaces.browser.conftest import Site

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

WAITING = r"""
schema: runwright/v1
id: RB-TEST-LIVE-001
name: Wait for a person, then say something nasty
platform: linux
incident_types: [backup_failure]
severity: high
parameters:
  path: {type: string, pattern: '/[A-Za-z0-9._/-]+', from: incident.subject.path}
steps:
  - id: wait-for-go
    run: |
      while [ ! -e "$path/go" ]; do sleep 0.05; done
    timeout: 60s
  - id: speak
    run: |
      printf '<script>document.title="owned"</script><img src=x onerror=alert(1)>'
      printf '\033[31mred\342\200\256txt.exe\342\200\213'
verify:
  - id: never
    run: test -e "$path/never"
"""


async def _start_run(services: Services, folder: Path) -> str:
    """An approved runbook is queued on this computer; the execution's id."""
    scope = client_scope(seed.CLIENT)
    async with services.store.transaction() as tx:
        _, items = await submit_text(tx, text=WAITING, scope=scope, author=ENGINE, clock=services.clock)
    for item in items:
        await seed.approve(services, item.id)
    host = NewHost(client_id=seed.CLIENT, hostname="here", connection=LocalConnection())
    await services.inventory.add_host(ADMIN, host)
    new = NewIncident(
        client_id=seed.CLIENT,
        host="here",
        incident_type="backup_failure",
        subject={"job": "backup.service", "path": str(folder)},
    )
    incident = await services.loop.report_incident(ADMIN, new)
    async with services.store.reading() as tx:
        runs = await tx.executions.page(client=EVERY_CLIENT, where={"incident_id": incident.id}, limit=1)
    return runs.items[0].id


def _worker(services: Services, folder: Path) -> LoopWorker:
    """The loop with the real gate and the real run core, on this computer."""
    gate = ApprovalGate(services.store, services.keyring, services.clock)
    connector = LocalConnector(base=str(folder / "supervisor"))
    return LoopWorker(
        services.store,
        services.clock,
        services.loop.queue,
        executions=ExecutionService(services.store, gate, connector, services.clock),
        learning=LearningService(services.clock),
        trials=None,
    )


async def test_a_run_is_watched_to_its_end_and_its_output_does_nothing(site: Site, tmp_path: Path) -> None:
    services = site.house.services
    execution_id = await _start_run(services, tmp_path)
    loop = _worker(services, tmp_path)
    async with site.person("ada") as page:
        connections: list[Request] = []
        page.on("request", lambda made: connections.append(made) if made.url.endswith("/live") else None)
        page.on("dialog", lambda dialog: pytest.fail(f"a dialog opened: {dialog.message}"))
        await page.goto(f"/executions/{execution_id}")
        await expect(page.get_by_text("No step has started yet")).to_be_visible()

        running = asyncio.ensure_future(loop.run_execution(execution_id))
        waiting = page.locator(".timeline > li", has_text="wait-for-go")
        await expect(waiting).to_contain_text("running")
        await expect(page.get_by_role("button", name="Stop this run")).to_be_visible()
        await page.evaluate(
            """() => {
                window.sameDocument = true;
                document.addEventListener("htmx:sse:close", (event) => { window.closedBy = event.detail.reason; });
            }"""
        )

        (tmp_path / "go").touch()
        await expect(page.get_by_role("status")).to_contain_text("failure")
        await expect(page.get_by_role("button", name="Stop this run")).to_have_count(0)
        await running
        await expect(page.get_by_text("It is being looked into")).to_be_visible()
        await loop.learn(execution_id)
        await expect(page.get_by_role("heading", name="Why it failed").locator(".badge")).to_be_visible()
        await expect(page.get_by_text("It is being looked into")).to_have_count(0)
        assert await page.evaluate("window.sameDocument"), "the page was loaded anew"

        said = page.locator(".timeline > li", has_text="speak").locator("pre")
        await expect(said).to_have_text(
            '<script>document.title="owned"</script><img src=x onerror=alert(1)><U+001B>[31mred<U+202E>txt.exe<U+200B>'
        )
        assert await page.locator("#timeline script, #timeline img").count() == 0
        assert "owned" not in await page.title()
        # The server ends the stream by a named event; without it the page would connect again every half second.
        await page.wait_for_function("window.closedBy === 'message'")
        assert len(connections) == 1


async def test_the_policy_of_the_pages_refuses_what_is_not_ours(site: Site) -> None:
    async with site.person("ada") as page:
        await page.evaluate(
            """() => {
                const put = (name, fields) => document.body.append(Object.assign(document.createElement(name), fields));
                put("script", {textContent: "document.title = 'owned'"});
                put("style", {textContent: "body { display: none }"});
                put("img", {src: "http://127.0.0.1:9/tell"});
            }"""
        )
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert await page.title() == "Overview - Runwright"
    refused, site.complaints[:] = list(site.complaints), []
    for directive in ("script-src", "style-src", "img-src"):
        assert any("Content Security Policy" in text and directive in text for text in refused), directive


async def test_a_stopped_house_says_so_on_every_page(site: Site, review_path: str) -> None:
    async with site.person("ada") as page:
        await page.locator("summary", has_text="Stop everything").click()
        await page.get_by_label("Reason").fill("storage migration")
        await page.get_by_role("button", name="Stop everything").click()
        for path in ("/", "/queue", review_path, "/incidents", "/runbooks", "/audit", "/incidents/none"):
            await page.goto(path)
            await expect(page.get_by_role("alert").first).to_contain_text("Everything is stopped")
            await expect(page.get_by_role("alert").first).to_contain_text("storage migration")
        await page.get_by_role("button", name="Let runs go on").click()
        await expect(page.get_by_text("Everything is stopped")).to_have_count(0)


async def _paths(site: Site, healed: str) -> tuple[str, ...]:
    return (
        "/",
        "/queue",
        f"/review/{site.seeded.candidate}",
        "/review/RB-LINUX-DISK-001-v1",
        "/executions",
        f"/executions/{site.seeded.execution_id}",
        f"/executions/{healed}",
        "/incidents",
        "/incidents?status=closed",
        f"/incidents/{site.seeded.incident_id}",
        "/hosts",
        "/runbooks",
        f"/runbooks/{seed.RUNBOOK}",
        f"/audit?chain={seed.CLIENT}&check=true",
        "/incidents/none",
    )


FAINT = """() => {
    const light = (colour) => {
        const parts = colour.match(/[\\d.]+/g).map(Number).slice(0, 3).map((value) => value / 255);
        const [r, g, b] = parts.map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const colour = getComputedStyle(at).backgroundColor;
            if (colour !== "rgba(0, 0, 0, 0)") return colour;
        }
        return "rgb(255, 255, 255)";
    };
    const found = new Set();
    for (const element of document.body.querySelectorAll("*")) {
        const speaks = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
        if (!speaks || !element.getClientRects().length) continue;
        const [one, two] = [light(getComputedStyle(element).color), light(behind(element))];
        const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
        if (ratio < 4.5) found.add(`${element.tagName}.${element.className}: ${ratio.toFixed(2)}`);
    }
    return [...found];
}"""
"""Text under the contrast of WCAG 2.2 AA (4.5 to 1)."""

NAMELESS = """() => [...document.querySelectorAll("input:not([type=hidden]), textarea, button, a, summary")]
    .filter((field) => !(field.labels && field.labels.length) && !field.innerText.trim() && !field.ariaLabel)
    .map((field) => field.outerHTML)"""


async def _judge(page: Page, path: str) -> list[str]:
    """What is wrong with the page as it stands."""
    wide, seen = await page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    faults = [f"{path}: {wide} pixels wide on {seen}"] if wide > seen else []
    faults += [f"{path}: faint {text}" for text in await page.evaluate(FAINT)]
    faults += [f"{path}: nameless {text}" for text in await page.evaluate(NAMELESS)]
    if await page.locator("h1").count() != 1:
        faults.append(f"{path}: not one first heading")
    return faults


@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (1280, "dark"), (320, "dark")])
async def test_no_page_scrolls_sideways_or_is_faint(site: Site, width: int, scheme: str) -> None:
    healed = await seed.healed_by_candidate(site.house.services, site.seeded)
    faults: list[str] = []
    options = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
    async with site.person("ada", **options) as page:
        for path in await _paths(site, healed):
            await page.goto(path)
            await page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
            faults += await _judge(page, path)
    assert faults == []
