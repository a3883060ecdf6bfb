"""`python -m panolink.services.transmitter`: run the transmitter until SIGTERM."""

from panolink.rpc.server.server import run
from panolink.services.transmitter.servicer import build
from panolink.services.transmitter.settings import TransmitterSettings

if __name__ == "__main__":
    raise SystemExit(run(TransmitterSettings, build))
