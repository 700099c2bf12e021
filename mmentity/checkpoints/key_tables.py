"""Where each module of the official release (Detectron2) is in mmentity.

A table is a list of :class:`Rule`; ``{i}`` stands for a number that is kept.
Rules of one ``family`` come together: where one of them appears for some
numbers, all of them must. The tables say it once for both directions.
"""

from typing import Literal, NamedTuple, Optional, Union

# The two sides of the tables.
Side = Literal['detectron2', 'mmentity']

AFFINE = ('weight', 'bias')
ATTENTION = ('in_proj_weight', 'in_proj_bias', 'out_proj.weight', 'out_proj.bias')


class Rule(NamedTuple):
    """Names of one module.

    Attributes:
        family: Modules that appear together.
        detectron2: Template of the official name, without the leaf.
        mmentity: Template of mmentity's name, without the leaf.
        leaves: Parameters of the module, named alike on both sides unless
            ``mmentity_leaves`` gives other names.
        mmentity_leaves: mmentity's names of the same parameters.
        change: Name of the change of values, where there is one.
    """

    family: str
    detectron2: str
    mmentity: str
    leaves: tuple[str, ...] = AFFINE
    mmentity_leaves: Optional[tuple[str, ...]] = None
    change: Optional[str] = None

    def names(self, side: Side) -> list[str]:
        """Templates of the whole names on one side."""
        if side == 'detectron2':
            return [f'{self.detectron2}.{leaf}' for leaf in self.leaves]
        return [f'{self.mmentity}.{leaf}' for leaf in self.mmentity_leaves or self.leaves]


Leaves = tuple[str, ...]


def _block(
    family: str,
    detectron2: str,
    mmentity: str,
    modules: dict[str, Union[str, tuple[str, Leaves]]],
) -> list[Rule]:
    """Rules of one block: official module -> mmentity's, or its name and leaves."""
    rules = []
    for official, ours in modules.items():
        name, leaves = (ours, AFFINE) if isinstance(ours, str) else ours
        rules.append(Rule(family, f'{detectron2}.{official}', f'{mmentity}.{name}', leaves))
    return rules


SWIN = [
    Rule('swin stem', 'backbone.patch_embed.proj', 'backbone.patch_embed.projection'),
    Rule('swin stem', 'backbone.patch_embed.norm', 'backbone.patch_embed.norm'),
    *_block(
        'swin block',
        'backbone.layers.{i}.blocks.{j}',
        'backbone.stages.{i}.blocks.{j}',
        {
            'norm1': 'norm1',
            'attn.qkv': 'attn.w_msa.qkv',
            'attn.proj': 'attn.w_msa.proj',
            'attn': ('attn.w_msa', ('relative_position_bias_table',)),
            'norm2': 'norm2',
            'mlp.fc1': 'ffn.layers.0.0',
            'mlp.fc2': 'ffn.layers.1',
        },
    ),
    Rule(
        'swin merging',
        'backbone.layers.{i}.downsample.reduction',
        'backbone.stages.{i}.downsample.reduction',
        ('weight',),
        change='swin merging',
    ),
    Rule(
        'swin merging',
        'backbone.layers.{i}.downsample.norm',
        'backbone.stages.{i}.downsample.norm',
        change='swin merging',
    ),
    Rule('swin norm', 'backbone.norm{i}', 'backbone.norm{i}'),
]

_HORNET_BLOCK = 'backbone.stages.{i}.{j}'
_CONVOLUTION = f'{_HORNET_BLOCK}.gnconv.dwconv'
_SAME_IN_BLOCK = ('norm1', 'gnconv.proj_in', 'gnconv.proj_out', 'norm2', 'pwconv1', 'pwconv2')
HORNET = [
    Rule(
        'hornet downsampling',
        'backbone.downsample_layers.{i}.{j}',
        'backbone.downsample_layers.{i}.{j}',
    ),
    Rule(
        'hornet block',
        _HORNET_BLOCK,
        _HORNET_BLOCK,
        ('gamma1', 'gamma2'),
        ('gamma1.weight', 'gamma2.weight'),
    ),
    *_block('hornet block', _HORNET_BLOCK, _HORNET_BLOCK, {name: name for name in _SAME_IN_BLOCK}),
    Rule('hornet gate', f'{_HORNET_BLOCK}.gnconv.pws.{{k}}', f'{_HORNET_BLOCK}.gnconv.projs.{{k}}'),
    Rule('hornet depthwise convolution', _CONVOLUTION, _CONVOLUTION),
    *_block(
        'hornet global filter',
        _CONVOLUTION,
        _CONVOLUTION,
        {'dw': ('dw', ('weight',)), 'pre_norm': 'pre_norm', 'post_norm': 'post_norm'},
    ),
    Rule('hornet global filter', _CONVOLUTION, _CONVOLUTION, ('complex_weight',)),
    Rule('hornet norm', 'backbone.norm{i}', 'backbone.norm{i}'),
]

_PIXEL = 'sem_seg_head.pixel_decoder'
_MM_PIXEL = 'panoptic_head.pixel_decoder'
_PREDICTOR = 'sem_seg_head.predictor'
_MM_DECODER = 'panoptic_head.transformer_decoder'

HEAD = [
    Rule(
        'pixel decoder input',
        f'{_PIXEL}.input_proj.{{i}}.0',
        f'{_MM_PIXEL}.input_convs.{{i}}.conv',
    ),
    Rule(
        'pixel decoder input', f'{_PIXEL}.input_proj.{{i}}.1', f'{_MM_PIXEL}.input_convs.{{i}}.gn'
    ),
    *_block(
        'pixel decoder layer',
        f'{_PIXEL}.transformer.encoder.layers.{{i}}',
        f'{_MM_PIXEL}.encoder.layers.{{i}}',
        {
            **{
                f'self_attn.{name}': f'self_attn.{name}'
                for name in (
                    'sampling_offsets',
                    'attention_weights',
                    'value_proj',
                    'output_proj',
                )
            },
            'norm1': 'norms.0',
            'linear1': 'ffn.layers.0.0',
            'linear2': 'ffn.layers.1',
            'norm2': 'norms.1',
        },
    ),
    Rule(
        'head',
        f'{_PIXEL}.transformer',
        f'{_MM_PIXEL}',
        ('level_embed',),
        ('level_encoding.weight',),
    ),
    Rule('head', f'{_PIXEL}.mask_features', f'{_MM_PIXEL}.mask_feature'),
    Rule('head', f'{_PIXEL}.adapter_1', f'{_MM_PIXEL}.lateral_convs.0.conv', ('weight',)),
    Rule('head', f'{_PIXEL}.adapter_1.norm', f'{_MM_PIXEL}.lateral_convs.0.gn'),
    Rule('head', f'{_PIXEL}.layer_1', f'{_MM_PIXEL}.output_convs.0.conv', ('weight',)),
    Rule('head', f'{_PIXEL}.layer_1.norm', f'{_MM_PIXEL}.output_convs.0.gn'),
    *_block(
        'decoder layer',
        f'{_PREDICTOR}',
        f'{_MM_DECODER}.layers.{{i}}',
        {
            'transformer_cross_attention_layers.{i}.multihead_attn': ('cross_attn.attn', ATTENTION),
            'transformer_cross_attention_layers.{i}.norm': 'norms.0',
            'transformer_self_attention_layers.{i}.self_attn': ('self_attn.attn', ATTENTION),
            'transformer_self_attention_layers.{i}.norm': 'norms.1',
            'transformer_ffn_layers.{i}.linear1': 'ffn.layers.0.0',
            'transformer_ffn_layers.{i}.linear2': 'ffn.layers.1',
            'transformer_ffn_layers.{i}.norm': 'norms.2',
        },
    ),
    Rule('head', f'{_PREDICTOR}.decoder_norm', f'{_MM_DECODER}.post_norm'),
    Rule('head', f'{_PREDICTOR}.query_feat', 'panoptic_head.query_feat', ('weight',)),
    Rule('head', f'{_PREDICTOR}.query_embed', 'panoptic_head.query_embed', ('weight',)),
    Rule('head', f'{_PREDICTOR}.level_embed', 'panoptic_head.level_embed', ('weight',)),
    Rule('head', f'{_PREDICTOR}.class_embed', 'panoptic_head.cls_embed', change='class order'),
    Rule('head', f'{_PREDICTOR}.mask_embed.layers.0', 'panoptic_head.mask_embed.0'),
    Rule('head', f'{_PREDICTOR}.mask_embed.layers.1', 'panoptic_head.mask_embed.2'),
    Rule('head', f'{_PREDICTOR}.mask_embed.layers.2', 'panoptic_head.mask_embed.4'),
]

ASSOCIATION = _block(
    'query association layer',
    f'{_PREDICTOR}.make_3d',
    'panoptic_head.association.layers.{i}',
    {
        'enc_crosattn_3d.{i}.multihead_attn': ('cross_attn.attn', ATTENTION),
        'enc_crosattn_3d.{i}.norm': 'norms.0',
        'enc_selfattn_3d.{i}.self_attn': ('self_attn.attn', ATTENTION),
        'enc_selfattn_3d.{i}.norm': 'norms.1',
        'enc_ffn_3d.{i}.linear1': 'ffn.layers.0.0',
        'enc_ffn_3d.{i}.linear2': 'ffn.layers.1',
        'enc_ffn_3d.{i}.norm': 'norms.2',
    },
)

# Names of older official files, to today's.
RENAMED = {f'{_PREDICTOR}.static_query.weight': f'{_PREDICTOR}.query_feat.weight'}

BACKBONES = {'swin': SWIN, 'hornet': HORNET}
MODELS = {name: [*rules, *HEAD, *ASSOCIATION] for name, rules in BACKBONES.items()}

# Names without a counterpart on the other side, and why: of models, and of ImageNet classifiers.
_CONSTANT = 'a constant of the architecture, made anew'
_LOSS = 'class weights of the loss, set by the config'
_PIXELS = 'mean and deviation of pixels, set by the config'
_CLASSIFIER = 'classifier of ImageNet'
DROPPED: dict[Side, dict[str, str]] = {
    'detectron2': {
        'backbone.layers.{i}.blocks.{j}.attn.relative_position_index': _CONSTANT,
        'backbone.layers.{i}.blocks.{j}.attn_mask': _CONSTANT,
        'criterion.empty_weight': _LOSS,
        'criterion_2d.empty_weight': _LOSS,
        'criterion_3d.empty_weight': _LOSS,
        'pixel_mean': _PIXELS,
        'pixel_std': _PIXELS,
    },
    'mmentity': {'backbone.stages.{i}.blocks.{j}.attn.w_msa.relative_position_index': _CONSTANT},
}
DROPPED_OF_BACKBONE: dict[Side, dict[str, str]] = {
    'detectron2': {
        **DROPPED['detectron2'],
        **{f'backbone.norm.{leaf}': f'last norm of the {_CLASSIFIER}' for leaf in AFFINE},
        **{f'backbone.head.{leaf}': _CLASSIFIER for leaf in AFFINE},
    },
    'mmentity': {
        **DROPPED['mmentity'],
        **{f'backbone.norm3.{leaf}': f'last norm of the {_CLASSIFIER}' for leaf in AFFINE},
        **{f'head.fc.{leaf}': _CLASSIFIER for leaf in AFFINE},
    },
}
