"""Images larger than the network's views can resolve: cut into tiles, joined into one map."""

from mmentity.apis.tiles.grid import Tile, TileGrid
from mmentity.apis.tiles.tiled_prediction import TiledPrediction, TiledResult, TileOptions

__all__ = ['Tile', 'TileGrid', 'TileOptions', 'TiledPrediction', 'TiledResult']
