import importlib.metadata

import pytest

from panolink.rpc.version import version


def test_it_is_that_of_the_installed_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", {"panolink": "1.2.3"}.__getitem__)
    assert version() == "1.2.3"


def test_a_source_tree_that_is_not_installed_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    assert version() == "0"
