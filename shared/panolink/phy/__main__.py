"""`python -m panolink.phy`: compile the kernels into numba's cache (`NUMBA_CACHE_DIR`), so that no service has to."""

from panolink.phy import default_schemes, warm_up

if __name__ == "__main__":
    warm_up({scheme for schemes in default_schemes().values() for scheme in schemes})
