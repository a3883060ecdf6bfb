"""Small networks of each family with random weights."""

import torch

from panolink.codec.networks.autoencoder import Autoencoder, Profile

SMALL = {
    "base": Profile("small", "base", 6, 16, 16, (4, 4, 4), (1, 1, 1), (4, 4, 4), (1, 1, 1), pixel_stem=True),
    "paper": Profile("small", "paper", 6, 16, 16, (4, 4, 4, 4)),
}


def scrambled(profile: Profile) -> Autoencoder:
    """Random weights everywhere, also where training starts from zero."""
    torch.manual_seed(1)
    network = Autoencoder(profile).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return network
