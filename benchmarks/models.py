"""One image through every architecture that the authors have released for entities.

python benchmarks/models.py, then python docs/zoo.py

From an array of 1000 x 1333 px to its entity map, with random weights; the network sees
views of 800 x 1066 px, five of them for CropFormer. Peak memory is that of the process above
the model.
"""

import numpy as np
from measuring import measure, run
from scenes import photograph

from mmentity.apis import EntityInferencer

SIZE = (1000, 1333)
MODELS = [
    f'{kind}_{backbone}_3x'
    for kind in ('mask2former', 'cropformer')
    for backbone in ('swin-t', 'swin-l', 'hornet-l')
]


def measure_case(case: dict) -> dict:
    """Predict one image, without the first time."""
    inferencer = EntityInferencer(case['model'], device='cpu', show_progress=False)
    img = np.ascontiguousarray(photograph(*SIZE)[..., ::-1])
    return measure(lambda: inferencer.predict(img, keep_image=False), case.get('repeat', 3))


CASES = [{'model': name} for name in MODELS]

if __name__ == '__main__':
    run(__file__, CASES, measure_case, 'models')
