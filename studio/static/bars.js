// The bars that are chosen on the roll: by drawing over them with the mouse or a finger, or by two numbers.

const byId = id => document.getElementById(id);
const CLICK_PX = 6; // less than that is a click, not a choice

export class Bars {
  constructor(stage, { onChange }) {
    this.stage = stage;
    this.onChange = onChange;
    this.chosen = null; // [first bar, number of bars]
    this.isOff = false; // while notes are edited, the roll is not for choosing
    const canvas = byId("roll");
    canvas.addEventListener("pointerdown", event => this.begin(event));
    canvas.addEventListener("pointermove", event => this.draw(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, event => this.end(event));
    for (const id of ["from-bar", "to-bar"]) byId(id).addEventListener("input", () => this.read());
    byId("no-bars").addEventListener("click", () => {
      this.choose(null);
      byId("from-bar").focus();
    });
    byId("loop").addEventListener("change", () => this.show());
  }

  get lines() { return this.stage.timing.bars; }

  get count() { return this.lines.length - 1; }

  /** Ticks from the first bar line to the last of what is chosen. */
  get ticks() {
    return this.chosen && [this.lines[this.chosen[0] - 1], this.lines[this.chosen[0] + this.chosen[1] - 1]];
  }

  choose(chosen) {
    const count = this.count;
    if (chosen) {
      const first = Math.max(1, Math.min(chosen[0], count)), last = Math.min(first + chosen[1] - 1, count);
      chosen = last < first ? null : [first, last - first + 1];
    }
    this.chosen = chosen;
    byId("from-bar").value = chosen ? chosen[0] : "";
    byId("to-bar").value = chosen ? chosen[0] + chosen[1] - 1 : "";
    this.show();
  }

  /** Takes what stands in the two fields. */
  read() {
    const first = Number(byId("from-bar").value), last = Number(byId("to-bar").value) || first;
    const isThere = Number.isInteger(first) && Number.isInteger(last) && first >= 1 && last >= first && last <= this.count;
    this.chosen = isThere ? [first, last - first + 1] : null;
    this.show();
  }

  show() {
    for (const id of ["from-bar", "to-bar"]) byId(id).max = this.count;
    byId("no-bars").disabled = byId("loop").disabled = !this.chosen;
    if (!this.chosen) byId("loop").checked = false;
    this.stage.roll.selection = this.ticks;
    this.stage.roll.draw();
    this.stage.player.setLoop(byId("loop").checked ? this.ticks : null);
    this.onChange(this.chosen);
  }

  begin(event) {
    if (this.isOff || !this.stage.notes.length || event.button) return;
    this.from = event.clientX;
    this.isDrawn = false;
    this.stage.isHeld = true;
    byId("roll").setPointerCapture(event.pointerId);
  }

  draw(event) {
    if (this.from === undefined) return;
    this.isDrawn ||= Math.abs(event.clientX - this.from) > CLICK_PX;
    if (!this.isDrawn || this.stage.isGrowing) return;
    const [first, last] = [this.from, event.clientX].sort((a, b) => a - b).map(x => this.barAt(x));
    this.choose([first, last - first + 1]);
  }

  end(event) {
    if (this.from === undefined) return;
    this.from = undefined;
    this.stage.isHeld = false;
    if (!this.isDrawn && event.type === "pointerup") this.stage.seekTick(this.stage.roll.tickAt(event.clientX));
  }

  barAt(clientX) {
    const tick = this.stage.roll.tickAt(clientX);
    return Math.max(1, Math.min(this.lines.findLastIndex(line => line <= tick) + 1, this.count));
  }
}
