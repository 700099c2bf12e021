"""From decoded images of any common kind to 8-bit BGR."""

import numpy as np
from PIL import Image, ImageOps


def pil_to_bgr(image: Image.Image) -> np.ndarray:
    """Convert a PIL image: EXIF orientation applied, alpha dropped, 16 bits scaled to 8.

    Returns:
        uint8 BGR ``(H0, W0, 3)``.

    Raises:
        ValueError: If grey values do not fit into 16 bits or are floating point.
        OSError: If its file is truncated.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith('I;16') or image.mode == 'I':
        grey = np.asarray(image, dtype=np.int64)
        if grey.min(initial=0) < 0 or grey.max(initial=0) > 65535:
            raise ValueError('its grey values are not in 0..65535')
        image = Image.fromarray((grey // 257).astype(np.uint8))
    elif image.mode == 'F':
        raise ValueError('it holds floating point values; save it as 8 or 16 bit')
    return np.ascontiguousarray(np.asarray(image.convert('RGB'))[..., ::-1])
