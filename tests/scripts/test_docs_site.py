"""Links of the repository as links of the documentation site."""

import logging

import pytest

pytest.importorskip("mkdocs")

from scripts import docs_site


@pytest.mark.parametrize(
    ("source", "here", "written", "expected"),
    [
        ("docs/guide.md", "guide.md", "[a](protocol.md#settings)", "[a](protocol.md#settings)"),
        ("docs/guide.md", "guide.md", "[a](../README.md)", "[a](index.md)"),
        ("README.md", "index.md", "![a](docs/images/demo.jpg)", "![a](images/demo.jpg)"),
        ("README.md", "index.md", "[license](LICENSE)", "license"),
        ("README.md", "index.md", "[a](https://example.org)", "[a](https://example.org)"),
        ("shared/panolink/weights/base.md", "models/base.md", "[a](base-p.md)", "[a](base-p.md)"),
        (
            "docs/guide.md",
            "guide.md",
            "[`phy/mcs.py`](../shared/panolink/phy/mcs.py)",
            "[`phy/mcs.py`](api/panolink.phy.md#panolink.phy.mcs)",
        ),
        (
            "docs/guide.md",
            "guide.md",
            "[receiver](../services/receiver)",
            "[receiver](api/panolink.services.receiver.md#panolink.services.receiver)",
        ),
    ],
)
def test_links(source: str, here: str, written: str, expected: str) -> None:
    match = docs_site.LINK.fullmatch(written)
    assert match and docs_site.link(match, source, here) == expected


def test_code_keeps_what_looks_like_a_link() -> None:
    text = "see [a](../README.md)\n\n    f[i](../README.md)\n\n```\n[a](../README.md)\n```\n"
    assert docs_site.with_links_of_the_site(text, "guide.md").count("../README.md") == 2


def test_a_link_to_nothing_is_a_warning_which_fails_the_build(caplog: pytest.LogCaptureFixture) -> None:
    match = docs_site.LINK.fullmatch("[a](../nothing.md)")
    assert match
    with caplog.at_level(logging.WARNING):
        docs_site.link(match, "docs/guide.md", "guide.md")
    assert "docs/guide.md links to ../nothing.md" in caplog.text


def test_the_reference_covers_every_package() -> None:
    packages = docs_site.packages()
    assert {"panolink", "panolink.codec.entropy", "panolink.rpc.wire", "panolink.services.receiver"} <= set(packages)
    assert "panolink.v1" not in packages
    assert "::: panolink.phy.mcs\n" in docs_site.reference("panolink.phy", packages["panolink.phy"])
