"""`python -m panolink.services.transmitter`: run the transmitter until SIGTERM."""

from panolink.rpc.server.server import Server, run
from panolink.services.transmitter.settings import TransmitterSettings


def build(settings: TransmitterSettings) -> Server:
    """The transmitter; torch is loaded once it is known how many threads it is to have."""
    from panolink.services.transmitter.servicer import build

    return build(settings)


if __name__ == "__main__":
    raise SystemExit(run(TransmitterSettings, build))
