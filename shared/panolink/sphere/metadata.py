"""What is known of a panorama beside its pixels: how the camera stood, and which part of the sphere it saw.

The names are those of Google's photo sphere XMP (GPano). It takes 3 to 7 bytes, and 16 more with a crop (17 for a crop
alone); in a packet three more say what it is.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from enum import StrEnum

from panolink.errors import BitstreamError

_HEADING, _PITCH, _ROLL, _CROP = 1, 2, 4, 8
_KNOWN = _HEADING | _PITCH | _ROLL | _CROP
_STEPS = 100  # angles are kept in hundredths of a degree


@dataclass(frozen=True)
class Crop:
    """The part of a sphere that was photographed, in pixels of the whole sphere's picture; the rest was filled in.

    Attributes
    ----------
    left, top, width, height : int
        Of the part, inside the sphere.
    full_width, full_height : int
        Of the sphere.
    """

    left: int
    top: int
    width: int
    height: int
    full_width: int
    full_height: int

    def __str__(self) -> str:
        return f"{self.width}×{self.height} at ({self.left}, {self.top}) of {self.full_width}×{self.full_height}"

    @property
    def whole(self) -> bool:
        """Whether nothing is missing."""
        return (self.width, self.height) == (self.full_width, self.full_height)

    @property
    def inside(self) -> bool:
        """Whether the part lies within the sphere, and is not empty."""
        across = self.left >= 0 and self.width > 0 and self.left + self.width <= self.full_width
        return across and self.top >= 0 and self.height > 0 and self.top + self.height <= self.full_height

    def scaled(self, width: int, height: int) -> Crop:
        """The same part of a sphere's picture of another size, in pixels."""
        across, down = width / self.full_width, height / self.full_height
        left, top = min(round(self.left * across), width - 1), min(round(self.top * down), height - 1)
        right, bottom = round((self.left + self.width) * across), round((self.top + self.height) * down)
        return Crop(left, top, max(1, right - left), max(1, bottom - top), width, height)


@dataclass(frozen=True)
class SphereMetadata:
    """How the camera stood, in degrees, None where it is not known; and the crop, None where nothing is missing.

    Attributes
    ----------
    heading : float | None
        Compass direction of the picture's centre, 0 ≤ heading < 360.
    pitch : float | None
        −90 to 90, up is positive.
    roll : float | None
        −180 to 180, clockwise is positive.
    crop : Crop | None
        The part that was photographed.
    """

    heading: float | None = None
    pitch: float | None = None
    roll: float | None = None
    crop: Crop | None = None

    def __bool__(self) -> bool:
        return any(value is not None for value in vars(self).values())

    def as_dict(self) -> dict[str, object]:
        """What is known, by name, as JSON has it."""
        known: dict[str, object] = {"heading": self.heading, "pitch": self.pitch, "roll": self.roll}
        known["crop"] = vars(self.crop) if self.crop else None
        return {name: value for name, value in known.items() if value is not None}

    def scaled(self, width: int, height: int) -> SphereMetadata:
        """For the same panorama at another size, in pixels."""
        return replace(self, crop=self.crop.scaled(width, height) if self.crop else None)

    def to_bytes(self) -> bytes:
        """As a packet's header carries it: angles in hundredths of a degree, little-endian, the crop as 32-bit numbers.

        The size of the whole sphere is the packet's, and not repeated.
        """
        flags, body = 0, b""
        for flag, form, value in (
            (_HEADING, "<H", self.heading if self.heading is None else self.heading % 360),
            (_PITCH, "<h", self.pitch),
            (_ROLL, "<h", self.roll),
        ):
            if value is not None:
                flags |= flag
                steps = round(value * _STEPS)
                body += struct.pack(form, steps % (360 * _STEPS) if flag == _HEADING else steps)
        if self.crop:
            flags |= _CROP
            body += struct.pack("<4I", self.crop.left, self.crop.top, self.crop.width, self.crop.height)
        return bytes([flags]) + body

    @classmethod
    def from_bytes(cls, data: bytes, *, width: int, height: int) -> SphereMetadata:
        """What `to_bytes` wrote, of a packet of that size in pixels.

        Raises
        ------
        BitstreamError
            Of another length, or values that cannot be.
        """
        if not data or data[0] & ~_KNOWN:
            raise BitstreamError("packet header has sphere metadata that this release does not know")
        flags, position, found = data[0], 1, {}
        try:
            for flag, form, name in ((_HEADING, "<H", "heading"), (_PITCH, "<h", "pitch"), (_ROLL, "<h", "roll")):
                if flags & flag:
                    found[name] = struct.unpack_from(form, data, position)[0] / _STEPS
                    position += 2
            crop = None
            if flags & _CROP:
                crop = Crop(*struct.unpack_from("<4I", data, position), width, height)
                position += 16
        except struct.error:
            raise BitstreamError("packet header has truncated sphere metadata") from None
        made = cls(**found, crop=crop)
        if position != len(data) or not made._possible():
            raise BitstreamError("packet header has sphere metadata that cannot be")
        return made

    def _possible(self) -> bool:
        return (
            (self.heading or 0) < 360
            and abs(self.pitch or 0) <= 90
            and abs(self.roll or 0) <= 180
            and (self.crop is None or self.crop.inside)
        )


NOTHING_KNOWN = SphereMetadata()


class Projection(StrEnum):
    """How the pixels of a picture or video lie on the sphere, as a user says.

    `AUTO` believes what the file says of itself: a cubemap is converted, anything else that is no equirectangular
    panorama is refused with advice.
    """

    AUTO = "auto"
    EQUIRECTANGULAR = "equirectangular"
    CUBEMAP = "cubemap"
    """Six faces, as 3×2 (right, left, up, down, front, back), 6×1 or 1×6."""
    DFISHEYE = "dfisheye"
    """Two circular fisheye pictures side by side."""


LENS_DEGREES = 190.0
"""Field of view of each lens of a double fisheye camera, where nobody says another."""
LEAST_LENS_DEGREES, MOST_LENS_DEGREES = 180.0, 280.0
