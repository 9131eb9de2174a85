// Notes edited by hand: dragged on the grid or moved by keys, deleted, undone; what is saved is a piece of its own.

import { noteName } from "./names.js";

const byId = id => document.getElementById(id);
const EDGE_PX = 7; // so near to its end a note is made longer or shorter
const [ONSET, LENGTH, PITCH] = [0, 1, 2];

export class Editor {
  constructor(stage, bars, { onSave, onQuit, say }) {
    Object.assign(this, { stage, bars, onSave, onQuit, say });
    this.isOn = false;
    this.quit();
    byId("edit").addEventListener("click", () => (this.isOn ? this.discard() : this.begin()));
    byId("undo").addEventListener("click", () => this.step(this.past, this.future));
    byId("redo").addEventListener("click", () => this.step(this.future, this.past));
    byId("delete-note").addEventListener("click", () => this.remove());
    byId("save").addEventListener("click", () => this.onSave(this.notes));
    const canvas = byId("roll");
    canvas.addEventListener("pointerdown", event => this.isOn && !event.button && this.take(event));
    canvas.addEventListener("pointermove", event => this.drag && this.move(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => this.drag && this.drop());
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
    byId("roll").focus();
    this.say("Drag notes, or choose one by the arrow keys: up and down change its pitch, Shift with left and right its time.");
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

  showButtons() {
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

  hold(index) {
    this.held = index;
    this.stage.roll.held = this.notes[index] ?? null;
    this.stage.roll.draw();
    this.showButtons();
  }

  tell(note) {
    const { bars } = this.stage.timing, bar = bars.findLastIndex(line => line <= note[ONSET]) + 1;
    const beat = (note[ONSET] - bars[bar - 1]) / this.stage.timing.ticks_per_quarter + 1;
    this.say(`${noteName(note[PITCH])}, ${this.stage.nameOf(note[4])}, bar ${bar}, beat ${Math.round(100 * beat) / 100}`);
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
