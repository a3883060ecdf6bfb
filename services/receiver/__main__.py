"""`python -m panolink.services.receiver`: run the receiver until SIGTERM."""

from panolink.rpc.server.server import run
from panolink.services.receiver.servicer import build
from panolink.services.receiver.settings import ReceiverSettings

if __name__ == "__main__":
    raise SystemExit(run(ReceiverSettings, build))
