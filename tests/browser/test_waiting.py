"""The page on which one waits for a notebook, while the hub behind it goes away."""

import shutil

from playwright.sync_api import Browser, expect

from jupyter_dodas.testing.waiting import blocking_until
from tests.browser.platform import STARTS_WITHIN
from tests.hubs import Hub


def test_who_waits_hears_of_a_start_that_ended_with_its_hub(browser: Browser) -> None:
    with Hub("c.DodasSpawner.profiles = [{'name': 'small', 'title': 'Small'}]\n") as hub:
        alice, place = hub.browser(), hub.folder / "state" / "users" / "alice"
        alice.sign_in("alice")
        (place / "home").mkdir(mode=0o700, parents=True)
        (place / "home" / "wait").touch()
        assert alice.api("POST", "/users/alice/server").is_success
        blocking_until(lambda: "Server answers" in alice.get("/hub/spawn-pending/alice").text, within=60)
        window = browser.new_context()
        window.add_cookies(
            [{"name": one.name, "value": one.value or "", "url": hub.url + one.path} for one in alice.client.cookies.jar]
        )
        page = window.new_page()
        page.goto(f"{hub.url}/hub/spawn-pending/alice")
        expect(page.get_by_role("heading", name="Your notebook is starting")).to_be_visible()
        hub.kill()
        hub.end_places()
        shutil.rmtree(place / "clusters")
        hub.start()
        expect(page.get_by_role("heading", name="Your notebook is not running")).to_be_visible(timeout=STARTS_WITHIN)
