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

  snapshots(list) {
    this.list = list;
    for (const button of this.track.querySelectorAll(".mark")) button.remove();
    for (const moment of list) {
      const button = document.createElement("button");
      button.className = "mark";
      button.dataset.number = moment.number;
      button.classList.toggle("here", moment.here);
      button.setAttribute("aria-label", `Go back to ${moment.name}, ${time(moment.ns)}`);
      button.title = `${moment.name} (${time(moment.ns)})`;
      button.onclick = (event) => event.detail === 0 && this.restore(moment.number);    // by the keyboard
      this.track.append(button);
    }
    this.place();
    this.mark(null);
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

  tell(moment) {
    this.chosen.replaceChildren();
    if (!moment) {
      this.chosen.append(this.list.length ? "" : HINT);
      return;
    }
    const drop = Object.assign(document.createElement("button"), { textContent: "Drop" });
    drop.onclick = () => this.link.ask("drop", { number: moment.number });
    const steps = moment.steps.toLocaleString("en");
    this.chosen.append(`${moment.name}: ${time(moment.ns)}, ${steps} steps`, this.near ? "" : drop);
  }
}

function time(ns) {
  const seconds = ns / 1e9;
  const minutes = Math.floor(seconds / 60);
  return minutes ? `${minutes}:${(seconds % 60).toFixed(3).padStart(6, "0")}` : `${seconds.toFixed(3)} s`;
}
