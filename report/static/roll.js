// The piano roll of the studio and of pages on disk: a canvas that draws a piece, also as it grows, and follows a cursor.
// It loads nothing, so that a page can hold it.

const LIGHT = ["#0072b2", "#c4530a", "#00855f", "#a8518a", "#2c87bd", "#9a6b00", "#5b5f97", "#66713b"];
const DARK = ["#5aa9dc", "#f0884a", "#3fc39a", "#e29cc6", "#8ccbf0", "#e9b949", "#a3a7df", "#b3bf80"];
// Okabe and Ito's colours, which people with colour blindness can tell apart, made to stand on light and on dark paper.
const LIGHT_PAPER = {
  paper: "#fff", key: "#f6f4ee", line: "#dcd9d0", text: "#5c626b", given: "#f3e3b8a0", cursor: "#9b3226", flash: "#23262b", score: "#d62839",
};
const DARK_PAPER = {
  paper: "#23272c", key: "#1a1d20", line: "#31363c", text: "#a3aab5", given: "#4d432599", cursor: "#f0a095", flash: "#fff", score: "#ff5d6c",
};
const BLACK_KEYS = [1, 3, 6, 8, 10];
const REVEAL_MS = 450; // new notes come in one after the other, however fast they were generated
const FLASH_MS = 500;
const GUTTER = 30; // pixels at the left, where the octaves are named
const TOP = 18; // pixels at the top, where the bars are numbered
const MAX_ZOOM = 40;
const HIGHEST_SCORE = 4; // a bar with it is tinted the most

/** Returns the second of a tick; `tempos` are [tick, its second, seconds in a tick from there on]. */
export function secondOf(tempos, tick) {
  const [at, second, pace] = tempos.findLast(([begin]) => begin <= tick) || tempos[0];
  return second + (tick - at) * pace;
}

/** Returns the tick of a second. */
export function tickOf(tempos, second) {
  const [tick, at, pace] = tempos.findLast(([, begin]) => begin <= second) || tempos[0];
  return tick + (second - at) / pace;
}

export class Roll {
  constructor(canvas, { isSmall = false } = {}) {
    this.canvas = canvas;
    this.gutter = isSmall ? 0 : GUTTER;
    this.top = isSmall ? 0 : TOP;
    this.quiet = new Set(); // programs that are not heard
    this.held = null; // the note that is edited
    this.zoom = 1; // how many times as wide as the canvas the whole piece is
    this.reduced = matchMedia("(prefers-reduced-motion: reduce)");
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.clear();
    new ResizeObserver(() => this.draw()).observe(canvas);
    this.dark.addEventListener("change", () => this.draw());
  }

  clear() {
    this.notes = [];
    this.bars = [0];
    this.end = 0;
    this.perQuarter = 24;
    this.primerTicks = 0;
    this.scores = []; // of each bar, what a judge made of it
    this.selection = null; // [first tick, last tick] of the bars that are chosen
    this.programs = [];
    this.cursor = null;
    this.held = null;
    this.quiet.clear();
    this.zoom = 1;
    this.left = 0;
    this.low = 48;
    this.high = 84;
    this.draw();
  }

  /** Takes new notes and the time that is known now; they appear one after the other. */
  grow(notes, timing) {
    const now = performance.now();
    const begin = Math.max(now, this.lastReveal || 0);
    const step = this.reduced.matches ? 0 : REVEAL_MS / Math.max(notes.length, 1);
    notes.forEach((note, i) => this.notes.push({ note, at: step ? begin + i * step : 0 }));
    this.lastReveal = step ? Math.min(begin + REVEAL_MS, now + 4 * REVEAL_MS) : now;
    this.measure(timing);
    this.animate();
  }

  /** Shows a whole piece; notes that are there already stay as they are. */
  show(roll, { primerTicks = roll.primer_ticks ?? 0 } = {}) {
    const there = new Map(this.notes.map(({ note, at }) => [note.join(), at]));
    this.notes = roll.notes.map(note => ({ note, at: there.get(note.join()) ?? 0 }));
    this.primerTicks = primerTicks;
    this.scores = roll.scores ?? [];
    this.measure(roll);
    this.animate();
  }

  /** Takes notes that were edited; while one is dragged the roll keeps its range of pitches. */
  setNotes(notes, held, { isMeasured }) {
    this.notes = notes.map(note => ({ note, at: 0 }));
    this.held = held;
    if (isMeasured && notes.length) this.measurePitches();
    this.draw();
  }

  measure(timing) {
    this.bars = timing.bars;
    this.perQuarter = timing.ticks_per_quarter;
    this.end = timing.bars[timing.bars.length - 1];
    this.measurePitches();
  }

  measurePitches() {
    const pitches = this.notes.map(({ note }) => note[2]);
    const low = Math.min(...pitches.slice(0, 20000)) - 3, high = Math.max(...pitches.slice(0, 20000)) + 3;
    const missing = Math.max(0, 24 - (high - low));
    this.low = low - Math.floor(missing / 2);
    this.high = high + Math.ceil(missing / 2);
    const sums = new Map();
    for (const { note } of this.notes) {
      const [sum, count] = sums.get(note[4]) || [0, 0];
      sums.set(note[4], [sum + note[2], count + 1]);
    }
    for (const program of sums.keys()) if (!this.programs.includes(program)) this.programs.push(program);
    this.order = [...sums].sort((a, b) => b[1][0] / b[1][1] - a[1][0] / a[1][1]).map(([program]) => program);
  }

  colour(program) {
    const colours = this.dark.matches ? DARK : LIGHT;
    return colours[this.programs.indexOf(program) % colours.length];
  }

  animate() {
    cancelAnimationFrame(this.frame);
    const step = () => {
      this.draw();
      if (performance.now() < (this.lastReveal || 0) + FLASH_MS) this.frame = requestAnimationFrame(step);
    };
    this.frame = requestAnimationFrame(step);
  }

  /** Pixels of a tick: the whole piece fits, and a few bars of one that has just begun do not fill it. */
  get scale() {
    return (this.zoom * this.width) / Math.max(this.end, 16 * this.perQuarter);
  }

  /** Where a tick is, in pixels from the left edge. */
  placeOf(tick) {
    return this.gutter + (tick - this.left) * this.scale;
  }

  /** Pixels that the music has. */
  get width() {
    return Math.max(1, this.canvas.clientWidth - this.gutter);
  }

  tickAt(clientX) {
    return (clientX - this.canvas.getBoundingClientRect().left - this.gutter) / this.scale + this.left;
  }

  pitchAt(clientY) {
    return this.high - Math.floor((clientY - this.canvas.getBoundingClientRect().top - this.top) / this.row);
  }

  /** Pixels of a semitone. */
  get row() {
    return (this.canvas.clientHeight - this.top) / (this.high - this.low + 1);
  }

  /** Shows less of the piece, or more, around a tick that stays where it is. */
  zoomBy(factor, tick = this.cursor ?? this.left + this.width / this.scale / 2) {
    const place = (tick - this.left) * this.scale;
    this.zoom = Math.max(1, Math.min(this.zoom * factor, MAX_ZOOM));
    this.left = tick - place / this.scale;
    this.scroll(0);
    this.draw();
  }

  follow(tick, keepInView) {
    this.cursor = tick;
    if (keepInView) {
      const inView = this.width / this.scale;
      if (tick < this.left || tick > this.left + 0.92 * inView) this.left = tick - 0.08 * inView;
      this.left = Math.max(0, Math.min(this.left, this.end - inView));
    }
    this.draw();
  }

  /** Moves the window to where a tick is seen. */
  reveal(tick) {
    const inView = this.width / this.scale;
    if (tick < this.left || tick > this.left + 0.95 * inView) this.left = tick - 0.2 * inView;
    this.scroll(0);
    this.draw();
  }

  /** Moves the window by some pixels; returns whether there was more to see there. */
  scroll(pixels) {
    const before = this.left;
    this.left = Math.max(0, Math.min(this.left + pixels / this.scale, this.end - this.width / this.scale));
    if (this.left !== before) this.draw();
    return this.left !== before;
  }

  /** While a piece is generated, its end is in view. */
  followEnd() {
    this.left = Math.max(0, this.end - this.width / this.scale);
  }

  draw() {
    const { canvas } = this, ratio = devicePixelRatio || 1;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    if (!width || !height) return;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const context = canvas.getContext("2d");
    const ink = this.dark.matches ? DARK_PAPER : LIGHT_PAPER;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = ink.paper;
    context.fillRect(0, 0, width, height);
    if (!this.end) return; // a blank sheet
    const { scale, top, row, gutter } = this;
    const x = tick => this.placeOf(tick), y = pitch => top + (this.high - pitch) * row;

    context.fillStyle = ink.key;
    for (let pitch = this.low; pitch <= this.high; pitch++)
      if (BLACK_KEYS.includes(((pitch % 12) + 12) % 12)) context.fillRect(0, y(pitch), width, row);
    if (this.primerTicks) {
      context.fillStyle = ink.given;
      context.fillRect(0, top, Math.max(0, x(this.primerTicks)), height - top);
    }
    this.scores.slice(0, this.bars.length - 1).forEach((score, bar) => {
      context.globalAlpha = 0.3 * Math.max(0, Math.min(score / HIGHEST_SCORE, 1));
      context.fillStyle = ink.score;
      context.fillRect(x(this.bars[bar]), top, (this.bars[bar + 1] - this.bars[bar]) * scale, height - top);
    });
    context.globalAlpha = 1;
    if (this.selection) {
      context.fillStyle = ink.given;
      context.fillRect(x(this.selection[0]), top, (this.selection[1] - this.selection[0]) * scale, height - top);
    }

    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "middle";
    context.strokeStyle = ink.line;
    context.lineWidth = 1;
    let lastLabel = -100;
    this.bars.forEach((tick, bar) => {
      const at = Math.round(x(tick)) + 0.5;
      if (at < gutter - 1 || at > width + 1) return;
      context.beginPath();
      context.moveTo(at, top);
      context.lineTo(at, height);
      context.stroke();
      if (top && bar < this.bars.length - 1 && at - lastLabel > 34 && at + 10 < width) {
        context.fillStyle = ink.text;
        context.fillText(String(bar + 1), at + 3, top / 2 + 1);
        lastLabel = at;
      }
    });
    const now = performance.now();
    for (const { note, at } of this.notes) {
      if (at > now) continue;
      const [onset, ticks, pitch, velocity, program] = note;
      const left = x(onset), wide = Math.max(1.5, ticks * scale - 1);
      if (left > width || left + wide < 0) continue;
      const playing = this.cursor !== null && this.cursor >= onset && this.cursor < onset + ticks;
      const fresh = at ? Math.max(0, 1 - (now - at) / FLASH_MS) : 0;
      const isTaken = !this.selection || (onset >= this.selection[0] && onset < this.selection[1]);
      context.globalAlpha = (0.5 + (0.5 * velocity) / 127) * (isTaken && !this.quiet.has(program) ? 1 : 0.3);
      context.fillStyle = this.colour(program);
      const tall = Math.max(top ? 2 : 1, row - 1), grow = playing || fresh ? Math.min(1.5, row / 4) : 0;
      context.beginPath();
      context.roundRect(left, y(pitch) + 0.5 - grow, wide, tall + 2 * grow, Math.min(3, tall / 2));
      context.fill();
      if (playing || fresh > 0.05) {
        context.globalAlpha = playing ? 0.55 : 0.7 * fresh;
        context.fillStyle = ink.flash;
        context.fill();
      }
      context.globalAlpha = 1;
      if (note === this.held) {
        context.strokeStyle = ink.flash;
        context.lineWidth = 2;
        context.strokeRect(left - 1, y(pitch) - 0.5, wide + 2, tall + 2);
      }
    }
    // What has gone out at the left is covered by the names of the octaves.
    context.fillStyle = ink.paper;
    context.fillRect(0, 0, gutter - 1, height);
    context.fillStyle = ink.text;
    for (let pitch = this.low; pitch <= this.high; pitch++)
      if (gutter && pitch % 12 === 0) context.fillText(`C${pitch / 12 - 1}`, 7, y(pitch) + row / 2);
    if (this.cursor !== null && x(this.cursor) >= gutter) {
      context.strokeStyle = ink.cursor;
      context.lineWidth = 2;
      context.beginPath();
      context.moveTo(x(this.cursor), 0);
      context.lineTo(x(this.cursor), height);
      context.stroke();
    }
  }
}
