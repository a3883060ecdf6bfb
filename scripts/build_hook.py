"""Build hook: the services, which have a folder of their own in the repository, become `panolink.services`.

In the repository `shared/panolink/services` is a link to `services`. A wheel gets the files, so that it can also be
built from a source distribution and from a checkout without links, neither of which has that link.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


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
            build_data["force_include"]["services"] = "panolink/services"
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
