"""Images as the bytes of a PNG or JPEG file."""

import cv2
import numpy as np


def encode_image(suffix: str, img: np.ndarray, quality: int = 95) -> bytes:
    """Encode an image.

    Args:
        suffix: ``'.png'`` or ``'.jpg'``.
        img: uint8 or uint16 ``(H, W)``, RGB ``(H, W, 3)`` or RGBA ``(H, W, 4)``;
            the channels of RGBA are swapped in place, which saves a copy.
        quality: Quality of a JPEG, 1..100.
    """
    if img.ndim == 3 and img.shape[2] == 4:
        img[..., 0], img[..., 2] = img[..., 2], img[..., 0].copy()
    elif img.ndim == 3:
        img = cv2.cvtColor(img, cv2.COLOR_RGB2BGR)
    return cv2.imencode(suffix, img, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
