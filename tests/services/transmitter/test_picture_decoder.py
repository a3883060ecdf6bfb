"""Strangers' files are decoded in processes: what one of them does costs its own panorama and no more."""

import io
import os
import signal
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from panolink.errors import ImageError, LimitError
from panolink.images import read_picture
from panolink.images.jpeg_scans import MAX_SCANS
from panolink.services.transmitter.picture_decoder import PictureDecoder
from tests.images.pictures import many_scans

PICTURE = {"name": "pano", "allow_any_aspect": False, "max_pixels": 1 << 24}


def encoded(array: np.ndarray, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, form, **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def decoder() -> Iterator[PictureDecoder]:
    pool = PictureDecoder(processes=2, seconds=20, memory_bytes=256 << 20)
    yield pool
    pool.close()


def test_a_picture_comes_back_as_it_is(decoder: PictureDecoder, panorama: np.ndarray) -> None:
    data = encoded(panorama, "PNG")
    assert decoder.size_of(data, name="pano", max_pixels=1 << 24) == (256, 128)
    assert np.array_equal(decoder.decode(data, **PICTURE), panorama)


def test_errors_are_those_of_the_library(decoder: PictureDecoder, panorama: np.ndarray) -> None:
    with pytest.raises(ImageError, match="pano: empty"):
        decoder.decode(b"", **PICTURE)
    with pytest.raises(ImageError, match="is not 2:1"):
        decoder.decode(encoded(panorama[:, :128], "PNG"), **PICTURE)
    with pytest.raises(LimitError, match="256×128 pixels is more than the 100 allowed"):
        decoder.size_of(encoded(panorama, "PNG"), name="pano", max_pixels=100)


def test_what_libraries_write_of_a_file_reaches_no_log(
    decoder: PictureDecoder, panorama: np.ndarray, capfd: pytest.CaptureFixture[str]
) -> None:
    """libtiff writes of damage to standard error, where a service's log is JSON."""
    data = bytearray(encoded(panorama, "TIFF", compression="tiff_lzw"))
    data[200:400] = b"\xff" * 200
    with pytest.raises(ImageError):
        read_picture(bytes(data), **PICTURE)
    assert capfd.readouterr().err, "in this process it does"
    with pytest.raises(ImageError):
        decoder.decode(bytes(data), **PICTURE)
    assert not capfd.readouterr().err


def test_scans_are_counted_before_they_are_decoded(decoder: PictureDecoder) -> None:
    flat = np.full((512, 1024, 3), 90, np.uint8)
    start = time.monotonic()
    with pytest.raises(LimitError, match=rf"JPEG of 4\d{{5}} scans, at most {MAX_SCANS} are allowed"):
        decoder.decode(many_scans(flat, 400_000), **PICTURE)
    assert time.monotonic() - start < 5
    assert decoder.decode(many_scans(flat, 20), **PICTURE).shape == (512, 1024, 3)


@pytest.mark.slow
def test_memory_is_limited(decoder: PictureDecoder) -> None:
    """261 KB that unpack to hundreds of megabytes."""
    data = encoded(np.zeros((5632, 11264, 4), np.uint8), "PNG")
    assert len(data) < 300_000
    with pytest.raises(LimitError, match="decoding takes more than the 256 MiB allowed"):
        decoder.decode(data, name="pano", allow_any_aspect=False, max_pixels=1 << 27)


@pytest.mark.slow
def test_what_takes_too_long_is_stopped(monkeypatch: pytest.MonkeyPatch, panorama: np.ndarray) -> None:
    pool = PictureDecoder(processes=1, seconds=1.0, memory_bytes=1 << 30)
    large = np.full((4096, 8192, 3), 90, np.uint8)
    try:
        pool.size_of(encoded(panorama, "PNG"), name="warm", max_pixels=1 << 24)
        start = time.monotonic()
        with pytest.raises(LimitError, match=r"pano: decoding takes more than the 1 s allowed"):
            pool.decode(many_scans(large, MAX_SCANS - 20), name="pano", allow_any_aspect=False, max_pixels=1 << 27)
        assert time.monotonic() - start < 3
        pool._seconds = 20.0
        assert np.array_equal(pool.decode(encoded(panorama, "PNG"), **PICTURE), panorama), "another takes its place"
    finally:
        pool.close()


@pytest.mark.slow
def test_a_decoder_that_dies_costs_one_picture(decoder: PictureDecoder, panorama: np.ndarray) -> None:
    decoder.decode(encoded(panorama, "PNG"), **PICTURE)
    worker = next(worker for worker in decoder._workers if worker.pid)
    slow = threading.Timer(0.2, lambda: os.kill(worker.pid or 0, signal.SIGSEGV))
    while (idle := decoder._idle.get()) is not worker:
        decoder._idle.put(idle)
        decoder._idle.queue.reverse()
    decoder._idle.put(worker)
    slow.start()
    try:
        for _ in range(200):
            decoder.decode(encoded(panorama, "PNG"), **PICTURE)
    except ImageError as error:
        assert "its decoder ended with status -11" in str(error)
    slow.join()
    for _ in range(3):
        assert decoder.decode(encoded(panorama, "PNG"), **PICTURE).shape == panorama.shape


def test_no_process_outlives_its_pool() -> None:
    pool = PictureDecoder(processes=2, seconds=1, memory_bytes=1 << 28)
    pids = [worker._started()[0].pid for worker in pool._workers]
    pool.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_two_pictures_at_a_time(decoder: PictureDecoder, panorama: np.ndarray) -> None:
    data = encoded(panorama, "WEBP", lossless=True)
    results: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: results.append(decoder.decode(data, **PICTURE))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6 and all(np.array_equal(result, panorama) for result in results)
