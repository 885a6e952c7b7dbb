"""Links in Spark's pages, as they are where nobody sees the master at the root of a site."""

import pytest

from jupyter_dodas.services.spark.service import SparkService

MOUNT = "/user/ada/dodas/api/v1/clusters/higgs/ui/dashboard"
ADDRESS = "http://127.0.0.1:8080"


def mounted(page: str, path: str = "/", mount: str = MOUNT) -> str:
    return SparkService().mounted(page, path, mount, ADDRESS)


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ('<a href="/proxy/app-1/jobs/">', f'<a href="{MOUNT}/proxy/app-1/jobs/">'),
        ("<a href='/proxy/app-1'>", f"<a href='{MOUNT}/proxy/app-1'>"),
        ('<form action="/proxy/app-1/jobs/?page=1">', f'<form action="{MOUNT}/proxy/app-1/jobs/?page=1">'),
        ('{"stdout" : "/proxy/worker-1/logPage/"}', f'{{"stdout" : "{MOUNT}/proxy/worker-1/logPage/"}}'),
        ('title="&lt;a href=&quot;/proxy/app-1/&quot;"', f'title="&lt;a href=&quot;{MOUNT}/proxy/app-1/&quot;"'),
        ('<a href="http://localhost:8080">Back to Master</a>', f'<a href="{MOUNT}/">Back to Master</a>'),
        ('<a href="/"><img/></a>', f'<a href="{MOUNT}/"><img/></a>'),
    ],
)
def test_links_from_the_root_are_below_the_mount(link: str, target: str) -> None:
    assert mounted(link, "/proxy/app-1/") == target
    assert mounted(target, "/proxy/app-1/") == target, "once is enough"


def test_a_worker_has_its_own_files_and_scripts() -> None:
    page = '<script src="{own}/static/webui.js"></script><link href="{own}/static/webui.css"/><script>setUIRoot(\'{own}\')</script>'
    shown = page.format(own=f"{MOUNT}/proxy/worker-1")
    assert mounted(page.format(own=""), "/proxy/worker-1/logPage/") == shown


@pytest.mark.parametrize(
    "page",
    [
        f'<a href="{MOUNT}/environment/"><script src="{MOUNT}/static/webui.js"></script>',
        f"setUIRoot('{MOUNT}')",
        '<a href="app/?appId=app-1"><a href="#running-app">',
        '<a href="https://spark.apache.org:443/docs/"><a href="http://localhost:80801">',
        "<pre>/proxy/app-1 was asked for</pre>",
    ],
)
def test_other_links_stay_as_they_are(page: str) -> None:
    assert mounted(page) == page


def test_a_mount_that_is_itself_below_a_proxy() -> None:
    mount = "/proxy/8888/dodas/api/v1/clusters/higgs/ui/dashboard"
    page = f'<a href="{mount}/environment/"><a href="/proxy/app-1/">'
    assert mounted(page, mount=mount) == f'<a href="{mount}/environment/"><a href="{mount}/proxy/app-1/">'
