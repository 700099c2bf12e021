"""What a user of mmdet and mmseg does: the table of uses, and the test of each.

A use that is impossible says why; where a test shows that it is, it is named too.
"""

import ast
from typing import NamedTuple

import pytest

from tests.conftest import ROOT


class Use(NamedTuple):
    """One use.

    Attributes:
        what: What is done.
        tests: ``file::test`` below ``tests/``, one or more.
        impossible: Why not, where it is.
    """

    what: str
    tests: str
    impossible: str = ''


RUNNING, DATA = 'uses/test_running.py', 'uses/test_data.py'
INFERENCE, SCORING, ERRORS = (f'uses/test_{name}.py' for name in ('inference', 'scoring', 'errors'))
TOOLS = 'cli/test_tools.py'
USES = {
    1: Use('mim train mmentity, mim train mmdet', f'{RUNNING}::test_01_mim_train'),
    2: Use(
        'mim test, --out, --show-dir', f'{SCORING}::test_02_both_test_tools_give_the_same_metrics'
    ),
    3: Use('test.py --out of every task', f'{SCORING}::test_03_out_holds_every_prediction'),
    4: Use(
        'mmdet test.py --out: semantic, panoptic', f'{SCORING}::test_04_05_mmdet_dumps_every_task'
    ),
    5: Use('mmdet test.py --out: instance', f'{SCORING}::test_04_05_mmdet_dumps_every_task'),
    6: Use('--resume of both tools', f'{RUNNING}::test_06_resume_with_another_number_of_workers'),
    7: Use(
        '--amp on a CPU',
        f'{TOOLS}::test_amp_trains_on_the_cpu cli/test_runs.py::test_float16_needs_a_gpu',
        "mmdet's train.py: mmengine's AmpOptimWrapper asks for a GPU",
    ),
    8: Use('--auto-scale-lr', f'{RUNNING}::test_08_auto_scale_lr_without_a_base_batch_size'),
    9: Use('--tta', f'{RUNNING}::TestFlippedCopies {RUNNING}::test_09_tta_of_other_tasks'),
    10: Use(
        'two processes train and test',
        f'{TOOLS}::test_two_processes_train {TOOLS}::test_two_processes_test_alike '
        f'{RUNNING}::test_10_two_processes',
    ),
    11: Use(
        "two processes of mmdet's test.py on CPUs",
        f'{RUNNING}::test_11_processes_of_mmdets_tools_need_a_gpu',
        'mmengine gives every process a GPU before it asks for the backend',
    ),
    12: Use('init_detector', f'{INFERENCE}::test_every_way_and_checkpoint_gives_the_same_id_map'),
    13: Use(
        'inference_detector', f'{INFERENCE}::test_13_inference_detector_of_path_list_and_array'
    ),
    14: Use(
        'DetInferencer, MMSegInferencer',
        f'{INFERENCE}::test_14_det_inferencer_writes_predictions_and_drawings '
        f'{INFERENCE}::test_14_mmseg_inferencer_with_the_semantic_config',
    ),
    15: Use(
        'EntityVisualizer, DetLocalVisualizer',
        f'{INFERENCE}::test_15_visualizer_draws_as_mmdet_s '
        f'{INFERENCE}::test_15_mmdet_s_visualizer_draws_masks_of_rle_as_those_of_bool',
    ),
    16: Use('mmdet get_flops', f'{SCORING}::TestFlops'),
    17: Use('mmentity get_flops', f'{SCORING}::TestFlops'),
    18: Use('get_model_complexity_info', f'{SCORING}::TestFlops'),
    19: Use(
        'browse_dataset',
        f'{SCORING}::test_19_browse_and_stats',
        "mmdet's draws one image of three channels, a sample of ours has views; mmentity browse",
    ),
    20: Use('analyze_logs', f'{SCORING}::test_20_analyze_logs_of_mmdet'),
    21: Use('mmdet eval_metric', f'{SCORING}::test_21_eval_metric_scores_both_pickles'),
    22: Use(
        'analyze_results',
        f'{SCORING}::test_22_analyze_results_draws_the_best_and_the_worst '
        f'{SCORING}::test_22_analyze_results_of_mmdet_asks_for_its_loaders',
        "mmdet's asks for loaders of its own; mmentity analyze-results",
    ),
    23: Use(
        "mmdet's Mask2Former trains on our data",
        f'{RUNNING}::test_23_24_train_and_test_a_model_of_mmdet',
    ),
    24: Use('that model is tested', f'{RUNNING}::test_23_24_train_and_test_a_model_of_mmdet'),
    25: Use(
        'Mask R-CNN on EntitySegDataset',
        f'{DATA}::test_25_26_mask_rcnn_trains_on_our_datasets {SCORING}::TestForeignDetector',
    ),
    26: Use(
        'Mask R-CNN on EntityFolderDataset', f'{DATA}::test_26_mask_rcnn_trains_on_entity_maps'
    ),
    27: Use('CropFormer on CocoDataset', f'{DATA}::test_27_28_cropformer_on_mmdets_coco_datasets'),
    28: Use(
        'CropFormer on CocoPanopticDataset',
        f'{DATA}::test_27_28_cropformer_on_mmdets_coco_datasets '
        f'{DATA}::test_28_crowds_of_mmdets_panoptic_dataset',
    ),
    29: Use('transforms of mmdet among ours', f'{DATA}::test_29_mmdet_transforms_among_ours'),
    30: Use('PackDetInputs', f'{ERRORS}::test_30_mmdet_pipeline_names_the_packing_step'),
    31: Use(
        'DetDataPreprocessor',
        f'{ERRORS}::test_31_the_data_preprocessor_of_mmdet_is_refused_at_build',
    ),
    32: Use('other backbones', f'{RUNNING}::test_32_other_backbones'),
    33: Use('wrong in_channels', f'{ERRORS}::test_33_wrong_in_channels'),
    34: Use('three type lines', f'{RUNNING}::test_34_three_type_lines'),
    35: Use('models of mmseg', f'{RUNNING}::test_35_segformer'),
    36: Use('Repeat, Concat, ClassBalanced', f'{RUNNING}::test_36_wrapped_datasets'),
    37: Use(
        'TensorBoard; WandB absent',
        f'{RUNNING}::test_37_tensorboard {RUNNING}::test_37_wandb_that_is_not_installed_is_named',
    ),
    38: Use('EMA, EarlyStopping, accumulation', f'{RUNNING}::test_38_own_hooks_and_accumulation'),
    39: Use('epochs', f'{RUNNING}::test_39_epochs'),
    40: Use('compile', f'{RUNNING}::test_40_compiled_training'),
    41: Use(
        'FlexibleRunner',
        f'{RUNNING}::test_41_flexible_runner_on_one_device '
        f'{RUNNING}::test_41_42_fsdp_trains_as_ddp',
    ),
    42: Use(
        'FSDP',
        f'{RUNNING}::test_41_42_fsdp_trains_as_ddp {RUNNING}::test_42_fsdp_is_not_resumed_on_cpus',
        'it trains, but is not resumed on CPUs: PyTorch gathers the moments of Adam wrongly there',
    ),
    43: Use(
        'SIGKILL and resume',
        f'{TOOLS}::test_sigkill_and_resume '
        f'{ERRORS}::test_43_a_killed_save_leaves_a_partial_file_and_the_next_start_resumes',
    ),
    44: Use('truncated, missing, wrong checkpoint', f'{ERRORS}::test_44_unusable_checkpoints'),
    45: Use('linked folders', f'{DATA}::test_45_linked_folders'),
    46: Use('linked files and subfolders', f'{DATA}::test_46_linked_files_and_subfolders'),
    47: Use(
        'mim search, gridsearch; the built wheel',
        f'test_zoo.py::test_mim_search_lists_every_config {RUNNING}::test_47_mim_gridsearch '
        'test_package.py::test_the_wheel_carries_configs_tools_and_tables',
    ),
    48: Use(
        'mim download',
        f'{RUNNING}::test_48_mim_download_has_no_weights_to_fetch',
        'mim fetches what the packages of OpenMMLab host, and asks for weights with every config',
    ),
    49: Use('mim install mmentity', '', 'mmentity is on no index yet'),
    50: Use("_base_ = 'mmentity::...'", f'{RUNNING}::TestWithoutAClone'),
    51: Use(
        'steps of docs/your_own_data.md',
        'test_your_own_data_page.py::test_from_a_folder_to_a_trained_model',
    ),
    52: Use('weights there and back', 'checkpoints/test_families.py::test_round_trip'),
}


def names_in(name):
    """Names of the tests and the classes of tests of a file."""
    tree = ast.parse((ROOT / 'tests' / name).read_text(encoding='utf-8'))
    return {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}


def test_every_use_is_in_the_table():
    assert list(USES) == list(range(1, 53))


@pytest.mark.parametrize('number', USES)
def test_every_use_has_its_test_or_a_reason(number):
    use = USES[number]
    assert use.tests or use.impossible
    for test in use.tests.split():
        file, name = test.split('::')
        assert name in names_in(file)
