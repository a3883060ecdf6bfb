"""Still pictures by the codecs of ffmpeg: HEVC, VVC and VP9 intra frames, and JPEG XL.

`imageio-ffmpeg` carries a static ffmpeg with all of them (`pip install imageio-ffmpeg`). The bytes counted are those of
the elementary stream; a container would add to them. Colours are converted as video does it: BT.709, full range, 4:2:0,
ten bits where the codec has them.
"""

import functools
import re
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.lib.image_codecs import ImageCodec, options_digest
from panolink.errors import ModelError

TO_YUV = "scale=in_range=full:out_range=full:out_color_matrix=bt709:flags=lanczos+accurate_rnd+full_chroma_int"
TO_RGB = "scale=in_range=full:out_range=full:in_color_matrix=bt709:flags=lanczos+accurate_rnd+full_chroma_int"

IVF = struct.Struct("<4sHH4sHHIIII")
"""signature, version, own size, codec, width, height, rate, scale, frames, unused"""

IVF_FRAME = struct.Struct("<IQ")
"""size, time"""


@functools.cache
def ffmpeg() -> str:
    """Path of the ffmpeg that `imageio-ffmpeg` carries."""
    try:
        from imageio_ffmpeg import get_ffmpeg_exe
    except ImportError:
        raise ModelError("codecs of ffmpeg need it: pip install imageio-ffmpeg") from None
    return get_ffmpeg_exe()


@functools.cache
def ffmpeg_version() -> str:
    found = re.match(r"ffmpeg version (\S+)", run_ffmpeg("-version").decode())
    return found[1] if found else "unknown"


@dataclass(frozen=True, kw_only=True)
class FfmpegCodec(ImageCodec):
    """One encoder of ffmpeg. ``quality_option``: arguments that set the codec's own quality, {} is its place."""

    name: str
    suffix: str
    encoder: tuple[str, ...]
    quality_option: str
    pixel_format: str
    qualities: range
    sweep: tuple[int, ...]
    filters: str = TO_YUV

    @property
    def version(self) -> str:
        options = self.encoder, self.quality_option, self.pixel_format, self.filters, TO_RGB
        return f"{self.name}-ffmpeg{ffmpeg_version()}-{options_digest(options)}"

    def encode(self, image: np.ndarray, *, quality: int) -> bytes:
        height, width = image.shape[:2]
        source = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", "1", "-i", "pipe:0")
        picture = ("-vf", self.filters, "-pix_fmt", self.pixel_format, "-frames:v", "1")
        setting = self.quality_option.format(quality).split()
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"picture.{self.suffix}"
            run_ffmpeg(*source, *picture, *self.encoder, *setting, str(file), given=image.tobytes())
            return file.read_bytes()

    def decode(self, data: bytes) -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            file, target = Path(folder) / f"picture.{self.suffix}", Path(folder) / "picture.ppm"
            file.write_bytes(data)
            run_ffmpeg("-i", str(file), "-vf", TO_RGB, "-pix_fmt", "rgb24", "-frames:v", "1", str(target))
            return _read_ppm(target.read_bytes())


@dataclass(frozen=True, kw_only=True)
class Vp9(FfmpegCodec):
    """VP9, which ffmpeg writes and reads in an IVF container only: it is taken off before bytes are counted."""

    @property
    def version(self) -> str:
        return f"{super().version}-bare"

    def encode(self, image: np.ndarray, *, quality: int) -> bytes:
        data = super().encode(image, quality=quality)
        start = IVF.size + IVF_FRAME.size
        if IVF_FRAME.unpack_from(data, IVF.size)[0] != len(data) - start:
            raise RuntimeError("ffmpeg wrote more than one frame of VP9")
        return data[start:]

    def decode(self, data: bytes) -> np.ndarray:
        header = IVF.pack(b"DKIF", 0, IVF.size, b"VP90", 0, 0, 1, 1, 1, 0)
        return super().decode(header + IVF_FRAME.pack(len(data), 0) + data)


def run_ffmpeg(*arguments: str, given: bytes | None = None) -> bytes:
    """Run it with arguments and standard input, and give its standard output; RuntimeError where it fails."""
    command = [ffmpeg(), "-nostdin", "-hide_banner", "-loglevel", "error", "-y", *arguments]
    done = subprocess.run(command, input=given, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def _read_ppm(data: bytes) -> np.ndarray:
    header = re.match(rb"P6\s(\d+)\s(\d+)\s255\s", data)
    if not header:
        raise RuntimeError("ffmpeg gave no picture")
    width, height = int(header[1]), int(header[2])
    return np.frombuffer(data, np.uint8, offset=header.end()).reshape(height, width, 3).copy()


FFMPEG_CODECS: dict[str, ImageCodec] = {
    codec.name: codec
    for codec in (
        FfmpegCodec(
            name="hevc",
            suffix="hevc",
            encoder=("-c:v", "libx265", "-preset", "slower", "-tune", "psnr", "-threads", "1"),
            quality_option="-x265-params keyint=1:info=0:log-level=none:range=full:qp={}",
            pixel_format="yuv420p10le",
            qualities=range(51, 9, -1),
            sweep=(51, 46, 42, 38, 34, 30, 26),
        ),
        FfmpegCodec(
            name="vvc",
            suffix="vvc",
            encoder=("-c:v", "libvvenc", "-preset", "fast", "-qpa", "0", "-threads", "1"),
            quality_option="-qp {}",
            pixel_format="yuv420p10le",
            qualities=range(63, 9, -1),
            sweep=(54, 49, 45, 41, 37, 33, 29),
        ),
        Vp9(
            name="vp9",
            suffix="ivf",
            encoder=("-c:v", "libvpx-vp9", "-b:v", "0", "-deadline", "good", "-cpu-used", "0", "-threads", "1"),
            # Without bounds a key frame gets a finer quantiser than was asked for: ten times the bits at the coarsest.
            quality_option="-crf {0} -qmin {0} -qmax {0}",
            pixel_format="yuv420p",
            qualities=range(63, 3, -1),
            sweep=(63, 60, 57, 53, 49, 44, 39),
        ),
        FfmpegCodec(
            name="jxl",
            suffix="jxl",
            encoder=("-c:v", "libjxl", "-effort", "7"),
            quality_option="-q:v {}",
            pixel_format="rgb24",
            qualities=range(1, 100),
            sweep=(5, 10, 20, 35, 50, 65, 80),
            filters="null",
        ),
    )
}
