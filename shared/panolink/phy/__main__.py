"""`python -m panolink.phy`: compile the kernels into numba's cache (`NUMBA_CACHE_DIR`), so that no service has to."""

from panolink.phy import warm_up

if __name__ == "__main__":
    warm_up()
