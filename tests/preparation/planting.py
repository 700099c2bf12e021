"""Faults planted into a copy of EntitySeg, one image each, so that none hides another."""

import copy
import json
import shutil
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as mask_utils

ENTITY = 'annotations/entity_segmentation'
TRAIN = f'{ENTITY}/entityv2_010203_entity_train.json'
VAL = f'{ENTITY}/entityv2_010203_entity_val.json'
PANOPTIC = 'annotations/panoptic_segmentation/entityv2_01_panoptic_train.json'
SEMANTIC = 'annotations/semantic_segmentation/train.txt'
PANOPTIC_MAPS = 'annotations/panoptic_segmentation/panoptic_maps_train'
SEMANTIC_MAPS = 'annotations/semantic_segmentation/semantic_maps_train'


class Planter:
    """Plants faults into the merged files of a root and remembers where.

    Attributes:
        planted: Kind of each fault and what the check must name.
    """

    def __init__(self, root):
        self.root = Path(root)
        self.train = json.loads((self.root / TRAIN).read_text())
        self.val = json.loads((self.root / VAL).read_text())
        # class-aware annotations are of folder 01 and have faults of their own
        self.unused = [
            image['id']
            for image in self.train['images']
            if not image['file_name'].startswith('entity_01')
        ]
        self.panoptic = json.loads((self.root / PANOPTIC).read_text())
        self.pairs = (self.root / SEMANTIC).read_text().splitlines()
        self.unused_maps = list(range(len(self.pairs)))
        self.images = {image['id']: image for image in self.train['images']}
        self.annotations = {}
        for annotation in self.train['annotations']:
            self.annotations.setdefault(annotation['image_id'], []).append(annotation)
        self.next_id = 10**6
        self.planted = []

    def plant(self, kind):
        """Plant one fault of a kind into an image of its own."""
        if kind in MAP_FAULTS:
            number = self.unused_maps.pop()
            self.planted.append((kind, MAP_FAULTS[kind](self, number)))
            return
        image = self.images[self.unused.pop()]
        rows = sorted(self.annotations[image['id']], key=lambda row: row['area'])
        item = FAULTS[kind](self, image, rows)
        self.planted.append((kind, item or image['file_name']))

    def write(self):
        for name, content in ((TRAIN, self.train), (VAL, self.val)):
            (self.root / name).write_text(json.dumps(content))
        (self.root / PANOPTIC).write_text(json.dumps(self.panoptic))
        (self.root / SEMANTIC).write_text('\n'.join(self.pairs))

    def image_path(self, image):
        return self.root / 'images' / image['file_name']

    def new_id(self):
        self.next_id += 1
        return self.next_id

    def add(self, content, row, **changes):
        row = {**copy.deepcopy(row), 'id': self.new_id(), **changes}
        content['annotations'].append(row)
        return row

    def remove(self, rows):
        gone = {row['id'] for row in rows}
        self.train['annotations'] = [r for r in self.train['annotations'] if r['id'] not in gone]


def encoded(mask):
    rle = mask_utils.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {'size': rle['size'], 'counts': rle['counts'].decode()}


def unsafe_path(planter, image, rows):
    planter.image_path(image).unlink()
    number = len(planter.planted)
    tricks = ('../images/x.jpg', '/etc/passwd', 'C:\\x.jpg', 'a\\..\\..\\x.jpg')
    trick = tricks[number % len(tricks)]
    trick = trick.replace('x', f'x{number}').replace('passwd', f'passwd{number}')
    image['file_name'] = trick


def missing_image(planter, image, rows):
    planter.image_path(image).unlink()


def bad_image(planter, image, rows):
    path = planter.image_path(image)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def image_size(planter, image, rows):
    Image.new('RGB', (image['width'] // 2, image['height'] // 2)).save(planter.image_path(image))


def unlisted_image(planter, image, rows):
    name = f'entity_01_11580/extra_{planter.new_id()}.jpg'
    shutil.copy(planter.image_path(image), planter.root / 'images' / name)
    return name


def repeated_image_id(planter, image, rows):
    name = f'entity_01_11580/same_id_{planter.new_id()}.jpg'
    shutil.copy(planter.image_path(image), planter.root / 'images' / name)
    planter.train['images'].append({**image, 'file_name': name})
    return name


def repeated_image(planter, image, rows):
    number = planter.new_id()
    planter.train['images'].append({**image, 'id': number})
    for row in rows:
        planter.add(planter.train, row, image_id=number)


def repeated_annotation_id(planter, image, rows):
    other = next(iter(planter.annotations[planter.unused[0]]))
    rows[0]['id'] = other['id']
    return f'annotation {other["id"]}'


def in_both_splits(planter, image, rows):
    number = planter.new_id()
    planter.val['images'].append({**image, 'id': number})
    for row in rows:
        planter.add(planter.val, row, image_id=number)


def unknown_image(planter, image, rows):
    return f'annotation {planter.add(planter.train, rows[0], image_id=planter.new_id())["id"]}'


def unknown_category(planter, image, rows):
    rows[0]['category_id'] = 644
    return f'annotation {rows[0]["id"]}'


def no_entities(planter, image, rows):
    planter.remove(rows)


def mostly_unlabelled(planter, image, rows):
    planter.remove(rows[1:])


def bad_mask(planter, image, rows):
    rows[0]['segmentation']['counts'] = rows[0]['segmentation']['counts'][:-2]
    return f'{image["file_name"]}, annotation {rows[0]["id"]}'


def mask_size(planter, image, rows):
    height, width = rows[0]['segmentation']['size']
    rows[0]['segmentation']['size'] = [height // 2, width // 2]
    return f'{image["file_name"]}, annotation {rows[0]["id"]}'


def empty_mask(planter, image, rows):
    rows[0]['segmentation'] = encoded(np.zeros((image['height'], image['width'])))
    return f'{image["file_name"]}, annotation {rows[0]["id"]}'


def overlap(planter, image, rows):
    mask = mask_utils.decode(rows[-1]['segmentation'])
    y, x = np.argwhere(mask)[int(mask.sum()) // 2]
    mask[:] = 0
    mask[y, x] = 1
    row = planter.add(
        planter.train, rows[-1], segmentation=encoded(mask), area=1, bbox=[int(x), int(y), 1, 1]
    )
    return f'{image["file_name"]}, annotation {rows[-1]["id"]}', f'annotation {row["id"]}'


def wrong_area(planter, image, rows):
    rows[0]['area'] += 1
    return f'{image["file_name"]}, annotation {rows[0]["id"]}'


def wrong_box(planter, image, rows):
    rows[0]['bbox'][2] += 3
    return f'{image["file_name"]}, annotation {rows[0]["id"]}'


def bad_entry(planter, image, rows):
    row = planter.add(planter.train, rows[0])
    del row['segmentation']
    return str(row)[:80]


FAULTS = {
    'unsafe-path': unsafe_path,
    'missing-image': missing_image,
    'bad-image': bad_image,
    'image-size': image_size,
    'unlisted-image': unlisted_image,
    'repeated-image-id': repeated_image_id,
    'repeated-image': repeated_image,
    'repeated-annotation-id': repeated_annotation_id,
    'in-both-splits': in_both_splits,
    'unknown-image': unknown_image,
    'unknown-category': unknown_category,
    'no-entities': no_entities,
    'mostly-unlabelled': mostly_unlabelled,
    'bad-mask': bad_mask,
    'mask-size': mask_size,
    'empty-mask': empty_mask,
    'overlap': overlap,
    'wrong-area': wrong_area,
    'wrong-box': wrong_box,
    'bad-entry': bad_entry,
}


def bad_list_line(planter, number):
    planter.pairs.append('one two three' if number % 2 else 'one')
    return f'line {len(planter.pairs)}'


def missing_map(planter, number):
    name = planter.pairs[number].split()[1]
    (planter.root / (PANOPTIC_MAPS if number % 2 else SEMANTIC_MAPS) / name).unlink()
    return name


def bad_map(planter, number):
    name = planter.pairs[number].split()[1]
    path = planter.root / (PANOPTIC_MAPS if number % 2 else SEMANTIC_MAPS) / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return name


def resize_map(planter, number, shape):
    name = planter.pairs[number].split()[1]
    path = planter.root / (PANOPTIC_MAPS if number % 2 else SEMANTIC_MAPS) / name
    image = Image.open(path)
    values = np.asarray(image)
    height, width = shape(*values.shape[:2])
    resized = image.resize((width, height), Image.NEAREST)
    resized.save(path)
    if number % 2:
        colours = np.asarray(resized).astype(int) @ (1, 256, 65536)
        infos = planter.panoptic['annotations'][number]['segments_info']
        for info in infos:
            info['area'] = int((colours == info['id']).sum())
        infos[:] = [info for info in infos if info['area']]
    return name


def map_size(planter, number):
    return resize_map(planter, number, lambda height, width: (height - 3, width))


def map_of_other_resolution(planter, number):
    return resize_map(planter, number, lambda height, width: (height // 2, width // 2))


def unknown_class_in_map(planter, number):
    name = planter.pairs[number].split()[1]
    path = planter.root / SEMANTIC_MAPS / name
    values = np.asarray(Image.open(path)).copy()
    values[0, :3] = 150 + number % 100
    Image.fromarray(values).save(path)
    return name


def segments_differ(planter, number):
    infos = planter.panoptic['annotations'][number]['segments_info']
    if number % 2:
        infos.append({**infos[0], 'id': 999})
    else:
        infos.pop()
    return planter.pairs[number].split()[1]


MAP_FAULTS = {
    'bad-list-line': bad_list_line,
    'missing-map': missing_map,
    'bad-map': bad_map,
    'map-size': map_size,
    'map-of-other-resolution': map_of_other_resolution,
    'unknown-class-in-map': unknown_class_in_map,
    'segments-differ': segments_differ,
}


# faults of whole files: each spoils a root of its own


def layout(root):
    shutil.rmtree(root / 'images')
    for path in (root / 'annotations').rglob('*.*'):
        if '_lr' in path.name or path.suffix == '.png':
            path.unlink()
        elif path.suffix == '.txt':
            path.write_text('')
        else:
            content = json.loads(path.read_text())
            path.write_text(json.dumps({**content, 'images': [], 'annotations': []}))


def foreign_file(root):
    shutil.copy(root / TRAIN, root / ENTITY / 'entity_train_new.json')


def both_names(root):
    content = json.loads((root / VAL).read_text())
    (root / ENTITY / 'entityseg_val.json').write_text(json.dumps(content, indent=1))


def bad_json(root):
    path = root / ENTITY / 'entityv2_03_entity_val.json'
    path.write_text(path.read_text()[:-9])


def merged_differs(root):
    """Lose an image, its annotations and its file from the file of folder 02."""
    path = root / ENTITY / 'entityv2_02_entity_train.json'
    content = json.loads(path.read_text())
    gone = content['images'].pop()
    content['annotations'] = [
        row for row in content['annotations'] if row['image_id'] != gone['id']
    ]
    path.write_text(json.dumps(content))


FILE_FAULTS = {
    'layout': layout,
    'foreign-file': foreign_file,
    'both-names': both_names,
    'bad-json': bad_json,
    'merged-differs': merged_differs,
}


def keep_merged_files(root):
    """Remove the files of single folders, so that a fault is in one file only."""
    for path in (Path(root) / ENTITY).glob('entityv2_0[123]_*.json'):
        path.unlink()
    for path in (Path(root) / ENTITY).glob('*_lr.json'):
        path.unlink()


def compare(planted, report):
    """Match planted faults with found problems.

    Returns:
        Faults that were not found, and problems that were not planted.
    """
    problems = list(report.problems)
    missed = []
    for kind, item in planted:
        item, detail = item if isinstance(item, tuple) else (item, '')
        for problem in problems:
            if problem.kind == kind and problem.item == item and detail in problem.detail:
                problems.remove(problem)
                break
        else:
            missed.append((kind, item))
    return missed, problems
