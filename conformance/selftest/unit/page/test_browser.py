"""A browser opens the page, a click on a cell shows its findings, and nothing is objected to."""

import re
import resource
import shutil
import subprocess

import pytest

from conformance.__main__ import main
from conformance.selftest.unit.page.examples import file, poisoned_file, results, sound

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')

CLICK = """<script>
addEventListener("load", () => document.querySelector('.matrix a[href="#B1-2.6.0"]').click());
</script></body>"""
"""What clicks a cell. The page itself has no script, and its policy allows none."""

needs_browser = pytest.mark.skipif(BROWSER is None, reason="no chromium here")


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.html"
    hostile = poisoned_file(tmp_path / "bad.json", "\"'></style><script>alert(1)</script><img src=x onerror=alert(2)>")
    assert main(["page", *map(str, file(tmp_path, results("2.6.0"), sound())), str(hostile), "-o", str(path)]) == 0
    return path


def opened(path, fragment=""):
    """The document after the browser has opened a page, and what its console says."""
    command = [
        str(BROWSER),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={path.parent / 'profile'}",
    ]
    command += ["--enable-logging=stderr", "--virtual-time-budget=2000", "--dump-dom", path.as_uri() + fragment]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True, preexec_fn=_without_limit)
    return done.stdout, [line for line in done.stderr.splitlines() if ":CONSOLE" in line]


def _without_limit():
    """A browser asks for more addresses than a run of the suite may have."""
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def shown(document):
    """The ids of cells whose findings are open."""
    return re.findall(r'<details open="">.*?<div class="cell" id="([^"]*)"', document, re.DOTALL)


def test_policy_of_the_page_forbids_scripts_and_requests(page):
    (policy,) = POLICY.findall(page.read_text(encoding="utf-8"))
    assert "default-src 'none'; style-src 'unsafe-inline';" in policy
    assert "script" not in policy


@needs_browser
@pytest.mark.thorough(reason="it starts a browser")
def test_click_on_a_cell_opens_its_findings_without_an_error(page):
    document, console = opened(page)
    assert (shown(document), console) == ([], [])
    text = page.read_text(encoding="utf-8")
    clicking = page.with_name("clicking.html")
    clicking.write_text(POLICY.sub("", text).replace("</body>", CLICK), encoding="utf-8")
    document, console = opened(clicking)
    assert (shown(document), console) == (["B1-2.6.0"], [])


@needs_browser
@pytest.mark.thorough(reason="it starts a browser")
def test_link_to_a_cell_opens_its_findings_without_an_error(page):
    document, console = opened(page, "#B1-2.6.0")
    assert (shown(document), console) == (["B1-2.6.0"], [])


@needs_browser
@pytest.mark.thorough(reason="it starts a browser")
def test_script_in_the_page_would_be_an_error(page):
    text = page.read_text(encoding="utf-8")
    scripted = page.with_name("scripted.html")
    scripted.write_text(text.replace("</body>", CLICK), encoding="utf-8")
    document, console = opened(scripted)
    assert shown(document) == []
    assert "Content Security Policy" in "".join(console)
