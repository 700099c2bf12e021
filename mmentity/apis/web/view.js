const find = (selector) => element.querySelector(selector);
let image = null;
let ids = null;
let lit = 0;
let loading = 0;

function load(uri) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = reject;
    image.src = uri;
  });
}

function pixels(image) {
  const canvas = document.createElement('canvas');
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  const context = canvas.getContext('2d', {willReadFrequently: true});
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

function kept() {
  return props.value.entities.filter(
    (entity) => entity.score >= props.score_thr && entity.area >= props.min_area);
}

function draw() {
  if (!image || !props.value) return;
  const {width, height} = image;
  const shown = new Map(kept().map((entity) => [entity.id, entity]));
  const canvas = find('canvas');
  canvas.width = width;
  canvas.height = height;
  const drawn = new ImageData(new Uint8ClampedArray(image.data), width, height);
  for (let p = 0; p < ids.length; p++) {
    const entity = shown.get(ids[p]);
    if (!entity) continue;
    const column = p % width;
    const edge = (column && ids[p - 1] !== ids[p]) || (p >= width && ids[p - width] !== ids[p]);
    const share = lit === entity.id ? 0.75 : lit ? 0.15 : 0.5;
    for (let c = 0; c < 3; c++) {
      const old = drawn.data[4 * p + c];
      drawn.data[4 * p + c] = edge ? 255 : old + share * (entity.colour[c] - old);
    }
  }
  canvas.getContext('2d').putImageData(drawn, 0, 0);
}

function fill() {
  const entities = kept();
  const all = props.value.entities.length;
  find('.count').textContent = `${entities.length} of ${all} entities`;
  find('.list').replaceChildren(...entities.map((entity) => {
    const line = document.createElement('li');
    line.dataset.id = entity.id;
    const texts = ['', entity.id, entity.score.toFixed(2), `${entity.area.toLocaleString('en')} px`];
    line.append(...texts.map((text) => {
      const cell = document.createElement('span');
      cell.textContent = text;
      return cell;
    }));
    line.firstChild.style.background = `rgb(${entity.colour})`;
    return line;
  }));
  for (const link of element.querySelectorAll('.files a')) {
    link.href = `entities/${props.value.key}/${link.dataset.kind}`
      + `?score_thr=${props.score_thr}&min_area=${props.min_area}`;
  }
}

function light(id) {
  if (id === lit) return;
  lit = id;
  for (const line of element.querySelectorAll('.list li')) {
    line.classList.toggle('lit', Number(line.dataset.id) === id);
  }
  draw();
}

function point(event) {
  const canvas = find('canvas');
  const tip = find('.tip');
  const box = canvas.getBoundingClientRect();
  const x = Math.floor((event.clientX - box.left) / box.width * canvas.width);
  const y = Math.floor((event.clientY - box.top) / box.height * canvas.height);
  const id = ids && x >= 0 && y >= 0 && x < canvas.width && y < canvas.height
    ? ids[y * canvas.width + x] : 0;
  const entity = id ? kept().find((other) => other.id === id) : null;
  light(entity ? id : 0);
  tip.hidden = !entity;
  if (!entity) return;
  tip.textContent = `entity ${id}: score ${entity.score.toFixed(2)}, `
    + `${entity.area.toLocaleString('en')} px`;
  const left = event.clientX - box.left + 14;
  tip.style.left = `${Math.min(left, box.width - tip.offsetWidth - 4)}px`;
  tip.style.top = `${event.clientY - box.top + 14}px`;
}

async function show() {
  const mine = ++loading;
  image = null;
  lit = 0;
  find('.view').hidden = !props.value;
  find('.empty').hidden = Boolean(props.value);
  if (!props.value) return;
  const images = await Promise.all([load(props.value.image), load(props.value.ids)]);
  if (mine !== loading) return;
  image = pixels(images[0]);
  const coded = pixels(images[1]).data;
  ids = Uint16Array.from({length: coded.length / 4}, (_, p) => coded[4 * p] + 256 * coded[4 * p + 1]);
  fill();
  draw();
}

element.addEventListener('pointermove', (event) => {
  if (event.target.tagName === 'CANVAS') return point(event);
  const line = event.target.closest('.list li');
  find('.tip').hidden = true;
  light(line ? Number(line.dataset.id) : 0);
});
element.addEventListener('pointerleave', () => {
  find('.tip').hidden = true;
  light(0);
});
watch('value', show);
watch(['score_thr', 'min_area'], () => {
  if (image && props.value) {
    find('.view').hidden = false;
    find('.empty').hidden = true;
    fill();
    draw();
  }
});
