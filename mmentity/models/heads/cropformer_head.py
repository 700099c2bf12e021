"""CropFormer's head: two passes of one decoder."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from mmdet.structures import SampleList
from mmdet.utils import OptConfigType
from torch import Tensor

from mmentity.models.heads.mask2former_head import (
    DecoderInput,
    DecoderOutput,
    EntityMask2FormerHead,
)
from mmentity.models.heads.set_loss import targets_of_views
from mmentity.registry import MODELS


class TwoPasses(NamedTuple):
    """What both passes of the decoder give.

    Attributes:
        per_view: Over ``B * V`` views, each by itself.
        cross_view: Over the views of each of B images together.
    """

    per_view: DecoderOutput
    cross_view: DecoderOutput


@MODELS.register_module()
class CropFormerHead(EntityMask2FormerHead):
    """CropFormer's head: two passes of one decoder (CropFormer, section 4.2).

    The per-view pass decodes every view by itself. The association makes one
    set of queries of all of them. The cross-view pass runs the same decoder
    layers over the features of all views together and gives each query one
    class and a mask on every view.

    Both passes take two views or more, unless ``test_cfg.one_view`` allows the whole image
    alone in testing, which training never sees: the association then has the queries of one
    view, and its position is that of the last of any number of views.

    Args:
        association: Config of :class:`QueryAssociation`; by default one of the official
            release's, at the width of the head.
        per_view_loss_weight: Weight of the per-view losses; the cross-view
            losses have weight 1.
    """

    def __init__(
        self,
        *args: Any,
        association: OptConfigType = None,
        per_view_loss_weight: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        association = association or {
            'type': 'mmentity.QueryAssociation',
            'embed_dims': self.query_feat.weight.shape[1],
        }
        self.association = MODELS.build(association)
        self.per_view_loss_weight = per_view_loss_weight

    def forward(  # type: ignore[override]  # one pass more than Mask2Former's head
        self, x: Sequence[Tensor], batch_data_samples: SampleList
    ) -> TwoPasses:
        """Decode with deep supervision.

        Args:
            x: Feature maps of the backbone over ``B * V`` views.
            batch_data_samples: B samples.
        """
        return self._both_passes(x, len(batch_data_samples), self._every_layer, self._every_layer)

    def loss(self, x: Sequence[Tensor], batch_data_samples: SampleList) -> dict[str, Tensor]:
        """Compute the set losses of both passes.

        Per view, entities outside a crop do not count; across views they do, with an
        empty mask where they are not seen.

        Returns:
            Losses with the prefixes ``per_view.`` and ``cross_view.``.
        """
        per_view, cross_view = self(x, batch_data_samples)
        entities = [sample.gt_instances for sample in batch_data_samples]
        view_targets = [view for views in targets_of_views(entities) for view in views]
        losses = {
            f'per_view.{name}': value * self.per_view_loss_weight
            for name, value in self.set_loss(
                per_view.cls_scores, per_view.masks, view_targets
            ).items()
        }
        cross_view_losses = self.set_loss(cross_view.cls_scores, cross_view.masks, entities)
        losses.update({f'cross_view.{name}': value for name, value in cross_view_losses.items()})
        return losses

    def _decode_last(self, x: Sequence[Tensor], num_images: int) -> DecoderOutput:
        # the per-view masks are not part of the result
        return self._both_passes(x, num_images, range(0), self._last_layer).cross_view

    def _both_passes(
        self, x: Sequence[Tensor], num_images: int, per_view_at: range, cross_view_at: range
    ) -> TwoPasses:
        """Run both passes, with predictions after the given numbers of layers."""
        num_views = len(x[0]) // num_images
        one_view = not self.training and (self.test_cfg or {}).get('one_view', False)
        if num_views < 2 and not one_view:
            raise ValueError(
                'CropFormer needs the whole image and its crops, got 1 view; '
                'put CropViews into the pipeline, or use EntityMask2Former; '
                'test_cfg.one_view=True predicts the whole image alone'
            )
        decoder_input = self._decoder_input(self._decode_pixels(x))
        per_view = self._run_decoder(self._first_queries(len(x[0])), decoder_input, per_view_at)
        queries = self.association(
            per_view.queries.unflatten(0, (num_images, num_views)), self.query_embed.weight
        )
        joined = self._join_views(decoder_input, num_views)
        return TwoPasses(per_view, self._run_decoder(queries, joined, cross_view_at))

    def _join_views(self, decoder_input: DecoderInput, num_views: int) -> DecoderInput:
        """Arrange the input of the first pass for one over the V views of an image together."""

        def join(tensor: Tensor) -> Tensor:
            return tensor.unflatten(0, (-1, num_views)).flatten(1, 2)

        small_features = [join(features) for features in decoder_input.small_features]
        sizes = [features.shape[-2:] for features in small_features]
        positions = [
            self._view_positions(num_views, height, width, small_features[0].device)
            for height, width in sizes
        ]
        return DecoderInput(
            [join(tokens) for tokens in decoder_input.tokens],
            positions,
            join(decoder_input.mask_features),
            small_features,
        )

    def _positions(self, num_views: int, height: int, width: int, device: torch.device) -> Tensor:
        if num_views == 1:
            return super()._positions(num_views, height, width, device)
        return self._view_positions(num_views, height, width, device)

    def _view_positions(
        self, num_views: int, height: int, width: int, device: torch.device
    ) -> Tensor:
        views = self.decoder_positional_encoding.encode_views(num_views, height, width, device)
        return views.flatten(2).transpose(1, 2).flatten(0, 1)[None]
