"""A person decides, in a real browser: by mouse, by keyboard, without scripts, and against someone else."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from runwright.model.principals import Role
from runwright.model.reviews import ReviewStatus
from support.house import ADMIN, grant
from surfaces import seed
from surfaces.browser.conftest import Site, cookies_of, log_in

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


async def _status(site: Site) -> ReviewStatus:
    return (await site.house.services.reviews.item(ADMIN, site.seeded.candidate)).status


async def test_from_login_to_live(site: Site) -> None:
    async with site.person("ada", grant(Role.APPROVER)) as page:
        await page.get_by_role("link", name="Review", exact=True).click()
        await page.get_by_role("link", name=site.seeded.candidate).click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("pending review")
        change = page.get_by_role("table")
        await expect(change.locator("tr.added").first).to_contain_text("drop-stale-lock")
        await expect(page.get_by_label("Risk and evidence")).to_contain_text("service-crash/stale-lock: healed")
        await page.get_by_label("Note, for the history").fill("tried it myself")
        await page.get_by_role("button", name="Approve and make live").click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("approved")
        await expect(page.get_by_label("Where it stands")).to_contain_text(f"live for client:{seed.CLIENT}")
        await expect(page.get_by_label("History")).to_contain_text("tried it myself")
        await page.goto(f"/runbooks/{seed.RUNBOOK}")
        await expect(page.locator(".is-live").first).to_contain_text(f"live for client:{seed.CLIENT}")
    async with site.house.services.store.reading() as tx:
        live = await tx.activations.live(seed.RUNBOOK, f"client:{seed.CLIENT}")
    assert live is not None
    assert live.version_id == site.seeded.candidate


async def test_a_rejection_needs_a_reason(site: Site, review_path: str) -> None:
    async with site.person("ada") as page:
        await page.goto(review_path)
        reject = page.get_by_role("button", name="Reject")
        await reject.click()
        assert await page.get_by_label("Reason, for the author").evaluate("field => field.validity.valueMissing")
        assert await _status(site) is ReviewStatus.PENDING_REVIEW

        # A browser accepts spaces; the server does not.
        await page.get_by_label("Reason, for the author").fill("   ")
        await reject.click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Not accepted")
        await page.get_by_role("link", name="Look at it again").click()
        assert await _status(site) is ReviewStatus.PENDING_REVIEW

        await page.get_by_label("Reason, for the author").fill("It must not remove a directory.")
        await page.get_by_role("button", name="Reject").click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("rejected")
        await expect(page.get_by_label("History")).to_contain_text("It must not remove a directory.")
    assert await _status(site) is ReviewStatus.REJECTED


async def test_a_wrong_password_says_so_and_sets_no_cookie(site: Site) -> None:
    await site.house.add_person("ada", grant(Role.APPROVER))
    async with site.visitor() as page:
        await log_in(page, "ada", "not it")
        await expect(page.get_by_role("alert")).to_be_visible()
        assert await page.get_by_label("Name").input_value() == "ada"
        assert await page.get_by_label("Password").input_value() == ""
        assert await cookies_of(page.context) == []


async def test_a_pasted_link_leads_there_after_the_login(site: Site, review_path: str) -> None:
    await site.house.add_person("ada", grant(Role.APPROVER))
    async with site.visitor() as page:
        await page.goto(review_path)
        await page.get_by_label("Name").fill("ada")
        await page.get_by_label("Password").fill("correct horse battery staple")
        await page.get_by_role("button", name="Log in").click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text(site.seeded.candidate)


async def test_the_session_cookie_is_out_of_reach_of_scripts_and_other_sites(site: Site) -> None:
    async with site.person("ada") as page:
        (cookie,) = await cookies_of(page.context)
        assert cookie["httpOnly"] is True
        assert cookie["sameSite"] == "Strict"
        assert cookie["path"] == "/"
        assert await page.evaluate("document.cookie") == ""
        await page.get_by_role("button", name="Log out").click()
        await page.goto("/queue")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Log in")


async def test_who_may_not_decide_sees_no_button(site: Site, review_path: str) -> None:
    async with site.person("victor", grant(Role.VIEWER, seed.CLIENT)) as page:
        await page.goto(review_path)
        await expect(page.get_by_role("heading", level=1)).to_contain_text("pending review")
        await expect(page.get_by_role("button", name="Approve and make live")).to_have_count(0)
        await expect(page.get_by_role("link", name="Audit")).to_have_count(0)


async def test_the_second_of_two_is_told_who_decided_and_when(site: Site, review_path: str) -> None:
    async with site.person("ada") as first, site.person("ben") as second:
        await first.goto(review_path)
        await second.goto(review_path)
        await first.get_by_role("button", name="Approve and make live").click()
        await expect(first.get_by_role("heading", level=1)).to_contain_text("approved")
        decided = (await site.house.services.reviews.item(ADMIN, site.seeded.candidate)).decided_at
        assert decided is not None

        await second.get_by_label("Reason, for the author").fill("too broad")
        async with second.expect_response(lambda answer: answer.url.endswith("/reject")) as answered:
            await second.get_by_role("button", name="Reject").click()
        assert (await answered.value).status == 409
        told = second.get_by_role("alert")
        await expect(told).to_contain_text("approved by ada")
        await expect(told).to_contain_text(decided.isoformat(timespec="seconds"))
        await second.get_by_role("link", name="Look at it again").click()
        await expect(second.get_by_role("heading", level=1)).to_contain_text("approved")
    assert await _status(site) is ReviewStatus.APPROVED


async def test_who_takes_an_item_keeps_others_from_deciding(site: Site, review_path: str) -> None:
    async with site.person("ada") as first, site.person("ben") as second:
        await first.goto(review_path)
        await first.get_by_role("button", name="Take it").click()
        await expect(first.get_by_text("by you, until")).to_be_visible()
        await second.goto(review_path)
        await expect(second.get_by_text("by ada, until")).to_be_visible()
        await second.get_by_role("button", name="Approve and make live").click()
        await expect(second.get_by_role("alert")).to_contain_text("in review by ada")
        await first.get_by_role("button", name="Give it back").click()
        await expect(first.get_by_role("heading", level=1)).to_contain_text("pending review")


async def test_what_is_live_can_be_suspended_and_its_approval_revoked(site: Site, review_path: str) -> None:
    await seed.approve(site.house.services, site.seeded.candidate)
    async with site.person("ada") as page:
        await page.goto(review_path)
        standing = page.get_by_label("Where it stands")
        await standing.get_by_text("Suspend it").click()
        await standing.get_by_label("Reason to suspend").fill("two hosts were worse after it")
        await standing.get_by_role("button", name="Suspend").click()
        await expect(standing).to_contain_text("suspended for")
        await expect(standing).to_contain_text("two hosts were worse after it")
        await standing.get_by_text("Revoke the approval").click()
        await standing.get_by_label("Reason to revoke").fill("and it will not come back")
        await standing.get_by_role("button", name="Revoke").click()
        await expect(standing).to_contain_text("revoked")
        await expect(page.get_by_label("History")).to_contain_text("and it will not come back")
    async with site.house.services.store.reading() as tx:
        assert await tx.activations.live(seed.RUNBOOK, f"client:{seed.CLIENT}") is None


async def test_everything_essential_works_without_scripts(site: Site, review_path: str) -> None:
    async with site.person("ada", java_script_enabled=False) as page:
        await page.goto(review_path)
        await page.get_by_text("How it went").first.click()
        await expect(page.get_by_text("healthy after the run").first).to_be_visible()
        await page.get_by_role("button", name="Approve and make live").click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("approved")
        await page.goto(f"/executions/{site.seeded.execution_id}")
        await expect(page.get_by_label("Verified on the host")).to_contain_text("failed")
    assert await _status(site) is ReviewStatus.APPROVED


async def _tab_to(page: Page, name: str) -> None:
    """Press Tab until what has the focus bears this text or label; fail if it never does, or cannot be seen."""
    for _ in range(80):
        await page.keyboard.press("Tab")
        found = await page.evaluate(
            """() => {
                const at = document.activeElement, box = at.getBoundingClientRect();
                const label = at.labels && at.labels[0] ? at.labels[0].innerText : at.innerText;
                return [label || "", box.width > 0 && box.right > 0 && getComputedStyle(at).outlineStyle !== "none"];
            }"""
        )
        if found[0].startswith(name):
            assert found[1], f"{name} has the focus and does not show it"
            return
    pytest.fail(f"the keyboard never reached {name}")


async def test_the_keyboard_alone_gets_from_login_to_approval(site: Site) -> None:
    await site.house.add_person("ada", grant(Role.APPROVER))
    async with site.visitor() as page:
        await page.goto("/login")
        await expect(page.get_by_label("Name")).to_be_focused()
        await page.keyboard.type("ada")
        await page.keyboard.press("Tab")
        await page.keyboard.type("correct horse battery staple")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/")
        await _tab_to(page, "Skip to the content")
        await page.keyboard.press("Enter")
        assert await page.evaluate("document.activeElement.id") == "main"
        await page.goto("/queue")
        await _tab_to(page, site.seeded.candidate)
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/review/*")
        await _tab_to(page, "Decide")
        await page.keyboard.press("Enter")
        await _tab_to(page, "Note, for the history")
        await page.keyboard.type("by keyboard")
        await _tab_to(page, "Approve and make live")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_contain_text("approved")
    assert await _status(site) is ReviewStatus.APPROVED
