"""The command writes one whole file, which asks for nothing from elsewhere, or says in a line why it does not."""

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from conformance.__main__ import main
from conformance.results import files
from conformance.results.document import SCHEMA
from conformance.results.files import ResultsError, load
from conformance.selftest.unit.page.examples import file, poisoned_file, results, sound

ROOT = Path(__file__).parents[4]

HOSTILE = (
    "</title></style></svg>\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7*7 }}]]>&lt; \u05d0\u05d1 "
)
"""A text that would become markup, script, template or the order of what is around it."""

VOID = {"br", "meta"}


class Seen(HTMLParser):
    """Every start tag with its attributes, and every text with the elements around it. A tag that is closed out of
    order is an error."""

    def __init__(self, text):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[tuple[str, ...], str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.texts.append((tuple(self._open), data))

    def all(self, name):
        return [attributes[name] for _, attributes in self.tags if name in attributes]


def made(folder, *paths, svg=False):
    """The text of a page over results files."""
    path = folder / ("made.svg" if svg else "made.html")
    assert main(["page", *map(str, paths), "--svg" if svg else "-o", str(path)]) == 0
    return path.read_text(encoding="utf-8")


@pytest.fixture
def seen(tmp_path):
    two = [results("2.6.0", "2026-11-20T12:00:00+00:00", complete=False, reason="interrupted"), sound()]
    return Seen(made(tmp_path, *file(tmp_path, *two)))


def test_each_cell_leads_to_its_findings_and_says_how_old_they_are(seen):
    cells = {one["href"]: one["title"] for tag, one in seen.tags if tag == "a" and "title" in one}
    said = cells["#B1-2.6.0"]
    assert re.fullmatch(r"B1 on 2\.6\.0: red; 2 red, .* 0\.50; 2026-11-20; \d+ days? before this page", said)
    assert re.fullmatch(r"E4 on 2\.6\.0: not run; 2026-11-20; \d+ days? before this page", cells["#E4-2.6.0"])
    ids = seen.all("id")
    assert len(set(ids)) == len(ids)
    links = [one for one in seen.all("href") if one.startswith("#")]
    assert {one[1:] for one in links} <= set(ids)
    assert {f"{clause}-{run}" for clause in ("B1", "E4") for run in ("2.6.0", "2.13.0")} <= {one[1:] for one in links}


def test_page_says_which_run_is_incomplete(seen):
    texts = [text for _, text in seen.texts]
    assert texts.count("incomplete") == 1
    assert "incomplete: interrupted" in texts
    assert " is not compared with " not in texts


def test_page_says_why_times_are_not_compared(tmp_path):
    other = sound()
    other = replace(other, environment=replace(other.environment, processor="b"))
    texts = [text for _, text in Seen(made(tmp_path, *file(tmp_path, sound(torch="2.6.0"), other))).texts]
    assert " is not compared with " in texts
    assert "another processor: b, not a processor" in texts
    assert "No two runs here can be compared." in texts


def test_page_is_one_file_with_a_title_a_language_and_headed_tables(seen):
    assert ("html", {"lang": "en"}) in seen.tags
    title = next(text for around, text in seen.texts if around[-1:] == ("title",))
    assert title == "PyTorch's recurrent modules, release by release"
    assert all(one.get("scope") in ("row", "col") for tag, one in seen.tags if tag == "th")
    assert {tag for tag, _ in seen.tags} & {"script", "link", "img", "iframe", "object", "base", "form"} == set()
    assert seen.all("src") == []
    assert all(one.startswith(("#", "https://docs.pytorch.org/", "https://github.com/")) for one in seen.all("href"))
    (style,) = [text for around, text in seen.texts if around[-1:] == ("style",)]
    assert "url(" not in style
    assert "@import" not in style


TRACKERS = {
    "https://github.com/pytorch/pytorch/issues/98499 (a title)": "https://github.com/pytorch/pytorch/issues/98499",
    "https://github.com/pytorch/pytorch/issues/98499": "https://github.com/pytorch/pytorch/issues/98499",
    "javascript:alert(1)": None,
    "https://github.com.evil.example/a/b/issues/1": None,
    "https://github.com/a/b/issues/1@evil.example": None,
    "see https://github.com/a/b/issues/1": None,
}


@pytest.mark.parametrize("tracker", TRACKERS)
def test_only_links_of_a_tracker_become_links(tracker, tmp_path):
    one = results()
    known = tuple(replace(entry, tracker=tracker) for entry in one.known)
    page = Seen(made(tmp_path, *file(tmp_path, replace(one, known=known))))
    assert any(text == tracker for _, text in page.texts)
    links = {one for one in page.all("href") if not one.startswith(("#", "https://docs.pytorch.org/"))}
    assert links == ({TRACKERS[tracker]} if TRACKERS[tracker] else set())


def test_hostile_texts_are_shown_as_texts_and_kept_apart(tmp_path):
    path = poisoned_file(tmp_path / "bad.json", HOSTILE)
    page = Seen(made(tmp_path, path, *file(tmp_path, sound())))
    assert {tag for tag, _ in page.tags} & {"script", "img"} == set()
    assert [name for _, attributes in page.tags for name in attributes if name.startswith("on")] == []
    foreign = [around for around, text in page.texts if "alert(1)" in text]
    assert len(foreign) > 20
    assert [around for around in foreign if "bdi" not in around] == []
    assert any("{{ 7*7 }}" in text for _, text in page.texts)
    assert [name for name in (*page.all("id"), *page.all("class")) if "<" in name] == []


def test_hostile_texts_leave_the_matrix_well_formed(tmp_path):
    path = poisoned_file(tmp_path / "bad.json", HOSTILE)
    root = ElementTree.fromstring(made(tmp_path, path, *file(tmp_path, sound()), svg=True))
    names = {one.tag.rpartition("}")[2] for one in root.iter()}
    assert names == {"svg", "title", "desc", "style", "rect", "text", "g"}
    assert "".join(root.itertext()).count("</title>") > 2


@pytest.mark.parametrize("text", ["\u202egnp.exe", "a\x1b[31m", "\u2066x", "\x00", "\ud800"])
def test_texts_that_turn_or_steer_what_shows_them_are_not_read(text, tmp_path):
    with pytest.raises(ResultsError, match="control characters"):
        load(poisoned_file(tmp_path / "bad.json", text))


def refused(capsys, *arguments):
    """What the command says to the words after its name, which is one line."""
    code: object
    try:
        code = main(["page", *map(str, arguments)])
    except SystemExit as end:
        code = end.code
    said = capsys.readouterr()
    assert (code, said.out) == (4, "")
    assert said.err.count("\n") == 1
    assert said.err.strip().isprintable()
    return said.err


def test_file_that_is_no_results_is_named_and_nothing_is_written(tmp_path, capsys):
    good, out = *file(tmp_path, sound()), tmp_path / "page.html"
    out.write_text("before")
    data = json.loads(json.dumps(asdict(sound())))
    bad = {
        "corrupt": ("{", "Expecting property name"),
        "newer": (json.dumps(data | {"schema": SCHEMA + 1}), "newer than"),
        "unknown": (json.dumps(data | {"more": 1}), "more: no such key"),
        "no time": (json.dumps(data | {"started": "x"}), "no time with its zone"),
        "no end": (json.dumps(data | {"seconds": 10**400}), "seconds: 1000"),
    }
    for name, (text, said) in bad.items():
        path = tmp_path / f"{name}.json"
        path.write_text(text)
        told = refused(capsys, good, path, "-o", out)
        assert f"page: {path}: " in told
        assert said in told
    assert "No such file" in refused(capsys, tmp_path / "none.json", "-o", out)
    assert out.read_text() == "before"


def test_output_is_never_another_kind_of_file(tmp_path, capsys):
    (good,) = file(tmp_path, sound())
    before = good.read_bytes()
    assert "ends in .html" in refused(capsys, good, "-o", good)
    assert "ends in .html" in refused(
        capsys, good, "-o", tmp_path / "a.html", "--svg", tmp_path / "a.svg", "-o", "a.htm"
    )
    assert "ends in .svg" in refused(capsys, good, "--svg", tmp_path / "a.html")
    assert "-o page.html" in refused(capsys, good)
    assert "required" in refused(capsys)
    (tmp_path / "folder.html").mkdir()
    assert "Is a directory" in refused(capsys, good, "-o", tmp_path / "folder.html")
    assert "No such file" in refused(capsys, good, "-o", tmp_path / "none" / "a.html")
    assert good.read_bytes() == before
    assert {one.name for one in tmp_path.iterdir()} == {"0.json", "folder.html"}


def test_failed_write_leaves_the_page_before(tmp_path, capsys, monkeypatch):
    (good,) = file(tmp_path, sound())
    out = tmp_path / "page.html"
    out.write_text("before")

    def fail(*names):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", fail)
    assert "No space left" in refused(capsys, good, "-o", out)
    assert out.read_text() == "before"
    assert {one.name for one in tmp_path.iterdir()} == {"0.json", "page.html"}


def test_command_says_what_it_wrote_and_what_it_left_out(tmp_path):
    paths = file(tmp_path, sound(started="2026-11-27T12:00:00+00:00"), sound())
    command = [
        sys.executable,
        "-m",
        "conformance",
        "page",
        *paths,
        "-o",
        tmp_path / "a.html",
        "--svg",
        tmp_path / "a.svg",
    ]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    left = f"{paths[0]} is left out: {paths[1]} is of 2.13.0 too, and newer"
    assert done.stdout.splitlines() == [f"{tmp_path}/a.html: 1 release", f"{tmp_path}/a.svg: 1 release", left]
    assert left in "".join(text for _, text in Seen((tmp_path / "a.html").read_text()).texts)
