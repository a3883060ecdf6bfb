"""The radio by itself, and panoramas over it at equal symbols per pixel, against separate coding."""
