"""Write the dashboards that Grafana loads: `deploy/grafana/dashboards/*.json`.

python -m deploy.grafana.generate            write them
python -m deploy.grafana.generate --check    exit 1 if the committed ones are not what would be written
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana.hosts import hosts
from deploy.grafana.latency import latency
from deploy.grafana.link import link
from deploy.grafana.stream import stream

FOLDER = Path(__file__).parent / "dashboards"


def dashboards() -> dict[str, str]:
    """Each dashboard's file name and content."""
    boards = {"link.json": link(), "latency.json": latency(), "hosts.json": hosts(), "stream.json": stream()}
    return {
        name: json.dumps(board.build(), cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        for name, board in boards.items()
    }


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        print(__doc__)
        return 2
    fresh = dashboards()
    present = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    stale = sorted(name for name in fresh.keys() | present.keys() if fresh.get(name) != present.get(name))
    for name in stale:
        if arguments:
            print(f"deploy/grafana/dashboards/{name} is stale: run make dashboards")
        elif name in fresh:
            (FOLDER / name).write_text(fresh[name])
            print(f"deploy/grafana/dashboards/{name}")
        else:
            (FOLDER / name).unlink()
    return 1 if arguments and stale else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
