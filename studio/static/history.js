// Generated pieces: a list to come back to.

import { controlsOf, madeOf, titleOf } from "./names.js";

export class History {
  constructor(list, empty, { onOpen, onForget }) {
    Object.assign(this, { list, empty, onOpen, onForget });
    this.pieces = [];
    this.shown = "";
  }

  set(pieces) {
    this.pieces = pieces.sort(byAge);
    this.draw();
  }

  add(piece) {
    this.pieces = [piece, ...this.pieces.filter(other => other.id !== piece.id)].sort(byAge);
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
      line.textContent = [madeOf(piece), ...controlsOf(piece)].join(" · ");
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

// The newest first; takes that were made in the same second by their numbers.
function byAge(one, other) {
  return (other.number || 0) - (one.number || 0) || (one.id < other.id ? 1 : -1);
}
