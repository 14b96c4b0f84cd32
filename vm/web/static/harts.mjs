// How the harts stand: a tab for each, and the registers of the one that is chosen.

const PRIVILEGES = { U: "user", S: "supervisor", M: "machine" };
const COLUMNS = 2;

export class Harts {
  // `onName`: called when names of functions are asked for. What has changed since the machine stood before is marked.
  constructor(onName) {
    this.tabs = document.getElementById("harts");
    this.facts = document.getElementById("hart");
    this.chosen = 0;
    this.stood = [];                    // values by name, where the machine has stood: before, and last
    this.name = Object.assign(document.createElement("button"), { textContent: "Find Linux", onclick: onName,
      title: "Take the names of the kernel's functions from its memory" });
  }

  show(harts, still) {
    [this.harts, this.still] = [harts, still];
    if (this.tabs.childElementCount !== harts.length) this.build(harts.length);
    const hart = harts[this.chosen];
    this.tell({ pc: hart.pc, symbol: hart.symbol || this.name, mode: `${PRIVILEGES[hart.privilege]}, ${hart.state}`,
      steps: hart.steps.toLocaleString("en") });
    const values = new Map([...hart.x, ...hart.csrs]);
    if (still && this.stood.at(-1)?.steps !== hart.steps) {
      this.stood = [...this.stood.slice(-1), { steps: hart.steps, values }];
    }
    const before = still && this.stood.length === 2 ? this.stood[0].values : values;
    this.fill("registers", hart.x, before);
    this.fill("csrs", hart.csrs, before);
  }

  build(count) {
    this.tabs.replaceChildren(...Array.from({ length: count }, (_, number) => {
      const tab = Object.assign(document.createElement("button"), { textContent: `Hart ${number}`, role: "tab" });
      tab.setAttribute("aria-selected", number === this.chosen);
      tab.onclick = () => {
        this.chosen = number;
        this.stood = [];
        for (const other of this.tabs.children) other.setAttribute("aria-selected", other === tab);
        this.show(this.harts, this.still);
      };
      return tab;
    }));
  }

  // Facts by name, text or elements; an element that is there stays, and keeps the keyboard.
  tell(facts) {
    if (!this.facts.childElementCount) this.facts.append(...Object.keys(facts).flatMap(pair));
    for (const [place, fact] of Object.values(facts).entries()) {
      const data = this.facts.children[2 * place + 1];
      if (data.firstChild !== fact) data.replaceChildren(fact);
    }
  }

  // What is not as `before`, by name, is marked.
  fill(id, pairs, before) {
    const rows = [];
    const height = Math.ceil(pairs.length / COLUMNS);
    for (let line = 0; line < height; line++) {
      const row = document.createElement("tr");
      for (const [name, value] of pairs.filter((_, place) => place % height === line)) {
        const cell = document.createElement("td");
        cell.textContent = value;
        cell.classList.toggle("zero", /^0+$/.test(value));
        cell.classList.toggle("changed", before.get(name) !== value);
        row.append(Object.assign(document.createElement("th"), { textContent: name, scope: "row" }), cell);
      }
      rows.push(row);
    }
    document.querySelector(`#${id} tbody`).replaceChildren(...rows);
  }
}

function pair(name) {
  return [Object.assign(document.createElement("dt"), { textContent: name }), document.createElement("dd")];
}
