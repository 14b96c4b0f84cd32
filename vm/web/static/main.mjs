// The page: what the buttons ask for, and who shows what comes.

import { Harts } from "./harts.mjs";
import { Link } from "./link.mjs";
import { Screen } from "./screen.mjs";
import { Console } from "./terminal.mjs";
import { Timeline } from "./timeline.mjs";

const COMPLAINT = 8000;                 // ms for which an error is shown
const MODES = { running: "running", paused: "paused", ended: "ended", unserved: "run by a program" };

const $ = (id) => document.getElementById(id);
let mode = "lost";

const link = new Link({
  machine(message) {
    $("facts").textContent = message.facts.join(" · ");
    $("tab-screen").hidden = !message.screen;
    document.title = `vm: ${message.facts[0]}`;
  },
  state(message) {
    mode = message.mode;
    $("mode").dataset.mode = mode;
    $("mode").textContent = message.why ? `${MODES[mode]}: ${message.why}` : MODES[mode];
    $("run").textContent = mode === "running" ? "Pause" : "Go on";
    enable();
    harts.show(message.harts, mode !== "running");
    timeline.at(message.ns, message.steps);
  },
  snapshots: (message) => timeline.snapshots(message.list),
  clear: (message) => terminal.clear(message.old),
  text: (data) => terminal.print(data),
  pixels: (data) => screen.draw(data),
  screen: (message) => screen.explain(message.why),
  error: (message) => complain(message.text),
  lost() {
    mode = $("mode").dataset.mode = "lost";
    $("mode").textContent = "not connected";
    enable();
  },
});
const terminal = new Console($("terminal"), link);
const screen = new Screen(document.querySelector("canvas"), $("no-picture"), link);
const harts = new Harts(() => link.ask("name functions"));
const timeline = new Timeline(link);

// --- Buttons ---------------------------------------------------------------------------------------------------------

function enable() {
  const driven = mode === "running" || mode === "paused";
  $("run").disabled = !driven;
  $("step").disabled = $("steps").disabled = mode !== "paused";
  document.querySelector("#take button").disabled = !driven && mode !== "ended";
}

$("run").onclick = () => link.ask(mode === "running" ? "pause" : "go on");
$("step").onclick = () => link.ask("step", { count: 1 });
$("steps").onclick = () => $("count").reportValidity() && link.ask("step", { count: $("count").valueAsNumber });
$("take").onsubmit = (event) => {
  event.preventDefault();
  link.ask("snapshot", { name: $("name").value });
  $("name").value = "";
  terminal.term.focus();
};

$("search").onsubmit = (event) => {
  event.preventDefault();
  terminal.find($("wanted").value, false, false);
};
$("wanted").oninput = () => terminal.find($("wanted").value, false, true);
$("previous").onclick = () => terminal.find($("wanted").value, true, false);
terminal.finder.onDidChangeResults(({ resultIndex, resultCount }) => {
  const place = resultIndex < 0 ? "" : `${resultIndex + 1} of `;
  $("found").textContent = $("wanted").value ? `${place}${resultCount}` : "";
});

function complain(text) {
  const note = Object.assign(document.createElement("p"), { textContent: text });
  $("errors").append(note);
  setTimeout(() => note.remove(), COMPLAINT);
}

// --- Tabs ------------------------------------------------------------------------------------------------------------

for (const name of ["terminal", "screen"]) {
  $(`tab-${name}`).onclick = () => {
    for (const other of ["terminal", "screen"]) {
      $(other).hidden = other !== name;
      $(`tab-${other}`).setAttribute("aria-selected", other === name);
    }
    $("search").hidden = name !== "terminal";
    screen.acknowledge();
    (name === "terminal" ? terminal.term : document.querySelector("canvas")).focus();
  };
}

// --- Light and dark --------------------------------------------------------------------------------------------------

const dark = matchMedia("(prefers-color-scheme: dark)");
let scheme = localStorage.getItem("vm-scheme");         // null: as the system has it

function paint() {
  const shown = scheme ?? (dark.matches ? "dark" : "light");
  document.documentElement.style.colorScheme = shown;
  terminal.theme = shown;
  if ($("wanted").value) terminal.find($("wanted").value, false, true);     // matches have colours of their own
}

$("theme").onclick = () => {
  const shown = document.documentElement.style.colorScheme;
  scheme = shown === "dark" ? "light" : "dark";
  localStorage.setItem("vm-scheme", scheme);
  paint();
};
dark.onchange = paint;
paint();
terminal.term.focus();
