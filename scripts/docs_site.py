"""Hooks of the documentation site (mkdocs.yml): pages from outside docs/, links between them, and the API reference.

README, changelog, contributing and model cards are pages of the site too; they are read where they are. Links in all
pages are written as they work in the repository. On the site a link to another page is one, a link to a module goes to
its place in the API reference, and a link to any other file is its text alone; a link to nothing fails the build.
"""

import logging
import posixpath
import re
from functools import cache
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

log = logging.getLogger("mkdocs.hooks.docs_site")

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "shared" / "panolink"
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "samples/README.md": "samples.md",
} | {f"shared/panolink/weights/{card.name}": f"models/{card.name}" for card in PACKAGE.glob("weights/*.md")}
"""Files of the repository outside docs/ → pages of the site."""

LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
_FENCE = re.compile(r"^(```.*?^```|    .*?$)", re.MULTILINE | re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the API reference into the navigation, behind what mkdocs.yml lists."""
    assert config.nav is not None
    config.nav.append({"API": [f"api/{name}.md" for name in packages()]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    for name, modules in packages().items():
        files.append(File.generated(config, f"api/{name}.md", content=reference(name, modules)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the links of the repository into links of the site."""
    return with_links_of_the_site(markdown, page.file.src_uri)


def with_links_of_the_site(markdown: str, here: str) -> str:
    """The text of the page `here`, with all links outside of code rewritten."""
    source = next((source for source, name in PAGES.items() if name == here), f"docs/{here}")
    parts = _FENCE.split(markdown)
    parts[::2] = [LINK.sub(lambda match: link(match, source, here), part) for part in parts[::2]]
    return "".join(parts)


def link(match: re.Match[str], source: str, here: str) -> str:
    """One Markdown link of the file `source`, as it has to be on the page `here`."""
    image, text, target = match.groups()
    if re.match(r"[a-z]+:|#", target):
        return match[0]
    path, mark, anchor = target.partition("#")
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    if path.startswith("docs/") or path in PAGES:
        page = PAGES.get(path, path.removeprefix("docs/"))
        return f"{image}[{text}]({posixpath.relpath(page, posixpath.dirname(here) or '.')}{mark}{anchor})"
    if not (ROOT / path).exists():
        log.warning("%s links to %s, which does not exist", source, target)
    if module := module_of(path):
        package = module if module in packages() else module.rpartition(".")[0]
        return f"[{text}]({posixpath.relpath(f'api/{package}.md', posixpath.dirname(here) or '.')}#{module})"
    return text


def module_of(path: str) -> str | None:
    """The module or package of Panolink that a file or folder of the repository is, or None."""
    path = re.sub(r"^services\b", "shared/panolink/services", path)
    if not path.startswith("shared/panolink/") or not (path.endswith(".py") or (ROOT / path / "__init__.py").exists()):
        return None
    return path.removeprefix("shared/").removesuffix(".py").replace("/", ".")


@cache
def packages() -> dict[str, list[str]]:
    """Panolink's packages, each with its modules, by full names, without generated and private ones."""
    found: dict[str, list[str]] = {}
    folders = [PACKAGE, *(path for path in sorted(PACKAGE.rglob("*")) if path.is_dir())]
    services = PACKAGE / "services"  # a link, into which rglob does not look
    folders += [path for path in sorted(services.rglob("*")) if path.is_dir() and path not in folders]
    for folder in folders:
        name = ".".join(("panolink", *folder.relative_to(PACKAGE).parts))
        if (folder / "__init__.py").exists() and name != "panolink.v1":
            modules = sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))
            found[name] = [f"{name}.{module}" for module in modules]
    return found


def reference(package: str, modules: list[str]) -> str:
    """The page of a package: what it is, then its modules."""
    head = f"# {package}\n\n::: {package}\n    options: {{members: false, show_root_heading: false}}\n"
    return head + "".join(f"\n::: {module}\n" for module in modules)
