"""Convert COCO panoptic annotations to a COCO-Entity json for pretraining.

Every segment, thing or stuff, becomes one entity; crowd segments are left out.
"""

import argparse
import sys

from mmentity.preparation.coco_entity import convert_coco_panoptic
from mmentity.preparation.parallel import default_workers


def main() -> int:
    """Convert and tell what came out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('ann_file', help='COCO panoptic json')
    parser.add_argument('seg_dir', help='folder of its PNGs')
    parser.add_argument('out', help='json to write')
    parser.add_argument(
        '--workers', type=int, default=default_workers(), help='processes (default: all cores)'
    )
    args = parser.parse_args()
    try:
        report = convert_coco_panoptic(args.ann_file, args.seg_dir, args.out, args.workers)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print(
        f'{args.out}: {report.entities} entities of {report.pictures} pictures, '
        f'{report.crowds} crowd segments left out'
    )
    print('\n'.join(report.faults), end='\n' if report.faults else '', file=sys.stderr)
    return int(bool(report.faults))


if __name__ == '__main__':
    sys.exit(main())
