"""`python -m services.receiver`: run the receiver until SIGTERM."""

from panolink.rpc.server import run
from services.receiver.servicer import build
from services.receiver.settings import ReceiverSettings

if __name__ == "__main__":
    raise SystemExit(run(ReceiverSettings, build))
