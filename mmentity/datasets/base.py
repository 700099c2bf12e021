"""The base of all datasets of entities."""

import gc
import pickle
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
import orjson
from mmengine.dataset import BaseDataset, force_full_init
from mmengine.fileio import exists, get

from mmentity.datasets.categories import select_classes
from mmentity.datasets.errors import SampleError
from mmentity.datasets.instances import with_instances
from mmentity.datasets.paths import join_inside


class EntityDataset(BaseDataset):
    """Images whose annotations are read as entities, of one class or of many.

    Where the metainfo has ``category_ids``, the label of an entity is the place of
    its category id among them; otherwise every entity has the label 0, and more
    ``classes`` than one are refused.

    A bad sample (:class:`SampleError`) stops a test; in training another one
    takes its place and carries ``skipped_samples`` in its metainfo, the messages
    that :class:`mmentity.engine.SkippedSamplesHook` counts and
    reports.

    Args:
        ann_file: Annotation file, or several, relative to ``data_root``.
        filter_cfg: ``filter_empty_gt`` (bool) skips images without an entity,
            ``min_size`` (int, px) those with a shorter side; in training only.
        backend_args: Where to read annotation files from, as in mmengine's
            ``fileio``; images are read by the pipeline.
        **kwargs: As in :class:`mmengine.dataset.BaseDataset`.
    """

    ann_file: Union[str, Sequence[str]]
    data_list: list[dict[str, Any]]
    METAINFO: dict[str, Any] = {'classes': ('entity',), 'palette': [(220, 20, 60)]}
    # whether annotations of other classes can be left out
    has_subsets = False

    def __init__(self, *args: Any, backend_args: Optional[dict] = None, **kwargs: Any) -> None:
        self.backend_args = backend_args
        super().__init__(*args, **kwargs)

    @classmethod
    def _load_metainfo(cls, metainfo: Optional[Mapping[str, Any]] = None) -> dict[str, Any]:
        """Complete what a config says of the classes, or refuse it."""
        given, loaded = metainfo or {}, super()._load_metainfo(metainfo)
        classes = tuple(loaded['classes'])
        if 'category_ids' in given:
            if len(given['category_ids']) != len(classes):
                raise ValueError(
                    f'metainfo has {len(classes)} classes and {len(given["category_ids"])} '
                    'category_ids; give the id of each class'
                )
            return loaded
        if classes == tuple(cls.METAINFO['classes']) or (len(classes) == 1 and not cls._table()):
            return loaded
        if cls.has_subsets:
            subset = select_classes(cls.METAINFO, classes)
            return {**loaded, **subset, **{k: loaded[k] for k in given if k != 'classes'}}
        raise ValueError(
            f'metainfo gives {cls.__name__} {len(classes)} classes of its own: '
            + (
                'its maps hold all classes of the task; a subset is possible with '
                'EntitySegInstanceDataset'
                if cls._table()
                else 'its entities are all of one class; take the dataset of a class-aware task, '
                'or give metainfo the category_ids of the classes in the annotation file too'
            )
        )

    @classmethod
    def _table(cls) -> Sequence[int]:
        """Category ids of the task, none where all entities are of one class."""
        return cls.METAINFO.get('category_ids', ())

    def full_init(self) -> None:
        """Load and serialise the index.

        Python's garbage collector would walk through millions of new objects
        again and again, none of which is garbage; without it, a large index
        loads in half the time.
        """
        collects = gc.isenabled()
        gc.disable()
        try:
            super().full_init()
        finally:
            if collects:
                gc.enable()

    @force_full_init
    def __getitem__(self, idx: int) -> dict[str, Any]:
        """Return one sample; in training another one in place of a bad one.

        A transform that returns None, such as mmdet's ``RandomCrop`` where no entity
        is left, asks for another one too, and nothing is wrong with the sample.
        """
        if self.test_mode:
            return self.prepare_data(idx)
        skipped = []
        for _ in range(self.max_refetch + 1):
            try:
                data = self.prepare_data(idx)
            except SampleError as error:
                skipped.append(str(error))
                idx = self._rand_another()
                continue
            if data is None:
                idx = self._rand_another()
                continue
            if skipped:
                data['data_samples'].set_metainfo({'skipped_samples': skipped})
            return data
        last = skipped[-1] if skipped else 'a transform returned None'
        raise SampleError(f'{self.max_refetch + 1} samples in a row are unusable, the last: {last}')

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """Return the annotation of one image.

        Whatever its form, ``instances`` is what mmdet's loaders read: boxes, labels
        and masks, computed when somebody asks for them.
        """
        return with_instances(super().get_data_info(idx))

    def path_of(self, prefix: str, name: str, ann_file: str) -> str:
        """Join a folder of ``data_prefix`` and a file name of an annotation file.

        Args:
            prefix: Key of the folder.
            name: File name below it.
            ann_file: Where the name comes from, for the error message.

        Raises:
            ValueError: If the name is absolute or leads out of the folder.
        """
        try:
            return join_inside(self.data_prefix.get(prefix, ''), name)
        except ValueError as error:
            raise ValueError(f'in annotation file {ann_file} {error}') from error

    def filter_data(self) -> list[dict[str, Any]]:
        """Filter the images as ``filter_cfg`` says.

        Raises:
            ValueError: If no image is left.
        """
        filter_cfg = {} if self.test_mode else self.filter_cfg or {}
        filter_empty = filter_cfg.get('filter_empty_gt', False)
        min_size = filter_cfg.get('min_size', 0)
        kept = [
            info
            for info in self.data_list
            if _short_side(info) >= min_size and not (filter_empty and not self._num_entities(info))
        ]
        if not kept:
            raise ValueError(
                f'of the {len(self.data_list)} images of {self.ann_files} none is left; '
                f'check the files and filter_cfg={filter_cfg}'
            )
        return kept

    def get_cat_ids(self, idx: int) -> list[int]:
        """List the labels of the entities of one image."""
        info = self.get_data_info(idx)
        if 'segments_info' in info:
            return [segment['category'] for segment in info['segments_info']]
        return [instance['bbox_label'] for instance in info['instances']]

    @cached_property
    def cat2label(self) -> Optional[dict[int, int]]:
        """Label of each category id, or None where all entities are of one class."""
        ids = self.metainfo.get('category_ids')
        return (
            None if ids is None else {category_id: label for label, category_id in enumerate(ids)}
        )

    def is_chosen(self, category_id: int) -> bool:
        """Whether a category is not one of the task that the metainfo leaves out."""
        if self.cat2label is None or category_id in self.cat2label:
            return True
        return category_id not in self._table()

    def label_of(self, category_id: int, ann_file: str, image_id: int) -> int:
        """Look up the label of one annotation.

        Args:
            category_id: Id in the annotation file.
            ann_file: That file, for the error message.
            image_id: Image of the annotation, likewise.

        Raises:
            ValueError: If the category is not in the table of the dataset.
        """
        if self.cat2label is None:
            return 0
        if category_id not in self.cat2label:
            raise ValueError(
                f'annotation file {ann_file} gives image {image_id} the category id {category_id}, '
                f'which is none of the {len(self.cat2label)} of {type(self).__name__}; take the '
                'annotation file of this task, or correct the id'
            )
        return self.cat2label[category_id]

    @staticmethod
    def _num_entities(info: dict[str, Any]) -> int:
        return len(info['segments_info'] if 'segments_info' in info else info['instances'])

    def _serialize_data(self) -> tuple[np.ndarray, np.ndarray]:
        """Serialise as mmengine does, freeing each sample at once."""
        samples, self.data_list = self.data_list, []
        samples.reverse()
        parts = []
        while samples:
            parts.append(pickle.dumps(samples.pop(), protocol=4))
        data_address = np.cumsum([len(part) for part in parts], dtype=np.int64)
        data_bytes = np.empty(data_address[-1], dtype=np.uint8)
        for k, end in enumerate(data_address):
            data_bytes[end - len(parts[k]) : end] = np.frombuffer(parts[k], dtype=np.uint8)
            parts[k] = b''
        return data_bytes, data_address

    def _join_prefix(self) -> None:
        """Join annotation files, of which there may be several, with the root."""
        ann_file = self.ann_file
        self.ann_file = ''
        super()._join_prefix()
        files = [ann_file] if isinstance(ann_file, str) else list(ann_file)
        self.ann_files = [str(Path(self.data_root or '') / file) for file in files if file]
        self.ann_file = self.ann_files[0] if self.ann_files else ''


def _short_side(info: dict[str, Any]) -> float:
    """Short side in px; of an image whose size is not known, without bound."""
    sides = (info['height'], info['width'])
    return float('inf') if None in sides else min(sides)


def load_annotations(
    path: str, needed: Sequence[str], backend_args: Optional[dict] = None
) -> dict[str, Any]:
    """Load one COCO json.

    Args:
        path: The file.
        needed: Keys that it must have.
        backend_args: Where to read from, as in mmengine's ``fileio``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not json, or lacks a key.
    """
    if not exists(path, backend_args=backend_args):
        raise FileNotFoundError(
            f'annotation file {path} does not exist; check data_root and ann_file'
        )
    try:
        content = orjson.loads(get(path, backend_args=backend_args))
    except ValueError as error:
        raise ValueError(f'annotation file {path} is not a complete json file ({error})') from error
    missing = [key for key in needed if key not in content]
    if missing:
        raise ValueError(f'annotation file {path} has no {missing[0]!r}; is it of another task?')
    return content


def make_image_ids_unique(data_list: list[dict[str, Any]]) -> None:
    """Number images anew, in place, where several files use the same ids.

    The id of the annotation file stays as ``ann_img_id``.
    """
    ids = [info['img_id'] for info in data_list]
    repeats = len(np.unique(ids)) < len(ids)
    for number, info in enumerate(data_list, start=1):
        info['ann_img_id'] = info['img_id']
        if repeats:
            info['img_id'] = number
