"""Draw docs/figures/tracks.jpg: frames of a drawn sequence, with and without tracking.

python docs/figures/tracks.py
"""

from pathlib import Path

import numpy as np
from PIL import Image

from mmentity.preparation.sequences import DrawnSequence, NoisyNetwork, SequenceOptions
from mmentity.structures.palette import colours_of
from mmentity.tracking import EntityTracker, Frame, TrackOptions
from mmentity.visualization.drawing import draw_entities, side_by_side

SHOWN = (40, 46, 52, 58)
OPTIONS = SequenceOptions(seed=1)


def main() -> None:
    """Draw a row of frames by their own ids over a row by those of their tracks."""
    network, tracker = NoisyNetwork(seed=1), EntityTracker(TrackOptions(flow=True))
    own, followed = [], []
    for number, (img, ids) in enumerate(DrawnSequence(OPTIONS)):
        frame = Frame(*network(ids), img)
        tracked = tracker.update(frame)
        if number in SHOWN:
            own.append(draw_entities(img, frame.entities))
            colours = colours_of(np.append(0, tracked.track_ids))
            followed.append(draw_entities(img, frame.entities, colours=colours))
        if number == SHOWN[-1]:
            break
    titles = [f'frame {number}' for number in SHOWN]
    rows = [
        side_by_side(own, [f'{title}, own ids' for title in titles]),
        side_by_side(followed, [f'{title}, tracks' for title in titles]),
    ]
    Image.fromarray(np.vstack(rows)).save(Path(__file__).with_name('tracks.jpg'), quality=85)


if __name__ == '__main__':
    main()
