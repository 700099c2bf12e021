"""HOTA and id switches of tracked sequences, by TrackEval."""

from dataclasses import dataclass, field
from importlib.util import find_spec

import numpy as np

from mmentity.structures import EntityMap


@dataclass
class TrackingScore:
    """Score the ids of one sequence against known ones, frame by frame.

    Overlaps come from the joint histogram of the two maps, matching and accumulation
    (HOTA, Luiten et al., 2021; CLEAR MOT) are TrackEval's. Only tables are kept of a frame.

    Raises:
        ImportError: If TrackEval is not installed.

    Examples:
        >>> score = TrackingScore()
        >>> score.add(tracked.id_map, ground_truth)
        >>> score.compute()['HOTA']
    """

    _ids: dict[str, list[np.ndarray]] = field(
        default_factory=lambda: {'gt': [], 'tracker': [], 'similarity': []}
    )

    def __post_init__(self) -> None:
        if find_spec('trackeval') is None:
            raise ImportError(
                'HOTA needs the package trackeval; run: pip install --no-deps trackeval tabulate'
            )

    def add(self, tracked: np.ndarray, ground_truth: np.ndarray) -> None:
        """Add a frame.

        Args:
            tracked: Id of each pixel, integers ``(H, W)``, 0 = no entity.
            ground_truth: The same with the known ids.

        Raises:
            ValueError: If the maps differ in size.
        """
        truth, found = (EntityMap.from_id_map(ids) for ids in (ground_truth, tracked))
        shared = truth.intersections(found)
        union = truth.areas[:, None] + found.areas - shared
        self._ids['gt'].append(np.setdiff1d(ground_truth, [0]))
        self._ids['tracker'].append(np.setdiff1d(tracked, [0]))
        self._ids['similarity'].append(shared / np.maximum(union, 1))

    def compute(self) -> dict[str, float]:
        """Return the metrics of the sequence.

        Returns:
            ``HOTA``, ``DetA`` and ``AssA``, in percent, means over IoU thresholds from 0.05 to
            0.95; ``IDSW``, id switches, and ``MOTA`` in percent, both at an IoU of 0.5.
        """
        from trackeval.metrics import CLEAR, HOTA

        gt, tracker = (_consecutive(self._ids[key]) for key in ('gt', 'tracker'))
        data = {
            'gt_ids': gt,
            'tracker_ids': tracker,
            'similarity_scores': self._ids['similarity'],
            'num_timesteps': len(gt),
            **_counts('gt', gt),
            **_counts('tracker', tracker),
        }
        # as a call of the wrapped functions, whose times TrackEval would print
        hota = HOTA().eval_sequence(data)
        clear = CLEAR({'PRINT_CONFIG': False}).eval_sequence(data)
        metrics = {key: 100 * float(np.mean(hota[key])) for key in ('HOTA', 'DetA', 'AssA')}
        return {**metrics, 'IDSW': float(clear['IDSW']), 'MOTA': 100 * float(clear['MOTA'])}


def _consecutive(ids: list[np.ndarray]) -> list[np.ndarray]:
    """Number the ids of all frames from 0."""
    known = np.unique(np.concatenate([*ids, np.zeros(0, np.int64)]))
    return [np.searchsorted(known, of_frame) for of_frame in ids]


def _counts(name: str, ids: list[np.ndarray]) -> dict[str, int]:
    known = np.concatenate([*ids, np.zeros(0, np.int64)])
    return {f'num_{name}_ids': len(np.unique(known)), f'num_{name}_dets': len(known)}
