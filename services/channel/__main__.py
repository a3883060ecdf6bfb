"""`python -m panolink.services.channel`: run the channel until SIGTERM."""

from panolink.rpc.server.server import run
from panolink.services.channel.servicer import build
from panolink.services.channel.settings import ChannelSettings

if __name__ == "__main__":
    raise SystemExit(run(ChannelSettings, build))
