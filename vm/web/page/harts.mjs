// How the harts stand: a tab for each, and the registers of the one that is chosen.

const PRIVILEGES = { U: "user", S: "supervisor", M: "machine" };
const COLUMNS = 2;

export class Harts {
  // `onName`: called when names of functions are asked for.
  constructor(onName) {
    this.tabs = document.getElementById("harts");
    this.facts = document.getElementById("hart");
    this.chosen = 0;
    this.before = new Map();            // values that were shown, by name
    this.name = Object.assign(document.createElement("button"), { textContent: "Find Linux", onclick: onName,
      title: "Take the names of the kernel's functions from its memory" });
  }

  show(harts, still) {
    this.harts = harts;
    if (this.tabs.childElementCount !== harts.length) this.build(harts.length);
    const hart = harts[this.chosen];
    this.facts.replaceChildren(
      ...pair("pc", hart.pc), ...pair("symbol", hart.symbol || this.name),
      ...pair("mode", `${PRIVILEGES[hart.privilege]}, ${hart.state}`),
      ...pair("steps", hart.steps.toLocaleString("en")));
    const shown = new Map();
    this.fill("registers", hart.x, shown, still);
    this.fill("csrs", hart.csrs, shown, still);
    this.before = shown;
  }

  build(count) {
    this.tabs.replaceChildren(...Array.from({ length: count }, (_, number) => {
      const tab = Object.assign(document.createElement("button"), { textContent: `Hart ${number}`, role: "tab" });
      tab.setAttribute("aria-selected", number === this.chosen);
      tab.onclick = () => {
        this.chosen = number;
        this.before.clear();
        for (const [place, other] of [...this.tabs.children].entries()) other.setAttribute("aria-selected", place === number);
        this.show(this.harts, false);
      };
      return tab;
    }));
  }

  // `still`: what has changed since the machine stood last is marked.
  fill(id, pairs, shown, still) {
    const rows = [];
    const height = Math.ceil(pairs.length / COLUMNS);
    for (let line = 0; line < height; line++) {
      const row = document.createElement("tr");
      for (const [name, value] of pairs.filter((_, place) => place % height === line)) {
        const cell = document.createElement("td");
        cell.textContent = value;
        cell.classList.toggle("zero", /^0+$/.test(value));
        cell.classList.toggle("changed", still && this.before.has(name) && this.before.get(name) !== value);
        row.append(Object.assign(document.createElement("th"), { textContent: name, scope: "row" }), cell);
        shown.set(name, value);
      }
      rows.push(row);
    }
    document.querySelector(`#${id} tbody`).replaceChildren(...rows);
  }
}

function pair(name, value) {
  const data = document.createElement("dd");
  data.append(value);
  return [Object.assign(document.createElement("dt"), { textContent: name }), data];
}
