// The guest's serial console, by xterm.js.

import { FitAddon } from "./xterm/addon-fit.mjs";
import { SearchAddon } from "./xterm/addon-search.mjs";
import { Terminal } from "./xterm/xterm.mjs";

const PASTED = 16384;                   // bytes in one message
const THEMES = {
  light: {
    background: "#ffffff", foreground: "#1c2422", cursor: "#1f6f5c", cursorAccent: "#ffffff",
    selectionBackground: "#b9ddd2", black: "#1c2422", red: "#b3261e", green: "#2c7a2c", yellow: "#8a6100",
    blue: "#1d5fb4", magenta: "#8e3a8e", cyan: "#0f7480", white: "#6b7672", brightBlack: "#5b6864",
    brightRed: "#c8453d", brightGreen: "#3c8f3c", brightYellow: "#9c7000", brightBlue: "#3a77c9",
    brightMagenta: "#a451a4", brightCyan: "#1f8894", brightWhite: "#1c2422",
  },
  dark: {
    background: "#1c2122", foreground: "#dfe5e2", cursor: "#5cc3a4", cursorAccent: "#1c2122",
    selectionBackground: "#33564c", black: "#3b4344", red: "#f2938c", green: "#8fce8f", yellow: "#e6c36a",
    blue: "#83b3ef", magenta: "#d79bd7", cyan: "#74cdd6", white: "#dfe5e2", brightBlack: "#7a8783",
    brightRed: "#ffaba5", brightGreen: "#a9e0a9", brightYellow: "#f3d68a", brightBlue: "#a3c8f7",
    brightMagenta: "#e6b5e6", brightCyan: "#92dfe7", brightWhite: "#ffffff",
  },
};
const FOUND = {
  light: { matchBackground: "#ffe39c", matchOverviewRuler: "#c79a2b", activeMatchBackground: "#ffb84d",
    activeMatchColorOverviewRuler: "#a04a00" },
  dark: { matchBackground: "#5a4a14", matchOverviewRuler: "#c79a2b", activeMatchBackground: "#a8641a",
    activeMatchColorOverviewRuler: "#f0a860" },
};
const NO_LINKS = { activate() {} };     // what a guest prints opens nothing
// What a program asks of its terminal, by CSI: its kind, where the cursor is, modes.
const QUESTIONS = [{ final: "n" }, { prefix: "?", final: "n" }, { final: "c" }, { prefix: ">", final: "c" },
  { prefix: "=", final: "c" }, { intermediates: "$", final: "p" }, { prefix: "?", intermediates: "$", final: "p" }];

export class Console {
  constructor(place, link) {
    this.link = link;
    this.old = 0;                       // bytes to come that were printed before: nobody waits for answers to them
    this.term = new Terminal({
      allowProposedApi: true, convertEol: true, linkHandler: NO_LINKS, fontSize: 14, lineHeight: 1.1, scrollback: 10000,
      fontFamily: getComputedStyle(document.documentElement).getPropertyValue("--mono"),
    });
    this.fit = new FitAddon();
    this.finder = new SearchAddon();
    this.term.loadAddon(this.fit);
    this.term.loadAddon(this.finder);
    for (const question of QUESTIONS) {
      this.term.parser.registerCsiHandler(question, () => this.old > 0 || document.visibilityState !== "visible");
    }
    this.term.open(place);
    this.term.onData((text) => this.type(new TextEncoder().encode(text)));
    this.term.onBinary((text) => this.type(Uint8Array.from(text, (byte) => byte.charCodeAt(0))));
    new ResizeObserver(() => place.clientHeight && this.fit.fit()).observe(place);
  }

  type(bytes) {
    for (let start = 0; start < bytes.length; start += PASTED) this.link.send(bytes.subarray(start, start + PASTED));
  }

  clear(old) {
    this.term.write("", () => {         // behind what waits to be shown
      this.term.reset();
      this.old = old;
    });
  }

  print(data) {
    this.term.write(new Uint8Array(data), () => {
      this.old = Math.max(this.old - data.byteLength, 0);
      this.link.ask("shown", { bytes: data.byteLength });
    });
  }

  // Whether the next match, or the previous one, of `text` is there.
  find(text, backwards, incremental) {
    const options = { incremental, decorations: FOUND[this.scheme] };
    return backwards ? this.finder.findPrevious(text, options) : this.finder.findNext(text, options);
  }

  set theme(scheme) {
    this.scheme = scheme;
    this.finder.clearDecorations();
    this.term.options.theme = THEMES[scheme];
  }
}
