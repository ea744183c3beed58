"""Output, labels and commands that attack whoever looks at them (threat T16): they are text, whatever they say."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from conftest import Open, Site

MARKUP = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "</pre><script>window.__owned=1</script>",
    "<iframe srcdoc='<script>parent.__owned=1</script>'></iframe>",
    "<a href='javascript:alert(1)'>click</a>",
    "<style>*{display:none}</style>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<base href=https://evil.example/>",
    "<form action=https://evil.example><button>go</button></form>",
    "{{constructor.constructor('alert(1)')()}}",
    "${alert(1)}",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    '"><script>alert(1)</script>',
    "'-alert(1)-'",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<math><mtext></p><img src=x onerror=alert(1)>",
    "<object data=data:text/html,x></object>",
    "<details open ontoggle=alert(1)>",
]
SEQUENCES = [
    b"\x1b]0;owned\x07title",
    b"\x1b]8;;javascript:alert(1)\x1b\\link\x1b]8;;\x1b\\",
    b"\x1b[2J\x1b[1;1Hcleared",
    b"\x1b[8mhidden\x1b[0m seen",
    b"\x1b[30;40mblack on black\x1b[0m",
    b"good\rbad\x08\x08\x08",
    b'\x1bP$q"p\x1b\\device',
    b"\x1b]52;c;b3duZWQ=\x07clipboard",
    "user\u202egpj.exe".encode(),
    b"\x1b[38;2;1;2;3;4;5;6;7;8mlong colour",
    b"\x1b[99999999999999999999mnumber",
    b"\x9b31mC1",
]


OUT_OF = ("", '"', "'", "-->", "</textarea></title>", "]]>")
"""What a payload would have to break out of."""
PAYLOADS = [before + text for before in OUT_OF for text in MARKUP]


def feed(site: Site, data: bytes, target: str = "node-1") -> str:
    """A job that writes exactly these bytes."""
    return site.run(target, "cat", stdin=base64.b64encode(data).decode())


@pytest.mark.parametrize("show", ["output", "timeline"])
def test_markup_in_output_is_text(site: Site, open_page: Open, show: str) -> None:
    assert len(PAYLOADS) >= 100
    job = feed(site, "\n".join(PAYLOADS).encode(), "node-*")
    page, _ = open_page(site, f"/jobs/{job}?show={show}&node=node-1")
    log = page.get_by_role("log")
    expect(log).to_contain_text(PAYLOADS[-1])
    page.get_by_role("button", name="Follow").click()
    seen: set[str] = set()
    for part in range(40):
        log.evaluate("(box, part) => { box.scrollTop = part * 120; }", part)
        page.wait_for_timeout(40)
        seen.update(log.locator(".log-row").all_text_contents())
    assert [text for text in PAYLOADS if text not in seen] == []
    assert page.evaluate("window.__owned") is None
    assert (
        page.locator(
            "main script, main iframe, main img, main svg script, main style, main object, main form form"
        ).count()
        == 0
    )
    assert page.url.startswith(site.url)


def test_escape_sequences_neither_hide_nor_move_anything(site: Site, open_page: Open) -> None:
    job = feed(site, b"\n".join(SEQUENCES))
    page, _ = open_page(site, f"/jobs/{job}?node=node-1")
    log = page.get_by_role("log")
    for text in (
        "title",
        "link",
        "cleared",
        "hidden seen",
        "black on black",
        "good",
        "bad\u2408",
        "device",
        "clipboard",
    ):
        expect(log).to_contain_text(text)
    expect(log).to_contain_text("user<U+202E>gpj.exe")
    assert page.title() != "owned"
    assert log.locator("a").count() == 0
    ground = page.evaluate(
        "[...document.querySelectorAll('.log-row span')].map((one) => [getComputedStyle(one).color, getComputedStyle(one).backgroundColor])"
    )
    assert [pair for pair in ground if pair[0] == pair[1]] == []


def test_a_line_of_a_megabyte_is_shown_in_parts(site: Site, open_page: Open) -> None:
    job = site.run("node-1", "head -c 1048576 /dev/zero | tr '\\0' x; echo; echo after")
    page, _ = open_page(site, f"/jobs/{job}?node=node-1")
    expect(page.get_by_role("log")).to_contain_text("after")
    longest = page.evaluate(
        "Math.max(...[...document.querySelectorAll('.log-row')].map((one) => one.textContent.length))"
    )
    assert longest <= 2000
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    page.get_by_label("Search in this log").fill("after")
    expect(page.locator("mark")).to_have_text("after")


def test_binary_output_is_shown_and_keeps_its_bytes(site: Site, open_page: Open) -> None:
    data = bytes(range(256)) * 64
    job = feed(site, data)
    page, _ = open_page(site, f"/jobs/{job}?node=node-1")
    expect(page.get_by_role("log")).to_contain_text("\u2400")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.path().read_bytes() == data


def test_markup_in_commands_and_labels_is_text(site: Site, open_page: Open) -> None:
    label = '"><img src=x onerror=alert(1)>'
    site.call("PATCH", "/nodes/node-1", {"labels": {"owner": label}})
    try:
        job = site.run("node-1", "echo '<img src=x onerror=alert(1)>'", name="<script>alert(1)</script>")
        for path in ("/", "/nodes", "/nodes?view=picture&group=owner", "/nodes/node-1", "/jobs", f"/jobs/{job}"):
            page, _ = open_page(site, path)
            expect(page.get_by_role("heading", level=1)).to_be_visible()
            expect(page.locator(".skeleton")).to_have_count(0)
            assert page.locator("main img, main script").count() == 0
    finally:
        site.call("PATCH", "/nodes/node-1", {"labels": {"owner": None}})
