// What is on the stage: a piece that was generated, a file that a piece begins with, or one that is being generated.

import { Parts } from "./parts.js";
import { Player } from "./player.js";
import { Roll } from "./roll.js";
import { minutes, summaryOf, titleOf } from "./names.js";

const byId = id => document.getElementById(id);
const FILES = ["mid", "wav", "ogg", "musicxml"];

export class Stage {
  constructor({ onShow, onComplaint }) {
    this.onShow = onShow;
    this.model = null;
    this.piece = null;
    this.notes = [];
    this.isGrowing = this.isHeld = false; // what a finger holds does not move away under it
    this.turn = null; // of whoever asked for the stage last
    this.roll = new Roll(byId("roll"));
    this.player = new Player(byId("sound"), { onChange: () => this.showPosition() });
    this.parts = new Parts(byId("legend"), this);
    byId("play").addEventListener("click", () => (this.player.state === "playing" ? this.player.pause() : this.player.play()));
    byId("stop").addEventListener("click", () => {
      this.player.stop();
      this.roll.scroll(-Infinity);
    });
    byId("position").addEventListener("input", event => this.player.seek(Number(event.target.value)));
    byId("zoom-in").addEventListener("click", () => this.roll.zoomBy(1.6));
    byId("zoom-out").addEventListener("click", () => this.roll.zoomBy(1 / 1.6));
    byId("zoom-all").addEventListener("click", () => this.roll.zoomBy(0));
    byId("roll").addEventListener("wheel", event => this.wheel(event), { passive: false });
    for (const input of document.querySelectorAll("[name=view]")) input.addEventListener("change", () => this.showScore());
    for (const name of ["load", "error"]) byId("page-image").addEventListener(name, () => byId("page").setAttribute("aria-busy", "false"));
    byId("page-image").addEventListener("error", () => onComplaint("The score cannot be shown; the studio's terminal says why."));
    byId("sound").addEventListener("error", () => {
      if (!byId("sound").getAttribute("src")) return;
      this.player.failed = true;
      this.showPosition();
    });
  }

  get timing() { return this.player.timing; }

  nameOf(program) { return this.model.instruments[program]; }

  /** Returns what the server answers; null where something else was asked for the stage meanwhile, which has it. */
  async await(asked) {
    const mine = (this.turn = {});
    try {
      const answer = await asked;
      return mine === this.turn ? answer : null;
    } catch (error) {
      if (mine === this.turn) throw error;
      return null;
    }
  }

  /** Takes the stage for something else. */
  clear() {
    this.turn = null;
    this.player.clear();
    this.piece = null;
    this.notes = [];
    this.isGrowing = false;
    this.roll.clear();
    this.parts.clear();
    byId("after").hidden = byId("work").hidden = byId("view").hidden = true;
    byId("play").disabled = true;
    byId("hint").hidden = true;
    this.showScore();
    this.showPosition();
    this.onShow();
  }

  /** Nothing is there: what a musician finds who comes for the first time. */
  blank() {
    this.clear();
    byId("hint").hidden = false;
    this.title("A blank sheet", "Say what you would like, or nothing at all, and press Generate.");
    byId("roll").setAttribute("aria-label", "Piano roll, empty");
  }

  title(title, summary) {
    byId("piece-title").textContent = title;
    byId("piece-summary").textContent = summary;
  }

  /** Takes new notes of what is being generated. */
  grow(event) {
    this.isGrowing = true;
    this.notes.push(...event.notes);
    this.notes.sort((a, b) => a[0] - b[0]);
    this.roll.grow(event.notes, event);
    this.roll.followEnd();
    this.player.set(this.notes, event, { isWhole: false });
    byId("play").disabled = false;
    byId("roll").setAttribute("aria-label", "Piano roll, being generated");
    byId("piece-summary").textContent = `${this.notes.length} notes so far`;
    this.parts.draw();
    this.showPosition();
  }

  /** Shows a piece that was generated, with all that can be done with it. */
  show(piece) {
    this.piece = piece;
    this.player.setSound(`files/${piece.id}.flac`);
    for (const suffix of FILES) {
      byId(suffix).href = `files/${piece.id}.${suffix}`;
      byId(suffix).download = `${titleOf(piece)}.${suffix}`;
    }
    byId("musicxml").hidden = byId("view").hidden = !this.model.has_scores;
    byId("after").hidden = false;
    this.showRecipe();
    this.showMusic(titleOf(piece), piece);
    if (this.player.state === "stopped") this.roll.scroll(-Infinity); // from the end, where it grew, to the beginning
  }

  /** Shows music of which only the notes are known: a file that a piece begins with. */
  showMusic(title, music) {
    this.isGrowing = false;
    this.notes = music.roll.notes;
    this.roll.selection = null;
    this.roll.show(music.roll, { primerTicks: music.primer_ticks });
    this.player.set(this.notes, music.roll, { isWhole: true });
    this.title(title, summaryOf(music));
    byId("roll").setAttribute("aria-label", `Piano roll of ${title}`);
    byId("play").disabled = byId("work").hidden = false;
    this.showScore();
    this.parts.draw();
    this.showPosition();
    this.onShow();
  }

  /** Takes notes that were edited, one of which is held; all else stays. */
  setNotes(notes, held) {
    this.notes = notes;
    this.roll.setNotes(notes, held, { isMeasured: true });
    this.player.set(notes, this.timing, { isWhole: true });
    this.parts.draw();
  }

  seekTick(tick) {
    this.player.seek(this.player.secondOf(Math.max(0, tick)));
  }

  wheel(event) {
    if (event.ctrlKey) {
      event.preventDefault();
      this.roll.zoomBy(event.deltaY < 0 ? 1.2 : 1 / 1.2, this.roll.tickAt(event.clientX));
      return;
    }
    const move = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
    if (move && this.roll.scroll(move)) event.preventDefault();
  }

  showRecipe() {
    const { piece, model } = this, rows = [["model", `${model.name}, step ${model.step}`]];
    if (piece.edited) rows.push(["edited by hand, from", piece.edited.name]);
    else rows.push(["seed", piece.seed]);
    for (const [name, words] of [["primer", "begins with"], ["fill", "bars again in"], ["harmonise", "other parts to"]])
      if (piece[name]) rows.push([words, piece[name].name]);
    for (const [name, value] of Object.entries(piece.options)) rows.push([name.replaceAll("_", " "), [value].flat(2).join(" ")]);
    if (piece.loops) rows.push(["loops broken", piece.loops]);
    byId("recipe").replaceChildren(...rows.flatMap(([name, value]) => {
      const term = document.createElement("dt"), text = document.createElement("dd");
      term.textContent = name;
      text.textContent = value;
      return [term, text];
    }));
    byId("again").hidden = Boolean(piece.edited);
    byId("command").textContent = `ostinato sample --again ${quoted(`${model.folder}/${piece.id}.mid`)}`;
  }

  /** The page of the score is asked for when it is looked at. */
  showScore() {
    const image = byId("page-image"), view = document.querySelector("[name=view]:checked").value;
    const isShown = Boolean(this.piece) && this.model.has_scores && view !== "roll";
    byId("page").hidden = !isShown;
    byId("sheet").classList.toggle("both", isShown && view === "both");
    byId("sheet").classList.toggle("staff", isShown && view === "staff");
    if (!isShown) for (const [id, name] of [["page-phone", "srcset"], ["page-image", "src"]]) byId(id).removeAttribute(name);
    else if (image.getAttribute("src") !== `files/${this.piece.id}.svg`) {
      byId("page").setAttribute("aria-busy", "true");
      byId("page-phone").srcset = `files/${this.piece.id}.phone.svg`;
      image.src = `files/${this.piece.id}.svg`;
      image.alt = `Score of ${titleOf(this.piece)}`;
    }
  }

  showPosition() {
    const { player, roll } = this, now = player.now, slider = byId("position"), hasMusic = this.notes.length > 0;
    slider.disabled = !hasMusic;
    slider.max = player.length.toFixed(2);
    slider.value = now;
    const tick = player.tickOf(now), bar = Math.max(1, player.timing.bars.findLastIndex(at => at <= tick) + 1);
    slider.setAttribute("aria-valuetext", `bar ${bar}, ${minutes(now)} of ${minutes(player.length)}`);
    byId("clock").textContent = hasMusic ? `${minutes(now)} / ${minutes(player.length)}` : "0:00";
    const label = player.state === "playing" ? "Pause" : "Play";
    if (byId("play").textContent !== label) byId("play").textContent = label;
    byId("stop").disabled = player.state === "stopped";
    byId("sound-state").textContent = this.soundState();
    if (!hasMusic) roll.cursor = null;
    else if (player.state === "stopped") {
      roll.cursor = null;
      roll.draw();
    } else roll.follow(tick, !this.isHeld);
  }

  soundState() {
    const { player } = this;
    if (!this.piece) return "";
    if (!player.isFlat) return "Mixed here, with the simple sound.";
    if (player.isRendered) return "";
    return player.failed ? "Plays with the simple sound." : "The full sound is being rendered …";
  }
}

function quoted(text) {
  return /^[\w./:+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
