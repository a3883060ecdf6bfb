"""`python -m panolink.services.receiver`: run the receiver until SIGTERM."""

from panolink.rpc.server.server import Server, run
from panolink.services.receiver.settings import ReceiverSettings


def build(settings: ReceiverSettings) -> Server:
    """The receiver; torch is loaded once it is known how many threads it is to have."""
    from panolink.services.receiver.servicer import build

    return build(settings)


if __name__ == "__main__":
    raise SystemExit(run(ReceiverSettings, build))
