// Notes edited by hand: added, dragged on the grid or moved by keys, deleted, undone; what is saved is a piece of its own.

import { noteName } from "./names.js";

const byId = id => document.getElementById(id);
const EDGE_PX = 7; // so near to its end a note is made longer or shorter
const [ONSET, LENGTH, PITCH, VELOCITY, PROGRAM] = [0, 1, 2, 3, 4];
const USUAL_VELOCITY = 80; // of a note that is added where no other is

export class Editor {
  constructor(stage, bars, { onSave, onQuit, say }) {
    Object.assign(this, { stage, bars, onSave, onQuit, say });
    this.isOn = false;
    this.quit();
    byId("edit").addEventListener("click", () => (this.isOn ? this.discard() : this.begin()));
    byId("undo").addEventListener("click", () => this.step(this.past, this.future));
    byId("redo").addEventListener("click", () => this.step(this.future, this.past));
    byId("add-note").addEventListener("click", () => this.addNext());
    byId("delete-note").addEventListener("click", () => this.remove());
    byId("save").addEventListener("click", () => this.onSave(this.notes));
    const canvas = byId("roll");
    canvas.addEventListener("pointerdown", event => this.isOn && !event.button && this.take(event));
    canvas.addEventListener("pointermove", event => this.drag && this.move(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => this.drag && this.drop());
    canvas.addEventListener("dblclick", event => this.isOn && this.held < 0 && this.addAt(event));
    canvas.addEventListener("keydown", event => this.isOn && this.press(event));
  }

  get notes() { return this.stage.notes; }

  /** Ticks of a sixteenth. */
  get grid() { return Math.max(1, Math.round(this.stage.timing.ticks_per_quarter / 4)); }

  begin() {
    this.isOn = this.bars.isOff = true;
    this.bars.choose(null);
    this.stage.player.dropSound(); // it is no longer what stands on the roll
    this.show(this.notes.map(note => [...note]), null);
    byId("roll").tabIndex = 0;
    byId("roll").setAttribute("role", "application");
    byId("roll").setAttribute("aria-describedby", "edit-help");
    byId("roll").focus();
    this.offerInstruments();
    this.say("Drag a note, or double-click an empty place to add one.");
  }

  /** Ends without a word: another piece takes the stage, or this one as it was. */
  quit() {
    this.isOn = this.bars.isOff = false;
    this.past = [];
    this.future = [];
    this.held = -1;
    this.drag = null;
    this.stage.roll.held = null;
    byId("roll").removeAttribute("tabindex");
    byId("roll").setAttribute("role", "img");
    byId("roll").setAttribute("aria-describedby", "piece-summary");
    this.showButtons();
  }

  discard() {
    if (this.past.length && !confirm("Leave without saving the notes as they are now?")) return;
    this.quit();
    this.onQuit();
    byId("edit").focus();
  }

  /** Takes notes as they are now; `held` is the one that the keys work on. */
  show(notes, held) {
    this.held = held === null ? -1 : notes.indexOf(held);
    this.stage.setNotes(notes, held);
    this.showButtons();
  }

  /** New notes are of one of the instruments that are there: that of the note that was held last, unless another is chosen. */
  offerInstruments() {
    const { stage } = this, programs = stage.roll.order;
    byId("note-instrument").replaceChildren(...programs.map(program => new Option(stage.nameOf(program), program)));
    byId("new-note").hidden = programs.length < 2;
  }

  showButtons() {
    if (this.held >= 0) byId("note-instrument").value = this.notes[this.held][PROGRAM];
    byId("edit").setAttribute("aria-pressed", String(this.isOn));
    byId("edit-row").hidden = !this.isOn;
    byId("undo").disabled = !this.past.length;
    byId("redo").disabled = !this.future.length;
    byId("save").disabled = !this.past.length || !this.notes.length;
    byId("delete-note").disabled = this.held < 0;
  }

  /** Puts changed notes in the place of those before, which can be had back. */
  change(before, notes, held) {
    this.past.push(before);
    this.future = [];
    notes.sort((a, b) => a[ONSET] - b[ONSET] || a[PITCH] - b[PITCH]);
    this.show(notes, held);
    if (held) this.tell(held);
  }

  step(from, to) {
    if (!from.length) return;
    to.push(this.notes);
    this.show(from.pop(), null);
  }

  remove() {
    if (this.held < 0) return;
    const notes = this.notes.filter((_, i) => i !== this.held);
    this.change(this.notes, notes, null);
    if (notes.length) this.hold(Math.min(this.held < 0 ? 0 : this.held, notes.length - 1));
    this.say("Deleted.");
  }

  /** Adds a note where an empty place was tapped: with the others that begin there, else on the grid. */
  addAt(event) {
    const { roll, timing } = this.stage, tick = roll.tickAt(event.clientX);
    const bar = timing.bars.findLast(line => line <= tick);
    if (bar === undefined || tick >= timing.bars.at(-1)) return;
    const line = bar + Math.floor((tick - bar) / this.grid) * this.grid;
    this.add(Math.max(line, ...this.notes.map(note => note[ONSET]).filter(onset => onset <= tick)), roll.pitchAt(event.clientY));
  }

  /** Adds a note after the one that is held, of the same pitch; where none is held, at the position in the piece. */
  addNext() {
    const { player, roll } = this.stage, held = this.notes[this.held];
    const onset = held ? held[ONSET] + held[LENGTH] : Math.round(player.tickOf(player.now) / this.grid) * this.grid;
    this.add(onset, (held ?? this.likeAt(onset))?.[PITCH] ?? Math.round((roll.low + roll.high) / 2));
    byId("roll").focus();
  }

  /** Returns the note of the chosen instrument that is the nearest in time. */
  likeAt(onset) {
    const program = Number(byId("note-instrument").value), away = note => Math.abs(note[ONSET] - onset);
    const others = this.notes.filter(note => note[PROGRAM] === program);
    return others.length ? others.reduce((best, note) => (away(note) < away(best) ? note : best)) : null;
  }

  /** Adds a note as long and as loud as its neighbour; where the same note sounds already, the next higher one that is free. */
  add(onset, pitch) {
    const like = this.likeAt(onset), program = Number(byId("note-instrument").value);
    const [begin, length] = this.moved([onset, like?.[LENGTH] ?? this.stage.timing.ticks_per_quarter, pitch], 0, 0);
    const isTaken = height => this.notes.some(note => note[PROGRAM] === program && note[PITCH] === height
      && note[ONSET] < begin + length && begin < note[ONSET] + note[LENGTH]);
    while (isTaken(pitch) && pitch < 127) pitch++;
    const note = [begin, length, pitch, like?.[VELOCITY] ?? USUAL_VELOCITY, program];
    this.change(this.notes, [...this.notes, note], note);
    this.stage.roll.reveal(begin);
  }

  hold(index) {
    this.held = index;
    this.stage.roll.held = this.notes[index] ?? null;
    this.stage.roll.draw();
    this.showButtons();
  }

  tell(note) {
    const { bars } = this.stage.timing, bar = bars.findLastIndex(line => line <= note[ONSET]) + 1;
    const beat = (note[ONSET] - bars[bar - 1]) / this.stage.timing.ticks_per_quarter + 1;
    const rounded = number => Math.round(100 * number) / 100, quarters = note[LENGTH] / this.stage.timing.ticks_per_quarter;
    this.say(`${noteName(note[PITCH])}, ${this.stage.nameOf(note[PROGRAM])}, bar ${bar}, beat ${rounded(beat)}, length ${rounded(quarters)}`);
  }

  /** Returns a note that is elsewhere by ticks and semitones, or longer; it stays within the piece. */
  moved(note, ticks, semitones, longer = 0) {
    const [onset, length, pitch, ...rest] = note, end = this.stage.timing.bars.at(-1);
    const begin = Math.max(0, Math.min(onset + ticks, end - this.grid));
    return [begin, Math.max(this.grid, Math.min(length + longer, end - begin)), Math.max(0, Math.min(pitch + semitones, 127)), ...rest];
  }

  take(event) {
    const { roll } = this.stage, tick = roll.tickAt(event.clientX), pitch = roll.pitchAt(event.clientY);
    const least = EDGE_PX / roll.scale;
    const index = this.notes.findLastIndex(note => note[PITCH] === pitch && note[ONSET] <= tick && tick < note[ONSET] + Math.max(note[LENGTH], least));
    this.hold(index);
    if (index < 0) return;
    event.preventDefault();
    byId("roll").focus();
    byId("roll").setPointerCapture(event.pointerId);
    const note = this.notes[index], isEdge = note[LENGTH] * roll.scale > 3 * EDGE_PX && note[ONSET] + note[LENGTH] - tick < least;
    this.drag = { before: this.notes, note, index, tick, pitch, isEdge };
    this.tell(note);
  }

  move(event) {
    const { roll } = this.stage, { before, note, index, tick, pitch, isEdge } = this.drag;
    const ticks = Math.round((roll.tickAt(event.clientX) - tick) / this.grid) * this.grid;
    const now = isEdge ? this.moved(note, 0, 0, ticks) : this.moved(note, ticks, roll.pitchAt(event.clientY) - pitch);
    this.drag.now = now;
    roll.setNotes(before.map((other, i) => (i === index ? now : other)), now, { isMeasured: false });
  }

  drop() {
    const { before, note, index, now } = this.drag;
    this.drag = null;
    if (!now || now.join() === note.join()) this.show(before, note);
    else this.change(before, before.map((other, i) => (i === index ? now : other)), now);
  }

  press(event) {
    const { key } = event, isControl = event.ctrlKey || event.metaKey;
    if (isControl && key.toLowerCase() === "z") this.step(...(event.shiftKey ? [this.future, this.past] : [this.past, this.future]));
    else if (isControl && key.toLowerCase() === "y") this.step(this.future, this.past);
    else if (key === "Delete" || key === "Backspace") this.remove();
    else if (key === "Enter" || key === "Insert") this.addNext();
    else if (key.startsWith("Arrow")) this.arrow(key.slice(5), event.shiftKey, isControl);
    else return;
    event.preventDefault();
  }

  arrow(way, isShift, isControl) {
    const note = this.notes[this.held], right = { Right: 1, Left: -1 }[way] ?? 0, up = { Up: 1, Down: -1 }[way] ?? 0;
    if (!note || (right && !isShift && !isControl)) {
      const next = note ? this.held + right : this.notes.findIndex(other => other[ONSET] >= this.stage.roll.left);
      this.hold(Math.max(0, Math.min(next, this.notes.length - 1)));
      this.stage.roll.reveal(this.notes[this.held]?.[ONSET] ?? 0);
      if (this.notes[this.held]) this.tell(this.notes[this.held]);
      return;
    }
    const now = isControl ? this.moved(note, 0, 0, right * this.grid) : this.moved(note, right * this.grid, up * (isShift ? 12 : 1));
    if (now.join() !== note.join()) this.change(this.notes, this.notes.map((other, i) => (i === this.held ? now : other)), now);
  }
}
