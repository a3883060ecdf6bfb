"""Print what Panolink depends on, one requirement a line: so that an image installs it before there is any code.

requirements.py pyproject.toml [--extra NAME]… [--without NAME]…
"""

import argparse
import re
import tomllib
from pathlib import Path


def name_of(requirement: str) -> str:
    """The package's name, as registries spell it."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match, requirement
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pyproject", type=Path)
    parser.add_argument("--extra", action="append", default=[], help="an extra of the project, too")
    parser.add_argument("--without", action="append", default=[], help="leave out this one")
    given = parser.parse_args()
    project = tomllib.loads(given.pyproject.read_text())["project"]
    requirements = list(project["dependencies"])
    for extra in given.extra:
        if extra not in project["optional-dependencies"]:
            parser.error(f"{given.pyproject} has no extra {extra!r}")
        requirements += project["optional-dependencies"][extra]
    names = {name_of(requirement) for requirement in requirements}
    if unknown := set(given.without) - names:
        parser.error(f"{given.pyproject} does not ask for {', '.join(sorted(unknown))}")
    print("\n".join(r for r in requirements if name_of(r) not in given.without))


if __name__ == "__main__":
    main()
