"""Build hook: the services, which have a folder of their own in the repository, become `panolink.services`; the
protocol's `.proto` files come along.

In the repository `shared/panolink/services` is a link to `services`. A wheel gets the files, so that it can also be
built from a source distribution and from a checkout without links, neither of which has that link.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PAGE_SOURCES = Path("services", "viewer", "web")
"""What the viewer's page is built from; a wheel has the page as it is built, in `static`."""


class ServicesBuildHook(BuildHookInterface):
    """Puts the services into the wheel; makes sure of the link for an editable installation."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See `BuildHookInterface.initialize`; `version` is "standard" or "editable".

        Raises
        ------
        RuntimeError
            For an editable installation, if the checkout has a text file where the link should be.
        """
        if version != "editable":
            for path in sorted(Path(self.root, "services").rglob("*")):
                inside = path.relative_to(self.root)
                if path.is_file() and not inside.is_relative_to(PAGE_SOURCES) and "__pycache__" not in inside.parts:
                    build_data["force_include"][str(inside)] = f"panolink/{inside}"
            for path in sorted(Path(self.root, "proto").rglob("*.proto")):  # for clients in other languages
                inside = path.relative_to(self.root)
                build_data["force_include"][str(inside)] = f"panolink/{inside}"
            return
        link = Path(self.root, "shared", "panolink", "services")
        if not link.exists():
            link.unlink(missing_ok=True)
            link.symlink_to(Path("..", "..", "services"), target_is_directory=True)
        if not link.is_dir():
            raise RuntimeError(
                f"{link} should be a link to ../../services, but this checkout has a plain file there: "
                "git config core.symlinks true, then git checkout -- shared/panolink/services"
            )
