"""Video by other codecs, as a live stream would use them: x265 and SVT-AV1 without frames that wait, and JPEG frames.

`imageio-ffmpeg` carries the encoders, PyAV reads what they wrote. Bits counted are those of the packets; a container
would add to them. Colours as of `benchmarks/lib/ffmpeg_codecs.py`, both ways, eight bits, 4:2:0. x265 is tuned for
squared error, as the still codecs of ffmpeg are.
"""

import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from PIL import Image

from benchmarks.lib import ffmpeg_codecs
from benchmarks.lib.ffmpeg_codecs import TO_RGB, TO_YUV, ffmpeg_version, run_ffmpeg
from benchmarks.lib.revisions import of_code

_NEVER = 9999


@dataclass(frozen=True)
class CodedVideo:
    """A coded stream.

    Attributes
    ----------
    packets : the bytes of each picture.
    pictures : what comes out where nothing is lost, uint8 (H, W, 3) each.
    keys : which pictures need no other.
    """

    packets: list[bytes]
    pictures: list[np.ndarray]
    keys: list[bool]


def version() -> str:
    """What figures of these codecs depend on: ffmpeg, and the code here and of its calls."""
    return f"ffmpeg {ffmpeg_version()}, {of_code([Path(__file__), Path(ffmpeg_codecs.__file__)])[:8]}"


def _encoder(name: str, bits_per_second: float, key_interval: int | None, buffer_seconds: float) -> list[str]:
    kilobits = max(1, round(bits_per_second / 1000))
    gap = key_interval or _NEVER
    rate = ["-b:v", f"{kilobits}k"]
    if name == "x265":
        # As `-tune zerolatency` has it, and then `-tune psnr`: ffmpeg takes one of them.
        own = f"keyint={gap}:min-keyint={gap}:scenecut=0:bframes=0:rc-lookahead=0:frame-threads=1:log-level=error"
        own += ":psy-rd=0:psy-rdoq=0:aq-mode=0"
        limits = ["-maxrate", f"{kilobits}k", "-bufsize", f"{max(1, round(kilobits * buffer_seconds))}k"]
        return ["-c:v", "libx265", "-preset", "medium", "-tune", "zerolatency", *rate, *limits, "-x265-params", own]
    if name == "svt-av1":
        own = f"keyint={gap}:pred-struct=1:rc=2:lookahead=0:lp=1"
        return ["-c:v", "libsvtav1", "-preset", "8", *rate, "-svtav1-params", own]
    raise ValueError(f"unknown codec {name!r}; there are x265 and svt-av1")


def coded_video(
    pictures: Sequence[np.ndarray],
    name: str,
    bits_per_second: float,
    *,
    fps: float,
    key_interval: int | None = None,
    buffer_seconds: float = 1.0,
) -> CodedVideo:
    """Encode and decode pictures, uint8 (H, W, 3) with even sides.

    Parameters
    ----------
    name : `x265` or `svt-av1`.
    bits_per_second : what their rate control is told.
    key_interval : pictures from one key picture to the next; None: the first alone is one.
    buffer_seconds : of x265's rate control: no picture takes more than so many seconds of the rate.
    """
    height, width = pictures[0].shape[:2]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "stream.mkv"
        source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps:g}", "-i", "pipe:0"]
        target = ["-vf", TO_YUV, "-pix_fmt", "yuv420p", *_encoder(name, bits_per_second, key_interval, buffer_seconds)]
        target.append(str(file))
        run_ffmpeg("-threads", "1", *source, *target, given=b"".join(map(np.ndarray.tobytes, pictures)))
        packets, keys = [], []
        with av.open(str(file)) as container:
            for packet in container.demux(video=0):
                if packet.size:
                    packets.append(bytes(packet))
                    keys.append(packet.is_keyframe)
        found = _decoded(file, (height, width))
    if not len(packets) == len(found) == len(pictures):
        raise RuntimeError(f"{name}: {len(packets)} packets and {len(found)} pictures of {len(pictures)}")
    return CodedVideo(packets, found, keys)


def _decoded(file: Path, size: tuple[int, int]) -> list[np.ndarray]:
    raw = ("-pix_fmt", "rgb24", "-fps_mode", "passthrough", "-f", "rawvideo", "pipe:1")
    shown = run_ffmpeg("-i", str(file), "-vf", TO_RGB, *raw)
    return list(np.frombuffer(shown, np.uint8).reshape(-1, *size, 3))


def jpeg_frames(pictures: Sequence[np.ndarray], bits_per_picture: float) -> CodedVideo:
    """Each picture as the best JPEG of so many bits: at the largest size, halved up to four times, that can be had."""
    packets = [_best_jpeg(picture, bits_per_picture) for picture in pictures]
    decoded = []
    for picture, data in zip(pictures, packets, strict=True):
        image = Image.open(io.BytesIO(data)).convert("RGB")
        decoded.append(np.asarray(image.resize((picture.shape[1], picture.shape[0]), Image.Resampling.BICUBIC)))
    return CodedVideo(packets, decoded, [True] * len(pictures))


def _best_jpeg(picture: np.ndarray, bits: float) -> bytes:
    image = Image.fromarray(picture)
    for halved in range(5):
        size = (image.width >> halved, image.height >> halved)
        small = image.resize(size, Image.Resampling.LANCZOS) if halved else image
        low, high, best = 1, 95, b""
        while low <= high:
            middle = (low + high) // 2
            data = io.BytesIO()
            small.save(data, "JPEG", quality=middle, optimize=True, subsampling="4:2:0")
            if 8 * len(data.getvalue()) <= bits:
                best, low = data.getvalue(), middle + 1
            else:
                high = middle - 1
        if low > 10 or (best and halved == 4):  # below that, fewer pixels look better
            return best
    raise ValueError(f"no JPEG of {bits:.0f} bits")
