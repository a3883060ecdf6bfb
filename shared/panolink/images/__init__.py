"""Pictures and videos in and out: whatever a user has, as uint8 RGB panoramas `(H, W, 3)` in sRGB, or a clear error.

Nothing is decoded before its header says that it fits: the size is checked first, so a small file that unpacks to
gigabytes costs nothing. It knows nothing of the codec, of networks or of services.
"""

from panolink.images.formats import FORMATS, IMAGE_SUFFIXES, MAX_PIXELS, MIN_SIDE, VIDEO_SUFFIXES
from panolink.images.read import Picture, is_sphere, load_panorama, picture_size, read_picture
from panolink.images.sources import Failure, Panorama, Reading, panoramas_in
from panolink.images.write import encode_png, resized, save_image

__all__ = [
    "FORMATS",
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "MIN_SIDE",
    "VIDEO_SUFFIXES",
    "Failure",
    "Panorama",
    "Picture",
    "Reading",
    "encode_png",
    "is_sphere",
    "load_panorama",
    "panoramas_in",
    "picture_size",
    "read_picture",
    "resized",
    "save_image",
]
