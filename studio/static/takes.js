// Takes side by side: a small roll of each, to hear them one after the other and keep the best.

import { Roll } from "./roll.js";
import { titleOf } from "./names.js";

const byId = id => document.getElementById(id);

export class Takes {
  constructor({ onHear, onKeep }) {
    Object.assign(this, { onHear, onKeep });
    this.cards = [];
    byId("keep-all").addEventListener("click", () => {
      this.clear();
      byId("write").focus();
    });
  }

  clear() {
    this.begin(0);
  }

  /** Makes room for so many takes; one alone has the stage. */
  begin(count) {
    this.cards = count > 1 ? Array.from({ length: count }, (_, number) => this.card(number)) : [];
    byId("takes").hidden = !this.cards.length;
    byId("keep-all").hidden = true;
    byId("take-list").replaceChildren(...this.cards.map(card => card.item));
  }

  grow(number, notes, timing) {
    this.cards[number]?.roll.grow(notes, timing);
  }

  /** Shows the whole pieces. */
  finish(pieces) {
    if (pieces.length !== this.cards.length) this.begin(pieces.length); // fewer than were asked for
    this.cards.forEach((card, i) => {
      const piece = pieces[i], title = titleOf(piece);
      card.piece = piece;
      card.roll.show(piece.roll, { primerTicks: piece.primer_ticks });
      card.item.querySelector("strong").textContent = title;
      card.canvas.setAttribute("aria-label", `Piano roll of ${title}`);
      for (const [button, label] of [[card.hear, "Hear"], [card.keep, "Keep only"]]) {
        button.disabled = false;
        button.setAttribute("aria-label", `${label} ${title}`);
      }
    });
    byId("keep-all").hidden = !this.cards.length;
    this.mark(pieces[0].id);
  }

  /** Says which one is on the stage. */
  mark(id) {
    for (const { item, piece, hear } of this.cards) {
      item.classList.toggle("shown", piece?.id === id);
      if (piece?.id === id) hear.setAttribute("aria-current", "true");
      else hear.removeAttribute("aria-current");
    }
  }

  get pieces() {
    return this.cards.map(card => card.piece).filter(Boolean);
  }

  card(number) {
    const item = document.createElement("li"), title = document.createElement("strong"), row = document.createElement("span");
    const canvas = document.createElement("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Piano roll of take ${number + 1}, being generated`);
    title.textContent = `Take ${number + 1}`;
    const button = (label, act) => {
      const made = document.createElement("button");
      Object.assign(made, { type: "button", textContent: label, disabled: true });
      made.addEventListener("click", act);
      return made;
    };
    const card = { item, canvas, roll: new Roll(canvas, { isSmall: true }), piece: null };
    card.hear = button("Hear", () => this.onHear(card.piece));
    card.keep = button("Keep only this", () => this.onKeep(card.piece, this.pieces.filter(piece => piece !== card.piece)));
    row.className = "row";
    row.append(card.hear, card.keep);
    item.append(title, canvas, row);
    return card;
  }
}
