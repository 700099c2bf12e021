// The entities of an image on a canvas, one table look-up for each pixel.
const LIT = 0.8;

export class Painting {
  constructor(image, canvas) {
    this.image = image;
    this.canvas = canvas;
    this.context = canvas.getContext('2d');
  }

  async load(result) {
    const coded = new Image();
    coded.src = result.ids;
    this.image.src = result.image;
    await Promise.all([coded.decode(), this.image.decode()]);
    this.width = this.canvas.width = coded.naturalWidth;
    this.height = this.canvas.height = coded.naturalHeight;
    this.ids = readIds(coded);
    this.edges = findEdges(this.ids, this.width);
    this.places = findPlaces(this.ids, this.width, result.entities.length);
    this.drawn = new ImageData(this.width, this.height);
  }

  idAt(x, y) {
    const inside = x >= 0 && y >= 0 && x < this.width && y < this.height;
    return inside ? this.ids[Math.floor(y) * this.width + Math.floor(x)] : 0;
  }

  // shown: entities with id and colour; view: plain, overlay or map; opacity: 0..1;
  // lit: id of the entity that stands out, or 0
  paint({shown, view, opacity, lit}) {
    const colours = new Uint32Array(65536);
    const outlines = new Uint32Array(65536);
    for (const {id, colour} of shown) {
      const full = view === 'map' ? 1 : view === 'overlay' ? opacity : 0;
      const fill = !lit ? full : lit === id ? Math.max(full, view === 'plain' ? 0 : LIT) : full * 0.3;
      const line = lit === id ? 1 : view === 'overlay' ? (lit ? 0.3 : 0.9) : 0;
      colours[id] = pixel(colour, fill);
      outlines[id] = pixel([255, 255, 255], line);
    }
    const pixels = new Uint32Array(this.drawn.data.buffer);
    const {ids, width} = this;
    for (let p = 0; p < pixels.length; p++) pixels[p] = colours[ids[p]];
    for (const p of this.edges) {
      const above = p >= width ? outlines[ids[p - width]] : 0;
      const before = p % width ? outlines[ids[p - 1]] : 0;
      // white of the strongest of the three
      const outline = Math.max(outlines[ids[p]], above, before);
      if (outline) pixels[p] = outline;
    }
    this.context.putImageData(this.drawn, 0, 0);
  }
}

// red, green, blue and alpha in the order of bytes that canvases have
function pixel([red, green, blue], share) {
  return share ? ((Math.round(255 * share) << 24) | (blue << 16) | (green << 8) | red) >>> 0 : 0;
}

function readIds(image) {
  const canvas = document.createElement('canvas');
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  const context = canvas.getContext('2d', {willReadFrequently: true});
  context.drawImage(image, 0, 0);
  const {data} = context.getImageData(0, 0, canvas.width, canvas.height);
  const ids = new Uint16Array(data.length / 4);
  for (let p = 0; p < ids.length; p++) ids[p] = data[4 * p] + 256 * data[4 * p + 1];
  return ids;
}

// pixels that differ from the one above or before
function findEdges(ids, width) {
  const edges = [];
  for (let p = 0; p < ids.length; p++) {
    const before = p % width ? ids[p - 1] : ids[p];
    const above = p >= width ? ids[p - width] : ids[p];
    if (before !== ids[p] || above !== ids[p]) edges.push(p);
  }
  return Uint32Array.from(edges);
}

// for each id the centre of its pixels and the upmost row; an id may have no pixel in a small image
function findPlaces(ids, width, number) {
  const sums = Array.from({length: number + 1}, () => ({x: 0, y: 0, count: 0, top: 0}));
  for (let p = 0; p < ids.length; p++) {
    if (!ids[p]) continue;
    const sum = sums[ids[p]];
    const y = Math.floor(p / width);
    if (!sum.count) sum.top = y;
    sum.x += p % width;
    sum.y += y;
    sum.count += 1;
  }
  return sums.map(({x, y, count, top}) => ({centre: [x / count || 0, y / count || 0], top}));
}
