"""CLIP of open_clip, the extra ``mmentity[clip]``."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
import torch
from mmengine.device import get_device
from torch import nn

from mmentity.apis.models import usable_device
from mmentity.apis.naming.clip_package import MODEL, WEIGHTS, check_open_clip
from mmentity.utils.files import sha256_of
from mmentity.utils.logs import get_logger

# texts that go through the model together
TEXTS = 256


class ClipEncoder:
    """Encode images and texts by a model of open_clip.

    Args:
        model: Name of a model of open_clip, such as ``'ViT-B-32'``, or a built one.
        weights: File, or tag of open_clip such as ``'laion2b_s34b_b79k'``, which open_clip
            downloads at the first use; None for a built model.
        device: Such as ``'cuda:0'``; the best that is there by default.
        tokenizer: Of a built model; by default that of the model of the name.

    Raises:
        ImportError: If open_clip is not installed.
        ValueError: If there is no such model, its weights cannot be had or do not fit, or the
            device cannot be used.

    Examples:
        >>> encoder = ClipEncoder('ViT-B-32', 'open_clip_model.safetensors')
        >>> encoder.encode_texts(['a photo of a car.']).shape
        (1, 512)
    """

    def __init__(
        self,
        model: Union[str, nn.Module] = MODEL,
        weights: Optional[Union[str, Path]] = WEIGHTS,
        device: Optional[str] = None,
        tokenizer: Any = None,
    ) -> None:
        check_open_clip()
        import open_clip

        self.device = usable_device(device or get_device())
        if isinstance(model, str):
            tokenizer = tokenizer or _tokenizer_of(model)
            self.name = f'{model} {_describe(weights)}'
            model = _load(model, weights)
        else:
            self.name = type(model).__name__
            tokenizer = tokenizer or open_clip.get_tokenizer(MODEL)
        built: Any = model
        self.model = built.to(self.device).eval()
        self.tokenizer = tokenizer
        given = open_clip.get_model_preprocess_cfg(self.model)
        size = given.get('size', 224)
        height, width = size if isinstance(size, (tuple, list)) else (size, size)
        if height != width:
            raise ValueError(f'{self.name} takes images of {height}x{width}; choose a square one')
        self.size = int(height)
        self.logit_scale = math.exp(self.model.logit_scale.item())
        mean = given.get('mean', open_clip.OPENAI_DATASET_MEAN)
        std = given.get('std', open_clip.OPENAI_DATASET_STD)
        self._mean, self._std = (
            torch.tensor(values, device=self.device).view(-1, 1, 1) for values in (mean, std)
        )

    @torch.no_grad()
    def encode_images(self, crops: np.ndarray) -> np.ndarray:
        """Encode images, uint8 RGB ``(N, size, size, 3)``, into float32 ``(N, D)``."""
        pixels = torch.from_numpy(crops).to(self.device).permute(0, 3, 1, 2).float().div_(255)
        return self.model.encode_image((pixels - self._mean) / self._std).float().cpu().numpy()

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Encode texts into float32 ``(N, D)``."""
        tokens = self.tokenizer(list(texts))
        parts = [self.model.encode_text(some.to(self.device)) for some in tokens.split(TEXTS)]
        return torch.cat(parts).float().cpu().numpy()


def _tokenizer_of(name: str) -> Any:
    import open_clip

    if ':' not in name and name not in open_clip.list_models():
        raise ValueError(
            f'open_clip has no model {name!r}; python -c "import open_clip; '
            'print(open_clip.list_models())" lists them'
        )
    return open_clip.get_tokenizer(name)


def _load(name: str, weights: Optional[Union[str, Path]]) -> nn.Module:
    """Build a model of open_clip with weights, from a file or by their tag."""
    import open_clip

    if weights is None and ':' not in name:
        raise ValueError(f'{name} has no weights; give a file, or a tag such as {WEIGHTS}')
    get_logger().info(
        f'CLIP {name} with {weights}' + ('' if _is_file(weights) else ', downloaded if need be')
    )
    try:
        return open_clip.create_model(
            name, str(weights), device='cpu', require_pretrained=True, weights_only=True
        )
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip('.')
        raise ValueError(
            f'the weights {weights} of CLIP {name} cannot be loaded ({reason}); give another '
            'file or tag (--clip-weights), and the model that it belongs to (--clip-model); '
            'open_clip.list_pretrained() lists the tags'
        ) from error


def _describe(weights: Optional[Union[str, Path]]) -> str:
    """Return the tag of weights, or what a file of them holds."""
    if weights is None or not _is_file(weights):
        return str(weights)
    return f'{Path(weights).name} (sha256 {sha256_of(weights)})'


def _is_file(weights: Optional[Union[str, Path]]) -> bool:
    return weights is not None and Path(weights).is_file()
