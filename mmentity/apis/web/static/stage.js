// Zoom and pan of a sheet inside a stage: wheel, pinch, drag, keys, and buttons by zoom().
const MOST = 16; // screen pixels for a pixel of the image
const STEP = 1.3;
const ARROWS = {ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60]};

export class Stage {
  // hover and tap get a point in pixels of the image, hover none where the pointer left;
  // moved is called after every change of the view
  constructor(element, sheet, {hover, tap, moved}) {
    Object.assign(this, {element, sheet, hover, tap, moved});
    this.pointers = new Map();
    this.width = this.height = 0;
    for (const [name, handler] of Object.entries({
      pointerdown: this.down, pointermove: this.move, pointerup: this.up,
      pointercancel: this.up, pointerleave: this.leave, keydown: this.press,
    })) element.addEventListener(name, handler.bind(this));
    element.addEventListener('wheel', this.wheel.bind(this), {passive: false});
    new ResizeObserver(() => this.fit()).observe(element);
  }

  // Shows a sheet of a size in pixels as large as the stage allows.
  open(width, height) {
    Object.assign(this, {width, height});
    this.sheet.style.width = `${width}px`;
    this.sheet.style.height = `${height}px`;
    this.fit();
  }

  fit() {
    if (!this.width) return;
    const {clientWidth, clientHeight} = this.element;
    this.fitted = this.scale = Math.min(clientWidth / this.width, clientHeight / this.height);
    this.place(0, 0);
  }

  zoom(factor, x = this.element.clientWidth / 2, y = this.element.clientHeight / 2) {
    if (!this.width) return;
    const scale = Math.min(Math.max(this.scale * factor, this.fitted), Math.max(MOST, this.fitted));
    const grown = scale / this.scale;
    this.scale = scale;
    this.place(x - (x - this.left) * grown, y - (y - this.top) * grown);
  }

  zoomIn() { this.zoom(STEP); }

  zoomOut() { this.zoom(1 / STEP); }

  // Moves the sheet so that a pixel of the image is in sight.
  reveal([x, y]) {
    const [left, top] = this.toStage([x, y]);
    const {clientWidth, clientHeight} = this.element;
    if (left < 0 || top < 0 || left > clientWidth || top > clientHeight) {
      this.place(clientWidth / 2 - x * this.scale, clientHeight / 2 - y * this.scale);
    }
  }

  toStage([x, y]) { return [x * this.scale + this.left, y * this.scale + this.top]; }

  get isZoomed() { return this.scale > this.fitted * 1.001; }

  // A side of the sheet that is smaller than the stage is centred, a larger one covers it.
  place(left, top) {
    const {clientWidth, clientHeight} = this.element;
    const clamp = (value, room) => (room > 0 ? room / 2 : Math.min(0, Math.max(room, value)));
    this.left = clamp(left, clientWidth - this.width * this.scale);
    this.top = clamp(top, clientHeight - this.height * this.scale);
    this.sheet.style.transform = `translate(${this.left}px, ${this.top}px) scale(${this.scale})`;
    this.sheet.classList.toggle('coarse', this.scale >= 4);
    this.element.classList.toggle('zoomed', this.isZoomed);
    this.moved();
  }

  at(event) {
    const box = this.element.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  toImage([x, y]) { return [(x - this.left) / this.scale, (y - this.top) / this.scale]; }

  down(event) {
    if (!this.width || event.button || event.target.closest('button, label')) return;
    this.pointers.set(event.pointerId, this.at(event));
    this.dragged = this.pointers.size > 1 ? Infinity : 0;
  }

  move(event) {
    if (!this.width) return;
    const now = this.at(event);
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      const isOver = event.pointerType === 'mouse' && !event.target.closest('button, label');
      return this.hover(isOver ? this.toImage(now) : null);
    }
    const others = [...this.pointers].filter(([id]) => id !== event.pointerId);
    this.pointers.set(event.pointerId, now);
    if (others.length) return this.pinch(others[0][1], before, now);
    this.dragged += Math.hypot(now[0] - before[0], now[1] - before[1]);
    if (this.dragged < 6 || !this.isZoomed) return;
    this.element.classList.add('dragging');
    this.element.setPointerCapture(event.pointerId);
    this.place(this.left + now[0] - before[0], this.top + now[1] - before[1]);
  }

  // One finger moves at a time: what is below the other one stays there.
  pinch(other, before, now) {
    const apart = (point) => Math.max(1, Math.hypot(point[0] - other[0], point[1] - other[1]));
    this.zoom(apart(now) / apart(before), ...other);
  }

  up(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    this.element.classList.remove('dragging');
    if (event.type === 'pointerup' && this.dragged < 6) this.tap(this.toImage(this.at(event)));
  }

  leave(event) {
    if (event.pointerType === 'mouse') this.hover(null);
  }

  wheel(event) {
    // at the end the page scrolls on
    if (!this.width || (event.deltaY > 0 && !this.isZoomed && !event.ctrlKey)) return;
    event.preventDefault();
    const lines = event.deltaMode ? 16 : 1;
    this.zoom(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.002)), ...this.at(event));
  }

  press(event) {
    if (event.target !== this.element || !this.width || event.ctrlKey || event.metaKey) return;
    if (event.key === '+' || event.key === '=') this.zoomIn();
    else if (event.key === '-') this.zoomOut();
    else if (event.key === '0') this.fit();
    else if (event.key in ARROWS && this.isZoomed) {
      const [x, y] = ARROWS[event.key];
      this.place(this.left + x, this.top + y);
    } else return;
    event.preventDefault();
  }
}
