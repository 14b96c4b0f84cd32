// The guest's screen on a canvas, and what is done there: keys by their place, the pointer where it is.

const REACH = 32767;                    // of the guest's tablet, in each direction
const HEADER = 12;                      // bytes: width and height of the screen; left, top, width, height of the pixels

export class Screen {
  // `note`: where it stands why there is no picture.
  constructor(canvas, note, link) {
    this.canvas = canvas;
    this.note = note;
    this.link = link;
    this.context = canvas.getContext("2d");
    this.held = new Set();
    canvas.onkeydown = (event) => this.key(event, true);
    canvas.onkeyup = (event) => this.key(event, false);
    canvas.onblur = () => this.letGo();
    canvas.onpointermove = (event) => this.move(event);
    canvas.onpointerdown = (event) => this.button(event, true);
    canvas.onpointerup = (event) => this.button(event, false);
    canvas.oncontextmenu = (event) => event.preventDefault();
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      if (event.deltaY) link.ask("wheel", { notches: -Math.sign(event.deltaY) });
    }, { passive: false });
  }

  draw(data) {
    this.explain("");
    const [width, height, left, top, across, down] = Array.from({ length: 6 },
      (_, place) => new DataView(data).getUint16(2 * place, true));
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    this.context.putImageData(new ImageData(new Uint8ClampedArray(data, HEADER), across, down), left, top);
    this.owing = true;
    this.acknowledge();
  }

  // The next picture comes when this one was seen: none while the screen is hidden.
  acknowledge() {
    if (!this.owing || !this.canvas.offsetParent) return;
    this.owing = false;
    requestAnimationFrame(() => this.link.ask("drawn"));
  }

  // Why there is no picture; nothing where there is one.
  explain(text) {
    this.note.textContent = text;
    this.canvas.hidden = text !== "";
    this.acknowledge();
  }

  key(event, down) {
    event.preventDefault();
    if (event.repeat) return;           // the guest repeats keys itself
    this.held[down ? "add" : "delete"](event.code);
    this.link.ask("key", { code: event.code, down });
  }

  letGo() {
    for (const code of this.held) this.link.ask("key", { code, down: false });
    this.held.clear();
  }

  move(event) {
    const box = this.canvas.getBoundingClientRect();
    const place = (at, start, size) => Math.round(Math.min(Math.max((at - start) / size, 0), 1) * REACH);
    this.link.ask("move", { x: place(event.clientX, box.left, box.width),
      y: place(event.clientY, box.top, box.height) });
  }

  button(event, down) {
    this.canvas.focus();
    this.canvas[down ? "setPointerCapture" : "releasePointerCapture"](event.pointerId);
    this.move(event);
    this.link.ask("button", { button: event.button, down });
    event.preventDefault();
  }
}
