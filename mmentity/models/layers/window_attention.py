"""Swin's blocks in testing on the CPU: a few windows at a time, so that they stay in the cache."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from mmpretrain.models.backbones.swin_transformer import SwinBlock
from mmpretrain.models.utils import ShiftWindowMSA, WindowMSA
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

# tokens that are worked on at a time, so that what they need stays in the cache
TOKEN_CHUNK = 2048
# what mmpretrain adds to scores between tokens that only the cyclic shift made neighbours
BLOCKED = -100.0


class Windows(NamedTuple):
    """Which tokens of a feature map are in which window; those without a border in them first.

    Attributes:
        tokens: Numbers of tokens, int64 ``(windows, window_size ** 2)``; where a window
            leaves the map any number.
        inside: Whether there is a token, bool of the same shape.
        region: Tokens of one window attend to each other within one region, int64 of the
            same shape.
    """

    tokens: Tensor
    inside: Tensor
    region: Tensor


class WindowedSwinBlock(SwinBlock):
    """mmpretrain's block, with the same parameters and results.

    A block is independent for each window, from the first norm to the end of the FFN. In
    testing on the CPU it takes some windows at a time.

    Args:
        block: Gives its layers, under the same names.
    """

    def __init__(self, block: SwinBlock) -> None:
        super(SwinBlock, self).__init__(block.init_cfg)
        self.with_cp = block.with_cp
        self.norm1, self.attn = block.norm1, block.attn
        self.norm2, self.ffn = block.norm2, block.ffn

    def forward(self, x: Tensor, hw_shape: Sequence[int]) -> Tensor:
        """Run the block on tokens ``(B, H * W, C)`` of a map of the given height and width."""
        in_parts = x.device.type == 'cpu' and not torch.is_grad_enabled()
        # a tracer or compiler would write every part down
        if not in_parts or torch.jit.is_tracing() or torch._dynamo.is_compiling():
            return super().forward(x, hw_shape)
        height, width = (int(side) for side in hw_shape)
        size = self.attn.window_size
        windows = windows_of(height, width, size, self._shift(height, width))
        bias = self._position_bias()
        step = max(1, TOKEN_CHUNK // size**2)
        out = torch.empty_like(x)
        for tokens, result in zip(x, out):
            for start in range(0, len(windows.tokens), step):
                some = Windows(*(part[start : start + step] for part in windows))
                places, values = self._run_windows(tokens, some, bias)
                result[places] = values.to(result.dtype)
        return out

    def _shift(self, height: int, width: int) -> int:
        """Shift of the windows, as :class:`ShiftWindowMSA` has it."""
        size, pads = self.attn.window_size, self.attn.pad_small_map
        if min(height, width) < size and not pads:
            raise ValueError(
                f'a feature map of {height}x{width} is smaller than the windows of {size}; set '
                'pad_small_map=True in the backbone'
            )
        return self.attn.shift_size if min(height, width) != size or pads else 0

    def _position_bias(self) -> Tensor:
        """Bias of each head between two tokens of a window, ``(heads, N, N)``."""
        attention = self.attn.w_msa
        index = attention.relative_position_index
        bias = attention.relative_position_bias_table[index.flatten()]
        return bias.view(*index.shape, -1).permute(2, 0, 1).contiguous()

    def _run_windows(self, x: Tensor, windows: Windows, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Run some windows; returns the numbers of their tokens and what becomes of these."""
        attention = self.attn.w_msa
        places, inside = windows.tokens.flatten(), windows.inside.flatten()
        whole = bool(inside.all())
        identity = x[places]
        values = self.norm1(identity)
        if not whole:
            values = values.masked_fill(~inside[:, None], 0.0)
        qkv = attention.qkv(values).unflatten(-1, (3, attention.num_heads, -1))
        query, key, value = qkv.unflatten(0, windows.tokens.shape).permute(2, 0, 3, 1, 4)
        blocked = windows.region[:, :, None] != windows.region[:, None]
        bias = bias + BLOCKED * blocked[:, None] if blocked.any() else bias[None]
        values = F.scaled_dot_product_attention(
            query, key, value, bias.to(query.dtype), scale=attention.scale
        )
        values = attention.proj(values.transpose(1, 2).flatten(2)).flatten(0, 1)
        if not whole:
            places, identity, values = places[inside], identity[inside], values[inside]
        identity = identity + values
        return places, self.ffn(self.norm2(identity), identity=identity)


def use_windowed_blocks(backbone: nn.Module) -> None:
    """Replace the blocks of a Swin of mmpretrain, in place; others stay as they are."""
    for blocks in backbone.modules():
        if isinstance(blocks, nn.ModuleList):
            for place, block in enumerate(blocks):
                if _classes_of(block) == (SwinBlock, ShiftWindowMSA, WindowMSA):
                    blocks[place] = WindowedSwinBlock(block).train(block.training)


def _classes_of(block: nn.Module) -> tuple[type, ...]:
    """Classes of a block and its attention; subclasses may compute something else."""
    if not isinstance(block, SwinBlock):
        return (type(block),)
    return type(block), type(block.attn), type(block.attn.w_msa)


@lru_cache(maxsize=64)
def windows_of(height: int, width: int, size: int, shift: int) -> Windows:
    """Cut a map into windows of a size, after a cyclic shift up and to the left."""
    padded = [-(-side // size) * size for side in (height, width)]
    # in the shifted map: where each row and column comes from, and between which borders it lies
    places, regions = [], []
    for side in padded:
        at = torch.arange(side)
        places.append((at + shift) % side)
        borders = (at >= side - size).int() + (at >= side - shift).int()
        regions.append(borders if shift else torch.zeros_like(at))
    (y, x), (down, across) = places, regions
    inside = (y < height)[:, None] & (x < width)
    tokens = (y[:, None] * width + x).where(inside, torch.zeros(()).long())
    region = (down[:, None] * 3 + across).expand(padded)

    def cut(values: Tensor) -> Tensor:
        parts = values.unflatten(0, (-1, size)).unflatten(2, (-1, size))
        return parts.transpose(1, 2).flatten(2).flatten(0, 1)

    windows = Windows(cut(tokens), cut(inside), cut(region))
    plain = windows.inside.all(dim=1) & (windows.region == windows.region[:, :1]).all(dim=1)
    order = (~plain).int().argsort(stable=True)
    return Windows(*(part[order] for part in windows))
