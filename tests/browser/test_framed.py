"""The app in a frame of an EHR on another site, by https, in a browser that sends no cookies to third parties."""

from __future__ import annotations

import shutil
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import Browser, FrameLocator, Page

from tests.browser.conftest import ARGUMENTS
from tests.browser.test_form import THREE
from tests.e2e.certificate import self_signed
from tests.e2e.server import serving

STORY = "approves-at-once"


class Portal(BaseHTTPRequestHandler):
    """A page of an EHR, which shows the address that it is asked for in a frame."""

    def do_GET(self) -> None:
        framed = parse_qs(urlsplit(self.path).query).get("show", ["about:blank"])[0].replace("&", "&amp;")
        page = f'<!doctype html><title>EHR</title><iframe width="1100" height="700" src="{framed}"></iframe>'
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(page.encode())

    def log_message(self, *_: object) -> None:
        """Nothing is written to the screen."""


@dataclass(frozen=True)
class Sites:
    """The app's address, and two EHRs of another site: one that is registered, one that is not."""

    app: str
    portal: str
    stranger: str


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[Sites]:
    chain, key = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    portals = [ThreadingHTTPServer(("127.0.0.1", 0), Portal) for _ in range(2)]
    for portal in portals:
        portal.socket = context.wrap_socket(portal.socket, server_side=True)
        threading.Thread(target=portal.serve_forever, daemon=True).start()
    # By its name this machine is another site than by its number.
    registered, stranger = (f"https://localhost:{portal.server_address[1]}" for portal in portals)
    issuers = tmp_path / "issuers.toml"
    issuers.write_text(
        f'[[issuer]]\niss = "{registered}/fhir"\nname = "EHR"\nclient_id = "us"\nauth = "public"\n'
        f'origins = ["{registered}"]\n'
    )
    settings = {
        "PA_TLS_CERTIFICATE": str(chain),
        "PA_TLS_KEY": str(key),
        "PA_SMART_ISSUERS": str(issuers),
        "SSL_CERT_FILE": str(chain),
    }
    trust = ssl.create_default_context(cafile=str(chain))
    try:
        with serving(tmp_path / "data", environment=settings, trust=trust) as served:
            yield Sites(str(served.http.base_url).rstrip("/"), registered, stranger)
    finally:
        for portal in portals:
            portal.shutdown()
            portal.server_close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page of a browser in which cookies of third parties have been phased out."""
    arguments = [*ARGUMENTS, "--test-third-party-cookie-phaseout"]
    browser = chromium.browser_type.launch(executable_path=shutil.which("chromium"), args=arguments)
    context = browser.new_context(ignore_https_errors=True, viewport={"width": 1280, "height": 800})
    context.set_default_timeout(20_000)
    yield context.new_page()
    browser.close()


def framed(page: Page, sites: Sites, portal: str) -> FrameLocator:
    """A launch of the demo's EHR, in a frame of the portal's page."""
    post = page.context.request.post
    post(f"{sites.app}/demo/{STORY}/start-over", form={"guides": "2.2.1"})
    post(f"{sites.app}/demo/{STORY}/sign")
    launch = post(f"{sites.app}/demo/{STORY}/open-app", form={"user": "oncologist"}, max_redirects=0)
    page.goto(f"{portal}/?{urlencode({'show': sites.app + launch.headers['location']})}")
    return page.frame_locator("iframe")


def test_in_a_registered_ehrs_frame_the_session_holds_to_the_decision(page: Page, sites: Sites) -> None:
    app = framed(page, sites, sites.portal)
    app.locator("html[data-ready]").wait_for()
    for link_id, answer in THREE.items():
        with page.expect_response("**/check"):
            app.locator(f'[id="{link_id}/1/1|{answer}"]').click()
    app.get_by_role("button", name="Save as draft").click()
    app.locator("#message", has_text="Saved in the EHR").wait_for()
    app.get_by_role("button", name="Send the request").click()
    assert app.locator("#decision [data-status]").get_attribute("data-status") == "approved"
    app.get_by_role("button", name="Leave").click()
    app.get_by_role("heading", name="You have left the form").wait_for()


def test_no_other_site_may_frame_it(page: Page, sites: Sites) -> None:
    with page.expect_console_message(lambda message: "frame-ancestors" in message.text):
        app = framed(page, sites, sites.stranger)
    assert app.locator("html[data-ready]").count() == 0
