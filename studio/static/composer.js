// Asks the server for music, and follows it until it is there: new, once more, or around what is on the stage.

import { say, trying } from "./messages.js";
import { titleOf } from "./names.js";
import { fileOf, follow, upload } from "./server.js";

const byId = id => document.getElementById(id);

export class Composer {
  constructor(stage, form, bars, takes, history, { onBusy }) {
    Object.assign(this, { stage, form, bars, takes, history, onBusy });
    this.writing = null;
    byId("options").addEventListener("submit", event => {
      event.preventDefault();
      if (!this.writing) trying(() => this.compose(form.read(), form.seed));
    });
    // While a piece is generated the same button stops that; it keeps the focus.
    byId("write").addEventListener("click", event => {
      if (!this.writing) return;
      event.preventDefault();
      this.writing.abort();
    });
    byId("same").addEventListener("click", () => trying(() => this.again(stage.piece.seed)));
    byId("other").addEventListener("click", () => trying(() => this.again(null)));
    byId("fill").addEventListener("click", () => trying(() => this.fill()));
    byId("harmonise").addEventListener("click", () => trying(() => this.harmonise()));
  }

  get isBusy() { return Boolean(this.writing); }

  /** Asks for pieces and follows them until they are there. */
  async compose(asked, seed) {
    if (this.writing) return;
    const { stage, takes } = this, mine = (this.writing = new AbortController());
    asked.options.seed = seed ?? Math.floor(Math.random() * 2 ** 31);
    const wasPlaying = stage.player.state === "playing";
    if (["after", "work"].some(id => byId(id).contains(document.activeElement))) byId("write").focus(); // what has the focus is about to go
    stage.clear();
    takes.begin(asked.take === undefined ? asked.options.num_pieces ?? 1 : 1);
    this.history.mark("");
    stage.title("A new piece", `Seed ${asked.options.seed}`);
    this.setBusy(true);
    say(stage.model.state === "getting ready" ? "Getting the model ready. Your piece is the next." : "Generating …");
    if (matchMedia("(max-width: 56rem)").matches) byId("stage").scrollIntoView({ block: "start" });
    else byId("sheet").scrollIntoView({ block: "nearest" });
    try {
      for await (const event of follow("api/pieces", asked, mine.signal)) this.take(event, asked.take ?? 0, wasPlaying);
      if (!stage.piece) throw new Error("The connection to the studio was lost.");
    } catch (error) {
      this.end(mine.signal.aborted ? null : error);
    } finally {
      this.writing = null;
      this.setBusy(false);
    }
  }

  take(event, shown, isPlayed) {
    if (event.event === "waiting") sayPlace(event);
    else if (event.event === "writing") say("Generating …");
    else if (event.event === "share") say(`Generating … ${Math.round(100 * event.share)} %`);
    else if (event.event === "notes") {
      if (event.take === shown) this.stage.grow(event);
      this.takes.grow(event.take, event.notes, event);
    } else if (event.event === "failed") throw new Error(event.message);
    else if (event.event === "done") this.finish(event.pieces, isPlayed);
  }

  finish(pieces, isPlayed) {
    const [first] = pieces;
    this.stage.show(first);
    if (isPlayed) this.stage.player.play(0);
    for (const piece of pieces) this.history.add(piece);
    this.history.mark(first.id);
    if (pieces.length > 1) {
      this.takes.finish(pieces);
      say(`Generated: ${pieces.length} takes. Hear each, and keep the best.`);
      return;
    }
    this.takes.clear();
    if (first.is_new === false) say("Same seed, same controls: the same piece, note for note.");
    else say(`Generated: ${first.notes} notes in ${first.bars} bars.`);
  }

  /** The piece did not come: it was stopped, or an error says why. */
  end(error) {
    const { stage } = this;
    stage.player.isWhole = true;
    this.takes.clear();
    if (error) {
      say("");
      throw error;
    }
    say(stage.notes.length ? "Stopped. What was generated so far is not kept." : "Stopped.");
    if (stage.notes.length) stage.title("A fragment", `${stage.notes.length} notes`);
    else stage.blank();
  }

  /** Asks for the piece on the stage once more: with the controls as they are now, or, of given bars, as it was made. */
  again(seed) {
    const { piece } = this.stage, around = ["fill", "harmonise"].find(name => piece[name]);
    const asked = around ? { options: { ...piece.options }, [around]: piece[around] } : this.form.read();
    if (seed !== null) {
      asked.options.num_pieces = piece.options.num_pieces ?? 1;
      asked.take = piece.take ?? 0;
    }
    return this.compose(asked, seed);
  }

  /** Returns what is on the stage as a file of the server's that music can be made around. */
  async asFile() {
    const { piece } = this.stage;
    return piece ? upload(`${titleOf(piece)}.mid`, await fileOf(`files/${piece.id}.mid`)) : this.form.primer;
  }

  /** Generates the chosen bars again; where no note follows them, the piece is continued from the bar before. */
  async fill() {
    if (this.writing) return;
    const { chosen, ticks } = this.bars, isLast = !this.stage.notes.some(([onset]) => onset >= ticks[1]);
    if (isLast && chosen[0] === 1) throw new Error("These are all the bars there are: choose fewer, or press Generate.");
    const options = this.form.readAround(), file = await this.stage.await(this.asFile());
    if (!file) return;
    const { name, sha256 } = file;
    if (isLast) Object.assign(options, { primer_bars: chosen[0] - 1, num_bars: chosen[1] });
    else options.fill_bars = chosen;
    await this.compose({ options, [isLast ? "primer" : "fill"]: { name, sha256 } }, this.form.seed);
  }

  /** Keeps the parts that are heard alone, or all, and generates others around them. */
  async harmonise() {
    if (this.writing) return;
    const { stage, form } = this, { solo } = stage.parts, { known_instruments: known } = stage.model;
    const names = (solo.length ? solo : stage.roll.order).map(program => stage.nameOf(program));
    const options = form.readAround(), others = (options.instruments ?? known).filter(name => !names.includes(name));
    if (!others.length && (options.instruments || known.length))
      throw new Error(`No instrument is left to play with ${names.join(", ")}: choose others, or keep fewer by Solo.`);
    const file = await stage.await(this.asFile());
    if (!file) return;
    const { name, sha256 } = file;
    if (others.length) options.instruments = others;
    if (solo.length) options.melody = names;
    await this.compose({ options, harmonise: { name, sha256 } }, form.seed);
  }

  setBusy(isBusy) {
    byId("write").textContent = isBusy ? "Stop generating" : "Generate";
    byId("stage").setAttribute("aria-busy", String(isBusy));
    for (const id of ["same", "other", "continue", "harmonise", "edit"]) byId(id).disabled = isBusy;
    this.onBusy();
  }
}

function sayPlace(event) {
  if (event.state === "getting ready") say("Getting the model ready. Your piece is the next.");
  else if (event.before > 0) say(`Waiting: ${event.before === 1 ? "one piece comes" : `${event.before} pieces come`} first.`);
}
