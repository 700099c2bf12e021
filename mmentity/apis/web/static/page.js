// What the page shows follows from `state` in update(); everything else changes the state.
import {Painting} from './painting.js';
import {Stage} from './stage.js';
import {send} from './upload.js';

const find = (selector) => document.querySelector(selector);
const number = (value) => value.toLocaleString('en');
const state = {
  result: null, sending: null, view: 'overlay', opacity: 55, score: 0.5, area: 0,
  hovered: 0, pointed: null, chosen: 0,
};
const painting = new Painting(find('#plain'), find('#paint'));
const stage = new Stage(find('#stage'), find('#sheet'), {
  hover: (point) => hover(point ? painting.idAt(...point) : 0, point),
  tap: (point) => choose(painting.idAt(...point)),
  moved: () => placeTip(),
});

const kept = () => state.result.entities.filter(
  (entity) => entity.score >= state.score && entity.area >= state.area);
const entityOf = (id) => kept().find((entity) => entity.id === id);
const lit = () => entityOf(state.hovered) || entityOf(state.chosen);

// ---- an image comes in

async function open(file) {
  state.sending?.cancel();
  fail('');
  const limit = Number(document.body.dataset.maxUploadMb);
  if (file.size > limit * 1e6) {
    return fail(`${file.name} has ${number(Math.ceil(file.size / 1e6))} MB, the limit of this page `
      + `is ${number(limit)} MB; "mmentity web --max-upload-mb" raises it`);
  }
  const sending = send(file, (progress) => state.sending === sending && tell(progress));
  state.sending = sending;
  tell({sent: 0});
  try {
    const result = await sending.result;
    if (state.sending !== sending) return;
    await painting.load(result);
    if (state.sending !== sending) return;
    show(file, result);
  } catch (error) {
    if (state.sending === sending && error.name !== 'AbortError') fail(error.message);
  } finally {
    if (state.sending === sending) {
      state.sending = null;
      tell(null);
    }
  }
}

function show(file, result) {
  Object.assign(state, {result, hovered: 0, chosen: 0});
  find('#file').textContent = `${file.name} · ${number(result.width)} × ${number(result.height)} px`;
  find('#stage').classList.remove('empty');
  find('#stage').style.setProperty('--ratio', painting.width / painting.height);
  for (const selector of ['#sheet', '#zoom', 'aside']) find(selector).hidden = false;
  stage.open(painting.width, painting.height);
  // areas reach to that of the image
  controls.area.set(Math.min(state.area, result.width * result.height));
  update();
}

function fail(message) {
  find('#error').hidden = !message;
  find('#error p').textContent = message;
}

let ticking = 0;
function tell(progress) {
  clearInterval(ticking);
  find('#progress').hidden = !progress;
  find('#stage').classList.toggle('busy', Boolean(progress));
  if (!progress) return;
  const bar = find('#progress progress');
  const start = performance.now();
  const say = () => {
    const seconds = Math.round((performance.now() - start) / 1000);
    const since = seconds ? ` · ${seconds} s` : '';
    if ('sent' in progress) return `Uploading · ${Math.round(100 * progress.sent)} %`;
    if (!progress.ahead) return `Looking for entities${since}`;
    return `Waiting, ${progress.ahead} ${progress.ahead === 1 ? 'image' : 'images'} ahead${since}`;
  };
  const write = () => { find('#progress p').textContent = say(); };
  if ('sent' in progress) bar.value = progress.sent;
  else {
    bar.removeAttribute('value');
    ticking = setInterval(write, 1000);
  }
  write();
}

// ---- what is shown

function update() {
  const entities = kept();
  const all = state.result.entities;
  find('#count').textContent = `${entities.length} of ${all.length} entities`;
  find('tbody').replaceChildren(...entities.map(row));
  for (const link of document.querySelectorAll('#files a')) {
    link.href = `entities/${state.result.key}/${link.dataset.kind}`
      + `?score_thr=${state.score}&min_area=${state.area}`;
  }
  find('#list').hidden = !entities.length;
  find('#files').hidden = !entities.length;
  find('#hint').hidden = Boolean(entities.length);
  find('#hint p').textContent = all.length
    ? `No entity has a score of ${state.score} and an area of ${number(state.area)} px or more. `
      + `The best score is ${Math.max(...all.map((entity) => entity.score)).toFixed(2)}, `
      + `the largest area ${number(Math.max(...all.map((entity) => entity.area)))} px.`
    : 'The model found no entity in this image.';
  find('#hint button').hidden = !all.length;
  draw();
}

function row(entity) {
  const line = document.createElement('tr');
  line.dataset.id = entity.id;
  for (const text of ['', entity.id, entity.score.toFixed(2), number(entity.area)]) {
    line.insertCell().textContent = text;
  }
  const swatch = document.createElement('span');
  swatch.style.background = `rgb(${painted(entity)})`;
  line.cells[0].append(swatch);
  return line;
}

// The colour that an entity has in the view, on average.
function painted({colour, mean}) {
  const share = state.view === 'overlay' ? state.opacity / 100 : 1;
  return colour.map((value, k) => Math.round(share * value + (1 - share) * mean[k]));
}

let drawing = 0;
function draw() {
  cancelAnimationFrame(drawing);
  drawing = requestAnimationFrame(() => {
    const id = lit()?.id || 0;
    find('#sheet').classList.toggle('map', state.view === 'map');
    painting.paint({shown: kept(), view: state.view, opacity: state.opacity / 100, lit: id});
  });
  const rows = [...find('tbody').rows];
  const chosen = entityOf(state.chosen)?.id;
  for (const line of rows) {
    const id = Number(line.dataset.id);
    line.classList.toggle('lit', id === state.hovered);
    line.ariaSelected = id === chosen;
    line.tabIndex = id === chosen || (!chosen && line === rows[0]) ? 0 : -1;
  }
  placeTip();
}

function placeTip() {
  const entity = state.result && lit();
  const tip = find('#tip');
  tip.hidden = !entity;
  find('#zoom [data-zoom=fit]').textContent = state.result
    ? `${Math.round(100 * stage.scale * painting.width / state.result.width)} %` : '';
  if (!entity) return;
  const text = `#${entity.id} · score ${entity.score.toFixed(2)} · ${number(entity.area)} px`;
  if (tip.textContent !== text) tip.textContent = text;
  // above the pointer, or else above the entity
  const {centre, top} = painting.places[entity.id];
  const point = entity.id === state.hovered && state.pointed;
  const [x, y] = stage.toStage(point || [centre[0], top]);
  const box = find('#stage');
  const clamp = (value, most) => Math.max(4, Math.min(value, most - 4));
  tip.style.left = `${clamp(x - tip.offsetWidth / 2, box.clientWidth - tip.offsetWidth)}px`;
  tip.style.top = `${clamp(y - tip.offsetHeight - 10, box.clientHeight - tip.offsetHeight)}px`;
}

function hover(id, point = null) {
  if (!state.result) return;
  const isOther = id !== state.hovered;
  Object.assign(state, {hovered: id, pointed: point});
  if (isOther) draw();
  else if (id) placeTip();
}

function choose(id) {
  if (!state.result) return;
  Object.assign(state, {chosen: id, hovered: 0});
  draw();
  const line = find(`tr[data-id="${id}"]`);
  if (!line) return;
  const list = find('#list');
  // only the list scrolls, and never the page
  if (list.scrollHeight > list.clientHeight) {
    list.scrollTop = line.offsetTop - (list.clientHeight - line.offsetHeight) / 2;
  }
}

// ---- controls

// A slider and its number, of which `value` turns places on the slider into what they mean.
function control(name, {value, place}) {
  const slider = find(`#${name}`);
  const box = find(`#${name}-number`);
  const set = (wanted) => {
    state[name] = wanted;
    box.value = wanted;
    slider.value = place(wanted);
    slider.ariaValueText = String(wanted);
    if (state.result) update();
  };
  slider.addEventListener('input', () => set(value(Number(slider.value))));
  box.addEventListener('change', () => {
    const most = name === 'area' ? areaOfImage() : Number(box.max);
    set(Math.min(Math.max(Number(box.value) || 0, 0), most));
  });
  set(state[name]);
  return {set};
}

function areaOfImage() {
  return state.result ? state.result.width * state.result.height : 1e6;
}

const controls = {
  opacity: control('opacity', {value: (x) => x, place: (x) => x}),
  score: control('score', {value: (x) => x / 100, place: (x) => 100 * x}),
  // logarithmic, so that small areas have as much of the slider as large ones
  area: control('area', {
    value: (x) => (x ? Math.round(areaOfImage() ** (x / 1000)) : 0),
    place: (x) => (x ? 1000 * Math.log(x) / Math.log(areaOfImage()) : 0),
  }),
};

find('#view').addEventListener('change', (event) => {
  state.view = event.target.value;
  for (const input of [find('#opacity'), find('#opacity-number')]) {
    input.disabled = state.view !== 'overlay';
  }
  if (state.result) update();
});
find('#hint button').addEventListener('click', () => {
  controls.score.set(0);
  controls.area.set(0);
});
find('#zoom').addEventListener('click', (event) => {
  ({in: () => stage.zoomIn(), out: () => stage.zoomOut(), fit: () => stage.fit()})[
    event.target.dataset.zoom]?.();
});
find('#error button').addEventListener('click', () => fail(''));
find('#progress button').addEventListener('click', () => state.sending?.cancel());

// ---- the list: pointer, and keys along the rows

const list = find('tbody');
const idOf = (event) => Number(event.target.closest('tr')?.dataset.id || 0);
list.addEventListener('pointerover', (event) => event.pointerType === 'mouse' && hover(idOf(event)));
list.addEventListener('pointerleave', () => hover(0));
list.addEventListener('click', (event) => choose(idOf(event)));
list.addEventListener('focusin', (event) => {
  choose(idOf(event));
  stage.reveal(painting.places[state.chosen].centre);
});
list.addEventListener('keydown', (event) => {
  const rows = [...list.rows];
  const at = rows.indexOf(event.target.closest('tr'));
  const next = {ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1}[event.key];
  if (next === undefined) return;
  event.preventDefault();
  rows[Math.min(Math.max(next, 0), rows.length - 1)].focus();
});
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') choose(0);
});

// ---- files: chosen, dropped or pasted

function take(files) {
  if (files.length > 1) {
    fail(`${files.length} files were dropped; the page takes one image at a time, `
      + '"mmentity predict" takes folders');
  } else if (files.length) open(files[0]);
}

find('#input').addEventListener('change', (event) => {
  take([...event.target.files]);
  // so that the same file can be chosen again
  event.target.value = '';
});
addEventListener('dragover', (event) => {
  event.preventDefault();
  document.body.classList.add('over');
});
addEventListener('dragleave', (event) => {
  if (!event.relatedTarget) document.body.classList.remove('over');
});
addEventListener('drop', (event) => {
  event.preventDefault();
  document.body.classList.remove('over');
  take([...event.dataTransfer.files]);
});
addEventListener('paste', (event) => take([...event.clipboardData.files]));
