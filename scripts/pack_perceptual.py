"""Write the weights of LPIPS in half precision, to carry to a machine on which a perceptual decoder is trained.

    python scripts/pack_perceptual.py packed/perceptual            alexnet.npz (5 MB): the loss, and to validate
    python scripts/pack_perceptual.py packed/perceptual vgg16      vgg16.npz (29 MB) too, if the loss is by VGG16

There, `PANOLINK_PERCEPTUAL_WEIGHTS` names the folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

from panolink.metrics.perceptual import save_weights


def main() -> None:
    if not 2 <= len(sys.argv) <= 3:
        raise SystemExit(f"usage: {Path(sys.argv[0]).name} FOLDER [NETWORK]")
    for network in dict.fromkeys(["alexnet", *sys.argv[2:]]):
        file = save_weights(network, Path(sys.argv[1]))
        print(f"{file}: {file.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
