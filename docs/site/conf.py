"""The site that `make docs` builds: Sphinx, MyST for the pages, docstrings for the reference."""

import os
import sys
from pathlib import Path

# the modules beside this file, and the package of this checkout
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
# width of the help of commands
os.environ['COLUMNS'] = '88'

import mmentity  # noqa: E402  first, so that mmdet can be imported without compiled ops

project = 'mmentity'
version = release = mmentity.__version__
html_title = f'mmentity {version}'
extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
    'sphinx_copybutton',
    'command_help',
    'notebook',
    'root_pages',
]
exclude_patterns = ['site']

html_theme = 'furo'
html_copy_source = False
html_show_sphinx = False

# anchors of headings, as a forge makes them, so that links work here and there
myst_heading_anchors = 4

autodoc_default_options = {
    'members': True,
    'special-members': '__call__',
    'show-inheritance': True,
}
autodoc_typehints = 'description'
autodoc_typehints_description_target = 'documented_params'
autodoc_typehints_format = 'short'
autodoc_preserve_defaults = True
autodoc_member_order = 'bysource'
napoleon_numpy_docstring = False
napoleon_use_ivar = True
