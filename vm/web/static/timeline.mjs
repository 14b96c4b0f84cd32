// Guest time from its beginning, and the snapshots in it. The one that is pointed at when the pointer is let go comes
// back.

const HINT = "A snapshot is the whole machine at one moment, disks too: take one, and come back to it later.";

export class Timeline {
  constructor(link) {
    this.link = link;
    this.list = [];
    this.ns = 0;
    this.track = document.getElementById("track");
    this.chosen = document.getElementById("chosen");
    let scrubbing = false;
    this.track.onmousedown = (event) => event.preventDefault();         // the terminal keeps the keyboard
    this.track.onpointerdown = (event) => {
      if (event.button !== 0) return;
      scrubbing = true;
      this.track.setPointerCapture(event.pointerId);
      this.point(event);
    };
    this.track.onpointermove = (event) => scrubbing && this.point(event);
    this.track.onpointerup = (event) => {
      if (scrubbing) this.point(event);
      if (scrubbing && this.near) this.restore(this.near.number);
      scrubbing = false;
      this.mark(null);
    };
    this.track.onpointercancel = () => {
      scrubbing = false;
      this.mark(null);
    };
  }

  restore(number) {
    this.link.ask("restore", { number });
  }

  get span() {
    return Math.max(this.ns, ...this.list.map((moment) => moment.ns), 1);
  }

  point(event) {
    const { left, width } = this.track.getBoundingClientRect();
    const ns = (event.clientX - left) / width * this.span;
    const distance = (moment) => Math.abs(moment.ns - ns);
    this.mark(this.list.reduce((best, moment) => best && distance(best) <= distance(moment) ? best : moment, null));
  }

  // The moment that would come back.
  mark(near) {
    this.near = near;
    for (const button of this.track.querySelectorAll(".mark")) {
      button.classList.toggle("near", near !== null && Number(button.dataset.number) === near.number);
    }
    this.tell(near ?? this.list.find((moment) => moment.here));
  }

  // The list comes with each change of anything: marks that stay are left, so that they keep the keyboard.
  snapshots(list) {
    this.list = list;
    const marks = new Map([...this.track.querySelectorAll(".mark")].map((mark) => [Number(mark.dataset.number), mark]));
    for (const moment of list) {
      const mark = marks.get(moment.number) ?? this.added(moment);
      marks.delete(moment.number);
      mark.classList.toggle("here", moment.here);
    }
    for (const dropped of marks.values()) dropped.remove();
    this.place();
    this.mark(null);
  }

  added(moment) {
    const mark = document.createElement("button");
    mark.className = "mark";
    mark.dataset.number = moment.number;
    mark.setAttribute("aria-label", `Go back to ${moment.name}, ${time(moment.ns)}`);
    mark.title = `${moment.name} (${time(moment.ns)})`;
    mark.onclick = (event) => event.detail === 0 && this.restore(moment.number);    // by the keyboard
    this.track.append(mark);
    return mark;
  }

  at(ns, steps) {
    this.ns = ns;
    const title = `${steps.toLocaleString("en")} steps`;
    Object.assign(document.getElementById("time"), { textContent: time(ns), title });
    this.place();
  }

  place() {
    const percent = (ns) => `${100 * ns / this.span}%`;
    for (const button of this.track.querySelectorAll(".mark")) {
      button.style.left = percent(this.list.find((moment) => moment.number === Number(button.dataset.number)).ns);
    }
    document.getElementById("past").style.width = document.getElementById("now").style.left = percent(this.ns);
  }

  // What is said of a moment, with a button that drops it; who is about to press that finds it there.
  tell(moment) {
    const droppable = moment && !this.near ? moment.number : null;
    const words = moment ? `${moment.name}: ${time(moment.ns)}, ${moment.steps.toLocaleString("en")} steps`
      : this.list.length ? "" : HINT;
    if (this.told?.words === words && this.told.droppable === droppable) return;
    this.told = { words, droppable };
    this.chosen.replaceChildren(words);
    if (droppable === null) return;
    const drop = Object.assign(document.createElement("button"), { textContent: "Drop" });
    drop.onclick = () => this.link.ask("drop", { number: droppable });
    this.chosen.append(drop);
  }
}

function time(ns) {
  const seconds = ns / 1e9;
  const minutes = Math.floor(seconds / 60);
  return minutes ? `${minutes}:${(seconds % 60).toFixed(3).padStart(6, "0")}` : `${seconds.toFixed(3)} s`;
}
