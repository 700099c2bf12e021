"""Where each module of the official release (Detectron2) is in mmentity.

A table is a list of :class:`Rule`; ``{i}`` stands for a number that is kept.
Rules of one ``family`` come together: where one of them appears for some
numbers, all of them must. The tables say it once for both directions.
"""

from typing import Any, Literal, NamedTuple, Optional

# The two sides of the tables.
Side = Literal['detectron2', 'mmentity']

AFFINE = ('weight', 'bias')
WEIGHT = ('weight',)
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


def _below(family: str, detectron2: str, mmentity: str, *modules: tuple[Any, ...]) -> list[Rule]:
    """Rules of modules below two prefixes: official name, mmentity's, and leaves if not affine."""
    return [
        Rule(family, f'{detectron2}.{official}', f'{mmentity}.{ours}', *leaves)
        for official, ours, *leaves in modules
    ]


_STAGE, _MM_STAGE = 'backbone.layers.{i}', 'backbone.stages.{i}'
SWIN = [
    Rule('swin stem', 'backbone.patch_embed.proj', 'backbone.patch_embed.projection'),
    Rule('swin stem', 'backbone.patch_embed.norm', 'backbone.patch_embed.norm'),
    *_below(
        'swin block',
        f'{_STAGE}.blocks.{{j}}',
        f'{_MM_STAGE}.blocks.{{j}}',
        ('norm1', 'norm1'),
        ('attn.qkv', 'attn.w_msa.qkv'),
        ('attn.proj', 'attn.w_msa.proj'),
        ('attn', 'attn.w_msa', ('relative_position_bias_table',)),
        ('norm2', 'norm2'),
        ('mlp.fc1', 'ffn.layers.0.0'),
        ('mlp.fc2', 'ffn.layers.1'),
    ),
    *_below(
        'swin merging',
        f'{_STAGE}.downsample',
        f'{_MM_STAGE}.downsample',
        ('reduction', 'reduction', WEIGHT, None, 'swin merging'),
        ('norm', 'norm', AFFINE, None, 'swin merging'),
    ),
    Rule('swin norm', 'backbone.norm{i}', 'backbone.norm{i}'),
]

_DOWN, _BLOCK = 'backbone.downsample_layers.{i}.{j}', 'backbone.stages.{i}.{j}'
_GATED = f'{_BLOCK}.gnconv'
_SCALES = ('gamma1', 'gamma2')
_SAME_IN_BLOCK = ('norm1', 'gnconv.proj_in', 'gnconv.proj_out', 'norm2', 'pwconv1', 'pwconv2')
HORNET = [
    Rule('hornet downsampling', _DOWN, _DOWN),
    Rule('hornet block', _BLOCK, _BLOCK, _SCALES, tuple(f'{name}.weight' for name in _SCALES)),
    *_below('hornet block', _BLOCK, _BLOCK, *((name, name) for name in _SAME_IN_BLOCK)),
    Rule('hornet gate', f'{_GATED}.pws.{{k}}', f'{_GATED}.projs.{{k}}'),
    Rule('hornet depthwise convolution', f'{_GATED}.dwconv', f'{_GATED}.dwconv'),
    *_below(
        'hornet global filter',
        _GATED,
        _GATED,
        ('dwconv', 'dwconv', ('complex_weight',)),
        ('dwconv.dw', 'dwconv.dw', WEIGHT),
        ('dwconv.pre_norm', 'dwconv.pre_norm'),
        ('dwconv.post_norm', 'dwconv.post_norm'),
    ),
    Rule('hornet norm', 'backbone.norm{i}', 'backbone.norm{i}'),
]

_PIXEL, _MM_PIXEL = 'sem_seg_head.pixel_decoder', 'panoptic_head.pixel_decoder'
_PREDICTOR, _MM_DECODER = 'sem_seg_head.predictor', 'panoptic_head.transformer_decoder'
HEAD = [
    *_below(
        'pixel decoder input',
        f'{_PIXEL}.input_proj.{{i}}',
        f'{_MM_PIXEL}.input_convs.{{i}}',
        ('0', 'conv'),
        ('1', 'gn'),
    ),
    *_below(
        'pixel decoder layer',
        f'{_PIXEL}.transformer.encoder.layers.{{i}}',
        f'{_MM_PIXEL}.encoder.layers.{{i}}',
        ('self_attn.sampling_offsets', 'self_attn.sampling_offsets'),
        ('self_attn.attention_weights', 'self_attn.attention_weights'),
        ('self_attn.value_proj', 'self_attn.value_proj'),
        ('self_attn.output_proj', 'self_attn.output_proj'),
        ('norm1', 'norms.0'),
        ('linear1', 'ffn.layers.0.0'),
        ('linear2', 'ffn.layers.1'),
        ('norm2', 'norms.1'),
    ),
    Rule('head', f'{_PIXEL}.transformer', _MM_PIXEL, ('level_embed',), ('level_encoding.weight',)),
    *_below(
        'head',
        _PIXEL,
        _MM_PIXEL,
        ('mask_features', 'mask_feature'),
        ('adapter_1', 'lateral_convs.0.conv', WEIGHT),
        ('adapter_1.norm', 'lateral_convs.0.gn'),
        ('layer_1', 'output_convs.0.conv', WEIGHT),
        ('layer_1.norm', 'output_convs.0.gn'),
    ),
    *_below(
        'decoder layer',
        _PREDICTOR,
        f'{_MM_DECODER}.layers.{{i}}',
        ('transformer_cross_attention_layers.{i}.multihead_attn', 'cross_attn.attn', ATTENTION),
        ('transformer_cross_attention_layers.{i}.norm', 'norms.0'),
        ('transformer_self_attention_layers.{i}.self_attn', 'self_attn.attn', ATTENTION),
        ('transformer_self_attention_layers.{i}.norm', 'norms.1'),
        ('transformer_ffn_layers.{i}.linear1', 'ffn.layers.0.0'),
        ('transformer_ffn_layers.{i}.linear2', 'ffn.layers.1'),
        ('transformer_ffn_layers.{i}.norm', 'norms.2'),
    ),
    *_below(
        'head',
        _PREDICTOR,
        'panoptic_head',
        ('decoder_norm', 'transformer_decoder.post_norm'),
        ('query_feat', 'query_feat', WEIGHT),
        ('query_embed', 'query_embed', WEIGHT),
        ('level_embed', 'level_embed', WEIGHT),
        ('class_embed', 'cls_embed', AFFINE, None, 'class order'),
        ('mask_embed.layers.0', 'mask_embed.0'),
        ('mask_embed.layers.1', 'mask_embed.2'),
        ('mask_embed.layers.2', 'mask_embed.4'),
    ),
]

ASSOCIATION = _below(
    'query association layer',
    f'{_PREDICTOR}.make_3d',
    'panoptic_head.association.layers.{i}',
    ('enc_crosattn_3d.{i}.multihead_attn', 'cross_attn.attn', ATTENTION),
    ('enc_crosattn_3d.{i}.norm', 'norms.0'),
    ('enc_selfattn_3d.{i}.self_attn', 'self_attn.attn', ATTENTION),
    ('enc_selfattn_3d.{i}.norm', 'norms.1'),
    ('enc_ffn_3d.{i}.linear1', 'ffn.layers.0.0'),
    ('enc_ffn_3d.{i}.linear2', 'ffn.layers.1'),
    ('enc_ffn_3d.{i}.norm', 'norms.2'),
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
