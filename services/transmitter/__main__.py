"""`python -m services.transmitter`: run the transmitter until SIGTERM."""

from panolink.rpc.server import run
from services.transmitter.servicer import build
from services.transmitter.settings import TransmitterSettings

if __name__ == "__main__":
    raise SystemExit(run(TransmitterSettings, build))
