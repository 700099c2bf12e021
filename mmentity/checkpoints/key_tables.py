"""Where each weight of the official release (Detectron2), and of transformers, is in mmentity.

A line at the margin begins a family of weights that come together: where one of
them appears for some numbers, all of them must. It gives what their names begin
with in the other project, then in mmentity; the lines below it give the rest. What is
the same on both sides stands there once. ``{i}`` stands for a number that is kept,
``*`` for ``weight`` and ``bias``. A family with ``-`` for a side has no counterpart
there and is dropped, for the reason that its name gives. ``[0]``, ``[1]`` and ``[2]`` are the
thirds of a weight that holds queries, keys and values one below the other.
"""

import re
from typing import Literal, NamedTuple

# The sides of the tables, which serve both directions; one of them is always mmentity.
Side = Literal['detectron2', 'mmentity', 'transformers']


class Rule(NamedTuple):
    """Templates of the name of one weight by side."""

    family: str
    names: dict[Side, str]


def _rules(table: str, project: Side = 'detectron2') -> list[Rule]:
    rules = []
    for line in table.strip().splitlines():
        columns = re.split(' {2,}', line.strip())
        if not line.startswith(' '):
            family, *prefixes = columns
            continue
        theirs: tuple[Side, str, str] = (project, prefixes[0], columns[0])
        ours: tuple[Side, str, str] = ('mmentity', prefixes[-1], columns[-1])
        sides = [side for side in (theirs, ours) if side[1] != '-']
        for leaf in ('weight', 'bias') if '*' in columns[0] else ('',):
            names = {side: f'{prefix}{name}'.replace('*', leaf) for side, prefix, name in sides}
            rules.append(Rule(family, names))
    return rules


BACKBONE_RULES = {
    'swin': _rules("""
swin stem  backbone.patch_embed.
    proj.*                             projection.*
    norm.*
swin block  backbone.layers.{i}.blocks.{j}.  backbone.stages.{i}.blocks.{j}.
    norm1.*
    attn.qkv.*                         attn.w_msa.qkv.*
    attn.proj.*                        attn.w_msa.proj.*
    attn.relative_position_bias_table  attn.w_msa.relative_position_bias_table
    norm2.*
    mlp.fc1.*                          ffn.layers.0.0.*
    mlp.fc2.*                          ffn.layers.1.*
swin merging  backbone.layers.{i}.downsample.  backbone.stages.{i}.downsample.
    reduction.weight
    norm.*
swin norm  backbone.
    norm{i}.*
"""),
    'hornet': _rules("""
hornet downsampling  backbone.downsample_layers.{i}.
    {j}.*
hornet block  backbone.stages.{i}.{j}.
    gamma1                             gamma1.weight
    gamma2                             gamma2.weight
    norm1.*
    gnconv.proj_in.*
    gnconv.proj_out.*
    norm2.*
    pwconv1.*
    pwconv2.*
hornet gate  backbone.stages.{i}.{j}.gnconv.
    pws.{k}.*                          projs.{k}.*
hornet depthwise convolution  backbone.stages.{i}.{j}.gnconv.
    dwconv.*
hornet global filter  backbone.stages.{i}.{j}.gnconv.dwconv.
    complex_weight
    dw.weight
    pre_norm.*
    post_norm.*
hornet norm  backbone.
    norm{i}.*
"""),
}

HEAD_RULES = _rules("""
pixel decoder input  sem_seg_head.pixel_decoder.  panoptic_head.pixel_decoder.
    input_proj.{i}.0.*                 input_convs.{i}.conv.*
    input_proj.{i}.1.*                 input_convs.{i}.gn.*
pixel decoder layer  sem_seg_head.pixel_decoder.transformer.  panoptic_head.pixel_decoder.
    encoder.layers.{i}.self_attn.sampling_offsets.*
    encoder.layers.{i}.self_attn.attention_weights.*
    encoder.layers.{i}.self_attn.value_proj.*
    encoder.layers.{i}.self_attn.output_proj.*
    encoder.layers.{i}.norm1.*         encoder.layers.{i}.norms.0.*
    encoder.layers.{i}.linear1.*       encoder.layers.{i}.ffn.layers.0.0.*
    encoder.layers.{i}.linear2.*       encoder.layers.{i}.ffn.layers.1.*
    encoder.layers.{i}.norm2.*         encoder.layers.{i}.norms.1.*
head  sem_seg_head.pixel_decoder.  panoptic_head.pixel_decoder.
    transformer.level_embed            level_encoding.weight
    mask_features.*                    mask_feature.*
    adapter_1.weight                   lateral_convs.0.conv.weight
    adapter_1.norm.*                   lateral_convs.0.gn.*
    layer_1.weight                     output_convs.0.conv.weight
    layer_1.norm.*                     output_convs.0.gn.*
decoder layer  sem_seg_head.predictor.  panoptic_head.transformer_decoder.layers.{i}.
    transformer_cross_attention_layers.{i}.multihead_attn.in_proj_*   cross_attn.attn.in_proj_*
    transformer_cross_attention_layers.{i}.multihead_attn.out_proj.*  cross_attn.attn.out_proj.*
    transformer_cross_attention_layers.{i}.norm.*                     norms.0.*
    transformer_self_attention_layers.{i}.self_attn.in_proj_*         self_attn.attn.in_proj_*
    transformer_self_attention_layers.{i}.self_attn.out_proj.*        self_attn.attn.out_proj.*
    transformer_self_attention_layers.{i}.norm.*                      norms.1.*
    transformer_ffn_layers.{i}.linear1.*                              ffn.layers.0.0.*
    transformer_ffn_layers.{i}.linear2.*                              ffn.layers.1.*
    transformer_ffn_layers.{i}.norm.*                                 norms.2.*
head  sem_seg_head.predictor.  panoptic_head.
    decoder_norm.*                     transformer_decoder.post_norm.*
    query_feat.weight
    query_embed.weight
    level_embed.weight
    mask_embed.layers.0.*              mask_embed.0.*
    mask_embed.layers.1.*              mask_embed.2.*
    mask_embed.layers.2.*              mask_embed.4.*
classes  sem_seg_head.predictor.  panoptic_head.
    class_embed.*                      cls_embed.*
query association layer  sem_seg_head.predictor.make_3d.  panoptic_head.association.layers.{i}.
    enc_crosattn_3d.{i}.multihead_attn.in_proj_*   cross_attn.attn.in_proj_*
    enc_crosattn_3d.{i}.multihead_attn.out_proj.*  cross_attn.attn.out_proj.*
    enc_crosattn_3d.{i}.norm.*                     norms.0.*
    enc_selfattn_3d.{i}.self_attn.in_proj_*        self_attn.attn.in_proj_*
    enc_selfattn_3d.{i}.self_attn.out_proj.*       self_attn.attn.out_proj.*
    enc_selfattn_3d.{i}.norm.*                     norms.1.*
    enc_ffn_3d.{i}.linear1.*                       ffn.layers.0.0.*
    enc_ffn_3d.{i}.linear2.*                       ffn.layers.1.*
    enc_ffn_3d.{i}.norm.*                          norms.2.*
""")
CONSTANT_RULES = _rules("""
a constant of the architecture, made anew  backbone.layers.{i}.blocks.{j}.  -
    attn.relative_position_index
    attn_mask
a constant of the architecture, made anew  -  backbone.stages.{i}.blocks.{j}.attn.w_msa.
    relative_position_index
class weights of the loss, set by the config  criterion  -
    .empty_weight
    _2d.empty_weight
    _3d.empty_weight
mean and deviation of pixels, set by the config  pixel_  -
    mean
    std
""")
CLASSIFIER_RULES = _rules("""
last norm of the classifier of ImageNet  backbone.norm.  -
    *
last norm of the classifier of ImageNet  -  backbone.norm3.
    *
classifier of ImageNet  backbone.head.  -
    *
classifier of ImageNet  -  head.fc.
    *
""")

# Names in the files of Mask2FormerForUniversalSegmentation, which transformers 4 and 5 share.
TRANSFORMERS = _rules(
    """
a constant of the architecture, made anew  PIXEL.encoder.encoder.layers.{i}.blocks.{j}.  -
    attention.self.relative_position_index
a constant of the architecture, made anew  -  backbone.stages.{i}.blocks.{j}.attn.w_msa.
    relative_position_index
norm that the segmentation model does not use  PIXEL.encoder.swin.layernorm.  -
    *
class weights of the loss, set by the config  criterion.  -
    empty_weight
swin stem  PIXEL.encoder.embeddings.  backbone.patch_embed.
    patch_embeddings.projection.*                 projection.*
    norm.*
swin block  PIXEL.encoder.encoder.layers.{i}.blocks.{j}.  backbone.stages.{i}.blocks.{j}.
    layernorm_before.*                            norm1.*
    attention.self.query.*                        attn.w_msa.qkv.*[0]
    attention.self.key.*                          attn.w_msa.qkv.*[1]
    attention.self.value.*                        attn.w_msa.qkv.*[2]
    attention.self.relative_position_bias_table   attn.w_msa.relative_position_bias_table
    attention.output.dense.*                      attn.w_msa.proj.*
    layernorm_after.*                             norm2.*
    intermediate.dense.*                          ffn.layers.0.0.*
    output.dense.*                                ffn.layers.1.*
swin merging  PIXEL.encoder.encoder.layers.{i}.downsample.  backbone.stages.{i}.downsample.
    reduction.weight
    norm.*
swin norm  PIXEL.encoder.hidden_states_norms.  backbone.
    stage1.*                                      norm0.*
    stage2.*                                      norm1.*
    stage3.*                                      norm2.*
    stage4.*                                      norm3.*
pixel decoder input  PIXEL.decoder.  panoptic_head.pixel_decoder.
    input_projections.{i}.0.*                     input_convs.{i}.conv.*
    input_projections.{i}.1.*                     input_convs.{i}.gn.*
pixel decoder layer  PIXEL.decoder.encoder.  panoptic_head.pixel_decoder.encoder.
    layers.{i}.self_attn.sampling_offsets.*
    layers.{i}.self_attn.attention_weights.*
    layers.{i}.self_attn.value_proj.*
    layers.{i}.self_attn.output_proj.*
    layers.{i}.self_attn_layer_norm.*              layers.{i}.norms.0.*
    layers.{i}.fc1.*                               layers.{i}.ffn.layers.0.0.*
    layers.{i}.fc2.*                               layers.{i}.ffn.layers.1.*
    layers.{i}.final_layer_norm.*                  layers.{i}.norms.1.*
head  PIXEL.decoder.  panoptic_head.pixel_decoder.
    level_embed                                   level_encoding.weight
    mask_projection.*                             mask_feature.*
    adapter_1.0.weight                            lateral_convs.0.conv.weight
    adapter_1.1.*                                 lateral_convs.0.gn.*
    layer_1.0.weight                              output_convs.0.conv.weight
    layer_1.1.*                                   output_convs.0.gn.*
decoder layer  QUERY.decoder.layers.{i}.  panoptic_head.transformer_decoder.layers.{i}.
    cross_attn.in_proj_*                          cross_attn.attn.in_proj_*
    cross_attn.out_proj.*                         cross_attn.attn.out_proj.*
    cross_attn_layer_norm.*                       norms.0.*
    self_attn.q_proj.*                            self_attn.attn.in_proj_*[0]
    self_attn.k_proj.*                            self_attn.attn.in_proj_*[1]
    self_attn.v_proj.*                            self_attn.attn.in_proj_*[2]
    self_attn.out_proj.*                          self_attn.attn.out_proj.*
    self_attn_layer_norm.*                        norms.1.*
    fc1.*                                         ffn.layers.0.0.*
    fc2.*                                         ffn.layers.1.*
    final_layer_norm.*                            norms.2.*
head  QUERY.  panoptic_head.
    decoder.layernorm.*                           transformer_decoder.post_norm.*
    queries_features.weight                       query_feat.weight
    queries_embedder.weight                       query_embed.weight
    level_embed.weight
    decoder.mask_predictor.mask_embedder.0.0.*    mask_embed.0.*
    decoder.mask_predictor.mask_embedder.1.0.*    mask_embed.2.*
    decoder.mask_predictor.mask_embedder.2.0.*    mask_embed.4.*
head  class_predictor.  panoptic_head.cls_embed.
    *
""".replace('PIXEL', 'model.pixel_level_module').replace('QUERY', 'model.transformer_module'),
    'transformers',
)

# By the type of the backbone; the first rule that a name follows counts.
MODELS = {name: [*CONSTANT_RULES, *rules, *HEAD_RULES] for name, rules in BACKBONE_RULES.items()}
BACKBONES = {
    name: [*CONSTANT_RULES, *CLASSIFIER_RULES, *rules] for name, rules in BACKBONE_RULES.items()
}

# Names of older official files, to today's.
_PREDICTOR = 'sem_seg_head.predictor'
RENAMED = {f'{_PREDICTOR}.static_query.weight': f'{_PREDICTOR}.query_feat.weight'}
