"""`python -m services.channel`: run the channel until SIGTERM."""

from panolink.rpc.server import run
from services.channel.servicer import build
from services.channel.settings import ChannelSettings

if __name__ == "__main__":
    raise SystemExit(run(ChannelSettings, build))
