"""CropFormer as a plain composition of other packages' modules, with the same weights.

mmpretrain's Swin, mmdet's pixel decoder, and mmdet's Mask2Former decoder run twice; masks
are made at full size after every layer, attention masks for every head, and the loss
samples points of these masks and of float copies of the ground truth, as
:class:`mmdet.models.Mask2FormerHead` does.
"""

import copy
from typing import Optional

import torch
from mmcv.ops import point_sample
from mmdet.models.dense_heads import Mask2FormerHead
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.structures import InstanceData
from torch import Tensor, nn

CONFIG = 'configs/_base_/models/cropformer_swin-t.py'


def build(config: str = CONFIG, options: Optional[dict] = None) -> nn.Module:
    """Build mmentity's model with random weights that find something."""
    register_all_modules(init_default_scope=True)
    torch.manual_seed(0)
    config = Config.fromfile(config)
    config.merge_from_dict(options or {})
    model = MODELS.build(config.model)
    model.init_weights()
    model.cfg = config
    return model.eval()


def plain_head(model: nn.Module) -> Mask2FormerHead:
    """Build mmdet's head on the very parameters of a model's."""
    config = copy.deepcopy(model.cfg.model.panoptic_head)
    for key in ('association', 'per_view_loss_weight', 'with_cp'):
        config.pop(key, None)
    config.type = 'mmdet.Mask2FormerHead'
    config.pixel_decoder.type = 'mmdet.MSDeformAttnPixelDecoder'
    head = MODELS.build(config)
    parameters = dict(model.panoptic_head.named_parameters())
    missing = head.load_state_dict(parameters, strict=False, assign=True).missing_keys
    if missing:
        raise RuntimeError(f'the model has no {missing}')
    return head.train(model.training)


class PlainCropFormer:
    """Forward of mmentity's model through the methods of mmdet's head.

    Args:
        model: A :class:`mmentity.models.CropFormer` of :func:`build`.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.plain = plain_head(model)

    def backbone(self, inputs: Tensor) -> tuple:
        """Features of all views at once."""
        return self.model.backbone(inputs.flatten(0, 1))

    def pixels(self, features: tuple) -> tuple:
        """Pixel decoder over all views at once."""
        return self.plain.pixel_decoder(list(features))

    def decode(self, mask_features: Tensor, multi_scale: list, num_images: int = 1) -> tuple:
        """Both passes; class and mask logits of every layer of each.

        Returns:
            Pairs of lists: class logits, and mask logits ``(B, Q, V, h, w)``.
        """
        head = self.model.panoptic_head
        num_views = len(mask_features) // num_images
        queries = head.query_feat.weight.expand(len(mask_features), -1, -1)
        per_view, queries = self._pass(queries, mask_features, multi_scale, 1)
        queries = head.association(
            queries.unflatten(0, (num_images, num_views)), head.query_embed.weight
        )
        return per_view, self._pass(queries, mask_features, multi_scale, num_views)[0]

    def __call__(self, inputs: Tensor) -> tuple:
        """Class and mask logits of the last layer."""
        classes, masks = self.decode(*self.pixels(self.backbone(inputs)), len(inputs))[1]
        return classes[-1], masks[-1]

    def loss(self, inputs: Tensor, samples: list) -> dict:
        """Losses of both passes by name, as :meth:`mmentity.models.CropFormerHead.loss`."""
        outputs = self.decode(*self.pixels(self.backbone(inputs)), len(inputs))
        entities = [sample.gt_instances for sample in samples]
        in_views = [
            {'labels': gt.labels[seen], 'masks': gt.masks[seen][:, v : v + 1]}
            for gt in entities
            for v, seen in enumerate(gt.in_view.T)
        ]
        weight = self.model.panoptic_head.per_view_loss_weight
        passes = (('per_view', in_views, weight), ('cross_view', entities, 1.0))
        losses = {}
        for (name, targets, weight), (classes, masks) in zip(passes, outputs):
            last = len(classes) - 1
            for layer in range(len(classes)):
                prefix = f'{name}.' if layer == last else f'{name}.d{layer}.'
                values = self._loss_of_layer(classes[layer], masks[layer], targets)
                for kind, value in zip(('loss_cls', 'loss_mask', 'loss_dice'), values):
                    losses[prefix + kind] = value * weight
        return losses

    def _loss_of_layer(self, classes: Tensor, masks: Tensor, targets: list) -> tuple:
        head = self.model.panoptic_head
        labels = torch.full(classes.shape[:2], head.num_classes, device=classes.device)
        matched, gt_masks = [], []
        for b, gt in enumerate(targets):
            query, entity = self._match(classes[b], masks[b], gt)
            labels[b, query] = gt['labels'][entity]
            matched.append(masks[b][query])
            gt_masks.append(gt['masks'][entity])
        class_weight = classes.new_tensor(head.class_weight)
        loss_cls = head.loss_cls(
            classes.flatten(0, 1), labels.flatten(), avg_factor=class_weight[labels].sum()
        )
        count = max(1, sum(len(gt['labels']) for gt in targets))
        matched, gt_masks = (torch.cat(m).flatten(0, 1)[:, None] for m in (matched, gt_masks))
        with torch.no_grad():
            points = head.set_loss.uncertain_points(matched)
            gt_masks = point_sample(gt_masks.float(), points).squeeze(1)
        predicted = point_sample(matched, points).squeeze(1)
        loss_mask = head.loss_mask(
            predicted.flatten(), gt_masks.flatten(), avg_factor=count * points.shape[1]
        )
        return loss_cls, loss_mask, head.loss_dice(predicted, gt_masks, avg_factor=count)

    @torch.no_grad()
    def _match(self, classes: Tensor, masks: Tensor, gt: dict) -> tuple:
        head = self.model.panoptic_head
        points = head.set_loss.random_points(masks.device)
        predicted, gt_masks = (
            point_sample(m.float(), points.expand(len(m), -1, -1)).flatten(1)
            for m in (masks, gt['masks'])
        )
        assigned = head.assigner.assign(
            pred_instances=InstanceData(scores=classes, masks=predicted),
            gt_instances=InstanceData(labels=gt['labels'], masks=gt_masks),
            img_meta={},
        ).gt_inds
        query = torch.nonzero(assigned > 0).squeeze(1)
        return query, assigned[query] - 1

    def _pass(
        self, queries: Tensor, mask_features: Tensor, multi_scale: list, num_views: int
    ) -> tuple:
        head, decoder = self.model.panoptic_head, self.plain.transformer_decoder
        tokens, positions = [], []
        for level in range(head.num_transformer_feat_level):
            feature = head.decoder_input_projs[level](multi_scale[level])
            token = feature.flatten(2).permute(0, 2, 1) + head.level_embed.weight[level]
            tokens.append(token.unflatten(0, (-1, num_views)).flatten(1, 2))
            place = head._positions(num_views, *feature.shape[-2:], feature.device)
            positions.append(place.expand(len(tokens[-1]), -1, -1))
        query_pos = head.query_embed.weight.expand(len(queries), -1, -1)
        # views beside each other are one tall image for mmdet's head
        features = mask_features.unflatten(0, (-1, num_views))
        features = features.transpose(1, 2).flatten(2, 3)
        sizes = [level.shape[-2:] for level in multi_scale]
        classes, masks, blocked = [], [], None
        for layer in range(head.num_transformer_decoder_layers + 1):
            embed = decoder.post_norm(queries)
            classes.append(head.cls_embed(embed))
            mask = torch.einsum('bqc,bchw->bqhw', head.mask_embed(embed), features)
            mask = mask.unflatten(2, (num_views, -1))
            masks.append(mask)
            if layer == head.num_transformer_decoder_layers:
                return (classes, masks), queries
            level = layer % head.num_transformer_feat_level
            blocked = self._attention_mask(mask, sizes[level])
            queries = decoder.layers[layer](
                query=queries,
                key=tokens[level],
                value=tokens[level],
                query_pos=query_pos,
                key_pos=positions[level],
                cross_attn_mask=blocked,
            )

    def _attention_mask(self, mask: Tensor, size: tuple) -> Tensor:
        """mmdet's: resize the full mask, repeat for every head."""
        small = torch.nn.functional.interpolate(
            mask.flatten(0, 1), size, mode='bilinear', align_corners=False
        )
        small = small.unflatten(0, mask.shape[:2]).flatten(2)
        heads = self.model.panoptic_head.num_heads
        blocked = small.unsqueeze(1).repeat((1, heads, 1, 1)).flatten(0, 1).sigmoid() < 0.5
        blocked = blocked.detach()
        blocked[torch.where(blocked.sum(-1) == blocked.shape[-1])] = False
        return blocked
