"""`.env.example` tells everything that can be set, and nothing else."""

import re
import subprocess
import sys

import pytest

from tests.deploy.stack import ROOT

EXAMPLE = (ROOT / ".env.example").read_text()


@pytest.mark.slow
def test_the_services_settings_are_those_of_the_code() -> None:
    command = [sys.executable, "scripts/env_example.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_the_compose_files_read_is_explained() -> None:
    files = [ROOT / "docker-compose.yml", *ROOT.glob("compose.*.yaml")]
    read = {
        name: default for file in files for name, default in re.findall(r"\$\{(\w+)(?::-(.*?))?[}:]", file.read_text())
    }
    documented = dict(re.findall(r"^#(\w+)=(.*)$", EXAMPLE, re.MULTILINE))
    assert len(files) == 6
    assert read.keys() - {"ENV_FILE"} <= documented.keys()
    compose = EXAMPLE.partition("scripts/env_example.py")[0]
    about_compose = {name for name in re.findall(r"^#(\w+)=", compose, re.MULTILINE) if not name.startswith("COMPOSE_")}
    assert about_compose <= read.keys()
    main = (ROOT / "docker-compose.yml").read_text()
    for name, default in re.findall(r"\$\{(\w+):-(.*?)\}", main):
        if name != "ENV_FILE":
            assert documented[name] == default, name
