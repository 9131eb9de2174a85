// Generated pieces: a list to come back to.

export class History {
  constructor(list, empty, { onOpen, onForget }) {
    Object.assign(this, { list, empty, onOpen, onForget });
    this.pieces = [];
    this.shown = "";
  }

  set(pieces) {
    this.pieces = pieces;
    this.draw();
  }

  add(piece) {
    this.pieces = [piece, ...this.pieces.filter(other => other.id !== piece.id)].sort((a, b) => (a.id < b.id ? 1 : -1));
    this.draw();
  }

  remove(id) {
    this.pieces = this.pieces.filter(piece => piece.id !== id);
    this.draw();
  }

  mark(id) {
    this.shown = id;
    for (const item of this.list.children) {
      const isShown = item.dataset.id === id;
      item.classList.toggle("shown", isShown);
      if (isShown) item.querySelector(".open").setAttribute("aria-current", "true");
      else item.querySelector(".open").removeAttribute("aria-current");
    }
  }

  draw() {
    this.empty.hidden = this.pieces.length > 0;
    this.list.replaceChildren(...this.pieces.map(piece => {
      const item = document.createElement("li");
      item.dataset.id = piece.id;
      const open = document.createElement("button");
      open.type = "button";
      open.className = "open";
      const title = document.createElement("strong"), line = document.createElement("span");
      title.textContent = titleOf(piece);
      line.className = "soft";
      line.textContent = controlsOf(piece).join(" · ") || "no controls";
      open.append(title, line);
      open.addEventListener("click", () => this.onOpen(piece.id));
      const forget = document.createElement("button");
      forget.type = "button";
      forget.className = "quiet";
      forget.textContent = "Delete";
      forget.setAttribute("aria-label", `Delete ${titleOf(piece)}`);
      forget.addEventListener("click", () => this.onForget(piece.id));
      item.append(open, forget);
      return item;
    }));
    this.mark(this.shown);
  }
}

/** How a piece is called: when it was made, and its seed. */
export function titleOf(piece) {
  const made = new Date(piece.made), today = new Date();
  const time = made.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const isToday = made.toDateString() === today.toDateString();
  const day = isToday ? "" : `${made.toLocaleDateString([], { day: "numeric", month: "short" })}, `;
  return `${day}${time}, seed ${piece.seed}`;
}

export function summaryOf(piece) {
  const tempos = piece.tempos.length > 1 ? `${piece.tempos[0]}–${piece.tempos.at(-1)}` : piece.tempos[0];
  return [
    `${piece.bars} ${piece.bars === 1 ? "bar" : "bars"}`, `${piece.notes} notes`, minutes(piece.seconds),
    `${tempos} quarters a minute`, piece.meters.slice(0, 3).join(", ") + (piece.meters.length > 3 ? " …" : ""),
    piece.instruments.slice(0, 6).join(", ") + (piece.instruments.length > 6 ? " …" : ""),
  ].filter(Boolean).join(" · ");
}

export function controlsOf(piece) {
  const options = piece.options, controls = [];
  if (piece.primer) {
    const first = options.primer_start ?? 1, last = first + (options.primer_bars ?? 1) - 1;
    controls.push(`after ${piece.primer.name}, ${first === last ? `bar ${first}` : `bars ${first} to ${last}`}`);
  }
  if (options.style) controls.push(options.style);
  if (options.num_bars) controls.push(`${options.num_bars} bars`);
  if (options.num_seconds) controls.push(`${options.num_seconds} seconds`);
  if (options.num_notes) controls.push(`${options.num_notes} notes`);
  if (options.tempo) controls.push(`tempo ${options.tempo}`);
  if (options.meter) controls.push(options.meter);
  if (options.key) controls.push(options.key.replaceAll("-", " "));
  if (options.instruments) controls.push(options.instruments.join(", "));
  controls.push(`temperature ${options.temperature ?? 1}`);
  const shown = ["num_bars", "num_seconds", "num_notes", "tempo", "meter", "key", "instruments", "temperature", "style", "primer_start", "primer_bars"];
  for (const [name, value] of Object.entries(options))
    if (!shown.includes(name)) controls.push(`${name.replaceAll("_", " ")} ${[value].flat(2).join(" ")}`);
  return controls;
}

export function minutes(seconds) {
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
