"""Small networks of each family with random weights."""

import torch

from panolink.codec.networks.autoencoder import Autoencoder, Profile

SMALL = {
    "base": Profile("small", "base", 6, 16, 16, (4, 4, 4), (1, 1, 1), (4, 4, 4, 4), (1, 1, 1)),
    "paper": Profile("small", "paper", 6, 16, 16, (4, 4, 4, 4)),
}


def scrambled(profile: Profile) -> Autoencoder:
    """Random weights everywhere, also where training starts from zero, and batch norms that do something."""
    torch.manual_seed(1)
    network = Autoencoder(profile).eval()
    for name, statistics in network.named_buffers():
        if name.endswith("running_mean"):
            torch.nn.init.normal_(statistics, std=0.2)
        elif name.endswith("running_var"):
            torch.nn.init.uniform_(statistics, 0.5, 2.0)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return network
