"""`python -m panolink.services.viewer`: run the viewer until SIGTERM."""

from panolink.rpc.server.server import run
from panolink.services.viewer.server import build
from panolink.services.viewer.settings import ViewerSettings

if __name__ == "__main__":
    raise SystemExit(run(ViewerSettings, build))
