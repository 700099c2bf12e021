"""Sine encodings that also tell the views of an image apart."""

import torch
from mmdet.models.layers import SinePositionalEncoding
from torch import Tensor


class ViewSinePositionalEncoding(SinePositionalEncoding):
    """2D sine encoding plus a sine of the view index over all channels.

    The view index counts from 1 and is divided by the number of views V, so the
    values of training (V = 2) and testing (V = 5) differ; the official release
    does the same (CropFormer, section 4.2).
    """

    def encode_views(self, num_views: int, height: int, width: int, device: torch.device) -> Tensor:
        """Encode a stack of feature maps.

        Returns:
            float32 ``(V, C, h, w)`` with ``C = 2 * num_feats``.
        """
        flat = super().forward(torch.zeros((1, height, width), dtype=torch.bool, device=device))
        channels = 2 * self.num_feats
        index = torch.arange(1, num_views + 1, dtype=torch.float32, device=device)
        phase = index / (num_views + self.eps) * self.scale
        channel = torch.arange(channels, dtype=torch.float32, device=device)
        phase = phase[:, None] / self.temperature ** (2 * (channel // 2) / channels)
        waves = torch.stack((phase[:, 0::2].sin(), phase[:, 1::2].cos()), dim=2).flatten(1)
        return flat + waves[:, :, None, None]
