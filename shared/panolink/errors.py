"""The errors of Panolink, one tree.

    PanolinkError
    ├── ImageError       a picture that cannot be used
    ├── BitstreamError   a packet or burst that is corrupt, truncated or of another version
    │   └── ReferenceNeededError   a packet that is predicted from a state that is not here
    ├── RateError        a rate (bits per pixel, share kept) that cannot be reached
    ├── ModelError       an unknown model, or one that does not fit the packet
    ├── SignalError      radio symbols, channel state or modulation that make no sense
    ├── LimitError       something larger or more numerous than a limit allows
    ├── ConflictError    an id that was used before, for something else
    ├── LinkError        a service that cannot be reached, broke off or is shutting down
    │   └── StallError   an item of a stream whose bytes stall, or come too slowly
    ├── AccessError      a connection or call that is turned away: certificates, token
    └── SettingError     a setting that cannot be used, such as a certificate that has expired

Every message names what was wrong, where, and what is allowed, in one line.
"""


class PanolinkError(Exception):
    """Base of every error that Panolink raises on purpose."""


class ImageError(PanolinkError, ValueError):
    """A picture that cannot be used: not an image, truncated, not 2:1."""


class BitstreamError(PanolinkError, ValueError):
    """A packet or burst that is corrupt, truncated or of another version."""


class ReferenceNeededError(BitstreamError):
    """A packet of a stream that is predicted from a state that the decoder does not hold: a whole picture is needed."""


class RateError(PanolinkError, ValueError):
    """A rate that cannot be reached; the message names the least possible one."""


class ModelError(PanolinkError, ValueError):
    """An unknown model, or a packet made by a model that is not the one at hand."""


class SignalError(PanolinkError, ValueError):
    """Radio symbols, channel state, modulation or conditions that make no sense."""


class LimitError(PanolinkError, ValueError):
    """Something larger or more numerous than a limit allows."""


class ConflictError(PanolinkError, ValueError):
    """An id that was used before, for something else."""


class LinkError(PanolinkError):
    """A service that cannot be reached, broke off, refused, or is shutting down."""


class StallError(LinkError):
    """An item of a stream whose bytes stall, or come too slowly."""


class AccessError(PanolinkError):
    """A connection or call that is turned away: a certificate or a token that one of the two does not accept."""


class SettingError(PanolinkError, ValueError):
    """A setting that cannot be used; the message begins with its name, and commands end with exit status 2."""
