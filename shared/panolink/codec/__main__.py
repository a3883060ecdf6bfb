"""`python -m panolink.codec`: compile the codec's kernels into numba's cache, so that no service has to."""

from panolink.codec.codec import Codec

if __name__ == "__main__":
    Codec.load("base", device="cpu").warm_up()
