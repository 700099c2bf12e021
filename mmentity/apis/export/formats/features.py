"""Files of features: the row of each written entity, as numpy arrays or as a table of parquet."""

import importlib.util
import io
from typing import Any

import numpy as np

from mmentity.apis.export.numbering import NumberedResult
from mmentity.apis.export.options import OutputOptions
from mmentity.apis.per_entity import EntityFeatures


def check_feature_formats(outputs: OutputOptions, has_features: bool) -> None:
    """Check what files of features need, before the work.

    Raises:
        ImportError: If pyarrow is not installed and parquet is asked for.
        ValueError: If features are to be written and the model is not asked for them.
    """
    if outputs.needs_features and not has_features:
        raise ValueError(
            'features are to be written, but the model is not asked for them; build it as '
            'EntityInferencer(..., features=True)'
        )
    if 'parquet' in outputs.formats and importlib.util.find_spec('pyarrow') is None:
        raise ImportError(
            'the format parquet needs pyarrow, which is not installed; run: '
            'pip install "mmentity[parquet]", or write the format features'
        )


def encode_features(numbered: NumberedResult) -> bytes:
    """Encode ``pooled`` and ``query``, ``ids``, ``scores``, ``labels``, ``boxes_xyxy``, ``areas``.

    With names ``names`` and ``name_scores`` too. Row k of every array is the entity ``ids[k]``.
    """
    result, features = numbered.result, _features_of(numbered)
    arrays: dict[str, Any] = {
        'ids': numbered.ids,
        'scores': result.scores,
        'labels': result.labels,
        'boxes_xyxy': result.boxes_xyxy_px,
        'areas': result.areas,
        'pooled': features.pooled,
        'query': features.query,
    }
    if result.naming is not None:
        # of their own width, so that numpy reads them without pickle
        arrays.update(names=result.naming.names.astype(str), name_scores=result.naming.scores)
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def encode_parquet(numbered: NumberedResult) -> bytes:
    """Encode one row for each entity, so that the files of a folder are one table.

    Columns: ``image`` (its name), ``id``, ``score``, ``label``, ``x0``, ``y0``, ``x1``, ``y1``
    (px), ``area``, ``pooled`` and ``query`` (lists of fixed length), and with names ``name``
    and ``name_score``.
    """
    import pyarrow as pa
    from pyarrow import parquet

    result, features = numbered.result, _features_of(numbered)
    columns: dict[str, Any] = {
        'image': pa.array([result.name] * len(result), pa.string()),
        'id': numbered.ids,
        'score': result.scores,
        'label': result.labels,
        **dict(zip(('x0', 'y0', 'x1', 'y1'), np.ascontiguousarray(result.boxes_xyxy_px.T))),
        'area': result.areas,
    }
    for name in ('pooled', 'query'):
        table = getattr(features, name)
        values = pa.array(table.ravel(), pa.float32())
        columns[name] = pa.FixedSizeListArray.from_arrays(values, table.shape[1])
    if result.naming is not None:
        columns['name'] = pa.array(result.naming.names.tolist(), pa.string())
        columns['name_score'] = result.naming.scores
    stream = io.BytesIO()
    parquet.write_table(pa.table(columns), stream)
    return stream.getvalue()


def _features_of(numbered: NumberedResult) -> EntityFeatures:
    features = numbered.result.features
    if features is None:
        raise ValueError(
            f'{numbered.result.name} has no features; predict it with '
            'EntityInferencer(..., features=True)'
        )
    return features
