"""Names of entities: each gets the best of a list, by an encoder of images and texts.

:mod:`.clip_encoder` has that of open_clip.
"""

from mmentity.apis.naming.namer import Encoder, EntityNamer
from mmentity.apis.naming.names_file import read_names_file

__all__ = ['Encoder', 'EntityNamer', 'read_names_file']
