// The studio: what is on the page, and how its parts hear of each other.

import { Bars } from "./bars.js";
import { Composer } from "./composer.js";
import { Editor } from "./editor.js";
import { Form } from "./form.js";
import { History } from "./history.js";
import { Keys } from "./keys.js";
import { complain, say, trying } from "./messages.js";
import { barsOf, titleOf } from "./names.js";
import { ask, fileOf, send, upload } from "./server.js";
import { Stage } from "./stage.js";
import { Takes } from "./takes.js";

const byId = id => document.getElementById(id);
const EXAMPLE = "Ode to Joy.abc";
const isNarrow = matchMedia("(max-width: 56rem)");
const stage = new Stage({ onShow: showMusic, onComplaint: text => complain(new Error(text)) });
const bars = new Bars(stage, { onChange: showChoice });
const editor = new Editor(stage, bars, { onSave: save, onQuit: () => (stage.piece ? present(stage.piece) : takePrimer(form.primer)), say });
const form = new Form(byId("options"), { onChange: showPrimerBars });
const history = new History(byId("pieces"), byId("no-history"), { onOpen: open, onForget: forget });
const takes = new Takes({ onHear: hear, onKeep: keepOnly });
const composer = new Composer(stage, form, bars, takes, history, { onBusy: () => showChoice(bars.chosen) });
new Keys(stage.player, { onPlayed: played, settings: () => form.toPlay(stage.model), complain });

byId("continue").addEventListener("click", () => trying(goOn));
byId("example").addEventListener("click", () => bring(EXAMPLE, () => fileOf("static/example.abc")));
byId("drop-primer").addEventListener("click", () => {
  form.setPrimer(null);
  if (!composer.isBusy) stage.blank();
  byId("file").focus();
});
byId("file").addEventListener("change", event => bringFile(event.target.files[0]));
addEventListener("keydown", event => {
  const isFree = !event.target.closest("input, select, button, a, summary, textarea, pre");
  if (event.key === " " && isFree && !byId("play").disabled) {
    event.preventDefault();
    byId("play").click();
  }
});
addEventListener("dragover", event => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
addEventListener("dragleave", event => event.relatedTarget || document.body.classList.remove("dropping"));
addEventListener("drop", event => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  bringFile(event.dataTransfer.files[0]);
});

isNarrow.addEventListener("change", fold);
fold();
trying(begin);

/** On a phone what is rarely needed is folded. */
function fold() {
  for (const part of document.querySelectorAll(".fold")) part.open = !isNarrow.matches;
}

async function begin() {
  say("Loading the model.");
  const model = (stage.model = await ask("api/model"));
  byId("others").hidden = !model.is_one_of_many;
  byId("model").textContent = `with the model ${model.name}`;
  document.title = `${model.name} · Studio · Ostinato`;
  byId("folder").textContent = model.folder;
  form.offer(model);
  history.set((await ask("api/pieces")).pieces);
  while (model.state === "getting ready") {
    if (!composer.isBusy) say("Getting the model ready. You can set the controls meanwhile.");
    await new Promise(done => setTimeout(done, 700));
    model.state = (await ask("api/model")).state;
  }
  if (model.state === "failed") throw new Error("The model cannot generate; the studio's terminal says why.");
  if (!composer.isBusy) say(model.num_open ? "Ready; somebody else's piece is being generated." : "Ready.");
}

/** Puts a piece that was generated or edited on the stage. */
function present(piece) {
  stage.clear();
  stage.show(piece);
  history.mark(piece.id);
  takes.mark(piece.id);
}

function hear(piece) {
  if (composer.isBusy) return;
  present(piece);
  stage.player.play(0);
}

function keepOnly(piece, others) {
  return trying(async () => {
    for (const other of others) {
      await ask(`api/pieces/${other.id}`, { method: "DELETE" });
      history.remove(other.id);
    }
    takes.clear();
    if (stage.piece?.id !== piece.id) present(piece);
    byId("play").focus();
    say(`${titleOf(piece)} is kept, the others are deleted.`);
  });
}

function open(id) {
  return composer.isBusy ? undefined : trying(async () => {
    const found = await stage.await(ask(`api/pieces/${id}`));
    if (!found) return;
    takes.clear();
    present(found);
    if (!found.edited) form.write(found.options);
    // After the reset of the form has been seen by all who listen to it.
    setTimeout(() => {
      form.setPrimer(found.primer ? { ...found.primer, bars: "?", notes: "?", instruments: [] } : null);
      if (found.primer) {
        form.setPrimerBars(found.options);
        byId("primer-summary").textContent = "as it was uploaded for this piece";
      }
      form.update();
    });
    say(found.edited ? "Press Play, or continue it." : "Its controls are set again; press Play, or change them and generate another.");
    byId("stage").scrollIntoView({ block: "start" });
  });
}

function forget(id) {
  const gone = history.pieces.find(other => other.id === id);
  if (!confirm(`Delete ${titleOf(gone)} for good?`)) return undefined;
  return trying(async () => {
    await ask(`api/pieces/${id}`, { method: "DELETE" });
    history.remove(id);
    if (stage.piece?.id === id) stage.blank();
    if (takes.pieces.some(piece => piece.id === id)) takes.clear();
    say("Deleted.");
    byId("history-title").tabIndex = -1;
    byId("history-title").focus();
  });
}

function bringFile(file) {
  return file && bring(file.name, () => file);
}

/** Takes a file of the musician's as the beginning: of several, the one that was chosen last. */
function bring(name, read) {
  return trying(async () => {
    if (composer.isBusy) throw new Error("A piece is being generated: wait for it, or stop it.");
    say(`Reading ${name} …`);
    try {
      const primer = await stage.await((async () => upload(name, await read()))());
      if (!primer) return;
      takePrimer(primer);
      say(`${primer.name} is read: choose the bars that it begins with.`);
      byId("first-bar").focus();
    } catch (error) {
      byId("file").value = ""; // so that the same file can be chosen again
      say("");
      throw error;
    }
  });
}

function takePrimer(primer) {
  takes.clear();
  stage.clear();
  history.mark("");
  stage.showMusic(primer.name, primer);
  form.setPrimer(primer);
  form.freeMeter(); // that of the file, unless another is asked for now
}

/** The piece on the stage becomes the beginning of the next. */
async function goOn() {
  const primer = await stage.await(composer.asFile());
  if (!primer) return;
  takePrimer(primer);
  beginWithAll();
}

/** What was played on a keyboard becomes the beginning. */
function played(music) {
  return trying(async () => {
    const primer = await stage.await(send("api/played", music));
    if (!primer) return;
    takePrimer(primer);
    beginWithAll();
  });
}

function beginWithAll() {
  form.setPrimerBars({ primer_start: 1, primer_bars: form.primer.bars });
  say("Press Generate: the new music continues after the last of these bars.");
  byId("first-bar").focus();
}

/** Notes that were edited become a piece of its own. */
function save(edited) {
  return trying(async () => {
    const { piece } = stage, { name, sha256 } = form.primer ?? {};
    const made = await send("api/edits", { ...(piece ? { piece: piece.id } : { upload: { name, sha256 } }), notes: edited });
    editor.quit();
    history.add(made);
    present(made);
    say(`${titleOf(made)} is kept; the piece that it was made from stays as it is.`);
    byId("edit").focus();
  });
}

/** Something else is on the stage. */
function showMusic() {
  if (editor.isOn) editor.quit();
  bars.choose(stage.piece?.options.fill_bars ?? null); // to hear them, or have them once more
}

/** What can be done with the bars that are chosen. */
function showChoice(chosen) {
  if (chosen && stage.piece) byId("work").open = true;
  byId("fill").disabled = !chosen || composer.isBusy;
  byId("fill").textContent = chosen ? `Generate ${barsOf(...chosen)} again` : "Generate these bars again";
  if (chosen && form.primer?.roll && !stage.piece) form.setPrimerBars({ primer_start: chosen[0], primer_bars: chosen[1] });
}

/** The bars that a piece begins with are those that are chosen on the roll. */
function showPrimerBars() {
  if (!form.primer?.roll || stage.piece || composer.isBusy) return;
  const [first, last] = form.primerBars, shown = bars.chosen;
  if (shown?.[0] !== first || shown?.[1] !== last - first + 1) bars.choose([first, last - first + 1]);
}
