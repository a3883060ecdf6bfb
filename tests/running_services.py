"""A tiny untrained model, and services in this process on free ports."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from panolink.codec.model import load_model, save_decoder, save_model
from panolink.codec.networks.autoencoder import Autoencoder, Profile
from panolink.training.fit_tables import fit_tables

if TYPE_CHECKING:
    from panolink.rpc.server.server import Server

Start = Callable[..., Awaitable["Server"]]


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[int], Path]]:
    """`weights(seed)` is the file of a model that knows nothing, but all else of it is real."""
    folder = tmp_path_factory.mktemp("weights")

    def make(seed: int) -> Path:
        path = folder / f"tiny{seed}.safetensors"
        if not path.exists():
            torch.manual_seed(seed)
            network = Autoencoder(
                Profile(name="paper", family="paper", dim=16, codes=64, encoder_channels=(8, 8, 8, 8))
            )
            # So that there is something to send, and something to be seen of it: new transposed convolutions damp.
            network.encoder.body[-1].weight.data *= 12  # type: ignore[union-attr, index]
            for layer in network.decoder.modules():
                if isinstance(layer, torch.nn.ConvTranspose2d):
                    layer.weight.data = torch.eye(8)[:, :, None, None].repeat(1, 1, 2, 2)
            noise = np.random.default_rng(seed).integers(0, 256, (64, 128, 3), np.uint8)
            save_model(path, network=network, tables=fit_tables(network.eval(), [noise]), card={})
        return path

    yield make


@pytest.fixture
def darker(weights: Callable[[int], Path], tmp_path: Path) -> Path:
    """The file of a decoder of `weights(0)` that makes pictures darker."""
    model = load_model(weights(0))
    model.network.decoder.body[-1].bias.data -= 0.2  # type: ignore[union-attr, index]
    path = tmp_path / "darker.safetensors"
    save_decoder(path, network=model.network, fingerprint=model.fingerprint, card={})
    return path


@pytest.fixture
async def start(weights: Callable[[int], Path]) -> AsyncIterator[Start]:
    """`await start("channel", target=…)` runs a service until the test ends."""
    # Golden files are checked on machines that lack what services need.
    from panolink.services.channel import servicer as channel
    from panolink.services.channel.settings import ChannelSettings
    from panolink.services.receiver import servicer as receiver
    from panolink.services.receiver.settings import ReceiverSettings
    from panolink.services.transmitter import servicer as transmitter
    from panolink.services.transmitter.settings import TransmitterSettings

    kinds: dict[str, Any] = {
        "transmitter": (TransmitterSettings, transmitter.build),
        "channel": (ChannelSettings, channel.build),
        "receiver": (ReceiverSettings, receiver.build),
    }
    async with AsyncExitStack() as running:

        async def run(name: str, **settings: Any) -> "Server":
            kind, build = kinds[name]
            values = {"listen": "127.0.0.1:0", "metrics_listen": "off", "drain_seconds": 5} | settings
            if name != "receiver":
                values = {"reconnect_seconds": 0.5} | values
            if name == "transmitter":  # quality is measured after the answer, and would hold memory at a test's end
                values = {"quality_share": 0.0} | values
            if name != "channel":
                values = {"models": (str(weights(0)),), "device": "cpu", "workers": 1} | values
            return await running.enter_async_context(build(kind(**values)))

        yield run
