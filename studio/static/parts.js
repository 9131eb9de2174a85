// The parts of a piece, by instrument: what colour each has on the roll, and how loud it is heard.

export class Parts {
  constructor(list, stage) {
    Object.assign(this, { list, stage });
    this.state = new Map(); // by program: { isMuted, isSolo, volume }
    stage.roll.dark.addEventListener("change", () => this.draw());
  }

  clear() {
    this.state.clear();
    this.list.replaceChildren();
  }

  /** Programs that are to be heard alone; none where all are. */
  get solo() {
    return [...this.state].filter(([, part]) => part.isSolo).map(([program]) => program);
  }

  /** Draws those that the roll has, from the highest to the lowest; what was muted stays so. */
  draw() {
    const programs = this.stage.roll.order || [];
    for (const program of this.state.keys()) if (!programs.includes(program)) this.state.delete(program);
    for (const program of programs)
      if (!this.state.has(program)) this.state.set(program, { isMuted: false, isSolo: false, volume: 1 });
    const shown = [...this.list.children].map(item => Number(item.dataset.program));
    if (shown.join() !== programs.join()) this.list.replaceChildren(...programs.map(program => this.item(program)));
    for (const item of this.list.children)
      item.querySelector("i").style.background = this.stage.roll.colour(Number(item.dataset.program));
  }

  item(program) {
    const name = this.stage.nameOf(program), part = this.state.get(program);
    const item = document.createElement("li"), mark = document.createElement("i"), text = document.createElement("span");
    item.dataset.program = program;
    text.textContent = name;
    const volume = document.createElement("input");
    Object.assign(volume, { type: "range", min: 0, max: 1, step: 0.05, value: part.volume });
    volume.setAttribute("aria-label", `Volume of ${name}`);
    volume.addEventListener("input", () => {
      part.volume = Number(volume.value);
      this.mix();
    });
    item.append(mark, text, this.toggle(part, "isMuted", "Mute", name), this.toggle(part, "isSolo", "Solo", name), volume);
    return item;
  }

  toggle(part, which, label, name) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = label;
    button.setAttribute("aria-label", `${label} ${name}`);
    button.setAttribute("aria-pressed", String(part[which]));
    button.addEventListener("click", () => {
      part[which] = !part[which];
      button.setAttribute("aria-pressed", String(part[which]));
      this.mix();
    });
    return button;
  }

  mix() {
    const hasSolo = this.solo.length > 0;
    const loudness = part => (part.isMuted || (hasSolo && !part.isSolo) ? 0 : part.volume);
    const mix = new Map([...this.state].map(([program, part]) => [program, loudness(part)]));
    this.stage.player.setMix(mix);
    this.stage.roll.quiet = new Set([...mix].filter(([, loud]) => !loud).map(([program]) => program));
    this.stage.roll.draw();
  }
}
