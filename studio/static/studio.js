// The studio: asks the server for a piece, and shows and plays it while it is being generated.

import { Form } from "./form.js";
import { History, minutes, summaryOf, titleOf } from "./history.js";
import { Player } from "./player.js";
import { Roll } from "./roll.js";

const byId = id => document.getElementById(id);
const roll = new Roll(byId("roll"));
const player = new Player(byId("sound"), { onChange: showPosition });
const form = new Form(byId("options"), { onChange: showSelection });
const history = new History(byId("pieces"), byId("no-history"), { onOpen: open, onForget: forget });
let model, piece = null, writing = null, notes = [], shownState = "", dragged = false;

byId("options").addEventListener("submit", event => {
  event.preventDefault();
  if (writing) return;
  compose(form.seed);
});
// While a piece is generated the same button stops that; it keeps the focus.
byId("write").addEventListener("click", event => {
  if (!writing) return;
  event.preventDefault();
  writing.abort();
});
byId("play").addEventListener("click", () => (player.state === "playing" ? player.pause() : player.play()));
byId("stop").addEventListener("click", () => {
  player.stop();
  roll.scroll(-Infinity);
});
byId("score").addEventListener("toggle", showScore);
byId("page-image").addEventListener("error", () => complain(new Error("The score cannot be shown; the studio's terminal says why.")));
byId("same").addEventListener("click", () => compose(piece.seed));
byId("other").addEventListener("click", () => compose(null));
byId("continue").addEventListener("click", goOn);
byId("drop-primer").addEventListener("click", () => {
  form.setPrimer(null);
  blank();
  byId("file").focus();
});
byId("file").addEventListener("change", event => event.target.files[0] && upload(event.target.files[0]));
byId("position").addEventListener("input", event => player.seek(Number(event.target.value)));
byId("roll").addEventListener("pointerdown", event => {
  if (!piece && !notes.length) return;
  dragged = true;
  byId("roll").setPointerCapture(event.pointerId);
  player.seek(player.secondOf(Math.max(0, roll.tickAt(event.clientX))));
});
byId("roll").addEventListener("pointermove", event => {
  if (dragged && player.state !== "playing") player.seek(player.secondOf(Math.max(0, roll.tickAt(event.clientX))));
});
byId("roll").addEventListener("wheel", event => {
  const move = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
  if (!move || !roll.scroll(move)) return;
  event.preventDefault();
}, { passive: false });
for (const name of ["pointerup", "pointercancel"]) byId("roll").addEventListener(name, () => { dragged = false; });
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
  if (event.dataTransfer.files[0]) upload(event.dataTransfer.files[0]);
});

begin();

async function begin() {
  try {
    say("Loading the model.");
    model = await ask("api/model");
    byId("others").hidden = !model.is_one_of_many;
    byId("model").textContent = `with the model ${model.name}`;
    document.title = `${model.name} · Studio · Ostinato`;
    byId("folder").textContent = model.folder;
    form.offer(model);
    history.set((await ask("api/pieces")).pieces);
    await untilReady();
  } catch (error) {
    complain(error);
  }
}

async function untilReady() {
  while (model.state === "getting ready") {
    if (!writing) say("Getting the model ready. You can set the controls meanwhile.");
    await new Promise(done => setTimeout(done, 700));
    model = { ...model, ...(await ask("api/model")) };
  }
  if (model.state === "failed") complain(new Error("The model cannot generate; the studio's terminal says why."));
  else if (!writing) say(model.num_open ? "Ready; somebody else's piece is being generated." : "Ready.");
}

/** Asks for a piece and follows it until it is there. */
async function compose(seed) {
  if (writing) return;
  complain(null);
  let asked;
  try {
    asked = form.read();
  } catch (error) {
    complain(error);
    return;
  }
  asked.options.seed = seed ?? Math.floor(Math.random() * 2 ** 31);
  const wasPlaying = player.state === "playing";
  writing = new AbortController();
  const mine = writing;
  if (byId("after").contains(document.activeElement)) byId("write").focus(); // what has the focus is about to go
  clearPiece();
  byId("piece-title").textContent = "A new piece";
  byId("piece-summary").textContent = `Seed ${asked.options.seed}`;
  setBusy(true);
  say(model.state === "getting ready" ? "Getting the model ready. Your piece is the next." : "Generating …");
  if (matchMedia("(max-width: 56rem)").matches) byId("stage").scrollIntoView({ block: "start" });
  else byId("sheet").scrollIntoView({ block: "nearest" });
  try {
    const answer = await fetch("api/pieces", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(asked),
      signal: mine.signal,
    });
    if (!answer.ok) throw new Error(await messageOf(answer));
    for await (const event of lines(answer.body)) {
      if (event.event === "waiting") sayPlace(event);
      else if (event.event === "writing") say("Generating …");
      else if (event.event === "notes") grow(event);
      else if (event.event === "failed") throw new Error(event.message);
      else if (event.event === "done") {
        finish(event.piece);
        if (wasPlaying) player.play(0);
      }
    }
    if (!piece) throw new Error("The connection to the studio was lost.");
  } catch (error) {
    player.isWhole = true;
    if (mine.signal.aborted) {
      say(notes.length ? "Stopped. What was generated so far is not kept." : "Stopped.");
      byId("piece-title").textContent = notes.length ? "A fragment" : "A blank sheet";
    } else {
      say("");
      complain(error);
    }
  } finally {
    writing = null;
    setBusy(false);
  }
}

function sayPlace(event) {
  if (event.state === "getting ready") say("Getting the model ready. Your piece is the next.");
  else if (event.before > 0) say(`Waiting: ${event.before === 1 ? "one piece comes" : `${event.before} pieces come`} first.`);
}

function grow(event) {
  notes.push(...event.notes);
  notes.sort((a, b) => a[0] - b[0]);
  roll.grow(event.notes, event);
  roll.followEnd();
  player.set(notes, event, { isWhole: false });
  byId("play").disabled = false;
  byId("roll").setAttribute("aria-label", "Piano roll, being generated");
  byId("piece-summary").textContent = `${notes.length} notes so far`;
  showLegend();
  showPosition();
}

function finish(done) {
  const isSame = done.is_new === false;
  show(done);
  if (player.state === "stopped") roll.scroll(-Infinity); // from the end, where it grew, to the beginning
  history.add(done);
  history.mark(done.id);
  say(isSame ? "Same seed, same controls: the same piece, note for note." : `Generated: ${done.notes} notes in ${done.bars} bars.`);
}

function show(shown) {
  piece = shown;
  notes = shown.roll.notes;
  roll.selection = null;
  roll.show(shown.roll, { primerTicks: shown.primer_ticks });
  player.set(notes, shown.roll, { isWhole: true });
  player.setSound(`files/${shown.id}.flac`);
  byId("piece-title").textContent = titleOf(shown);
  byId("piece-summary").textContent = summaryOf(shown);
  byId("roll").setAttribute("aria-label", `Piano roll of ${titleOf(shown)}`);
  byId("play").disabled = false;
  byId("after").hidden = false;
  for (const [id, suffix] of [["midi", "mid"], ["wav", "wav"], ["musicxml", "musicxml"]]) {
    byId(id).href = `files/${shown.id}.${suffix}`;
    byId(id).download = `ostinato-${shown.id}.${suffix}`;
  }
  byId("musicxml").hidden = byId("score").hidden = !model.has_scores;
  showScore();
  showRecipe(shown);
  showLegend();
  showPosition();
}

function showRecipe(shown) {
  const rows = [["model", `${model.name}, step ${model.step}`], ["seed", shown.seed]];
  if (shown.primer) rows.push(["begins with", shown.primer.name]);
  for (const [name, value] of Object.entries(shown.options)) rows.push([name.replaceAll("_", " "), [value].flat(2).join(" ")]);
  if (shown.loops) rows.push(["loops broken", shown.loops]);
  byId("recipe").replaceChildren(...rows.flatMap(([name, value]) => {
    const term = document.createElement("dt"), text = document.createElement("dd");
    term.textContent = name;
    text.textContent = value;
    return [term, text];
  }));
  byId("command").textContent = `ostinato sample --again ${quoted(`${model.folder}/${shown.id}.mid`)}`;
}

/** Takes the stage for something else. */
/** The page is asked for when it is looked at. */
function showScore() {
  const image = byId("page-image");
  if (piece && byId("score").open) {
    image.src = `files/${piece.id}.svg`;
    image.alt = `Score of ${titleOf(piece)}`;
  } else image.removeAttribute("src");
}

function clearPiece() {
  player.clear();
  piece = null;
  notes = [];
  roll.clear();
  history.mark("");
  byId("after").hidden = byId("score").hidden = true;
  showScore();
  byId("play").disabled = true;
  byId("legend").replaceChildren();
  byId("hint").hidden = true;
  showPosition();
}

function blank() {
  if (writing) return;
  clearPiece();
  byId("hint").hidden = false;
  byId("piece-title").textContent = "A blank sheet";
  byId("piece-summary").textContent = "Say what you would like, or nothing at all, and press Generate.";
  byId("roll").setAttribute("aria-label", "Piano roll, empty");
}

async function open(id) {
  if (writing) return;
  complain(null);
  try {
    const found = await ask(`api/pieces/${id}`);
    clearPiece();
    show(found);
    history.mark(id);
    form.write(found.options);
    // After the reset of the form has been seen by all who listen to it.
    setTimeout(() => {
      form.setPrimer(found.primer ? { ...found.primer, bars: "?", notes: "?", instruments: [] } : null);
      if (found.primer) {
        form.setPrimerBars(found.options);
        byId("primer-summary").textContent = "as it was uploaded for this piece";
      }
      form.update();
    });
    say("Its controls are set again; press Play, or change them and generate another.");
    byId("stage").scrollIntoView({ block: "start" });
  } catch (error) {
    complain(error);
  }
}

async function forget(id) {
  const gone = history.pieces.find(other => other.id === id);
  if (!confirm(`Delete ${titleOf(gone)} for good?`)) return;
  try {
    await ask(`api/pieces/${id}`, { method: "DELETE" });
    history.remove(id);
    if (piece?.id === id) blank();
    say("Deleted.");
    byId("history-title").tabIndex = -1;
    byId("history-title").focus();
  } catch (error) {
    complain(error);
  }
}

async function upload(file) {
  if (writing) return;
  complain(null);
  say(`Reading ${file.name} …`);
  try {
    const primer = await ask(`api/uploads?name=${encodeURIComponent(file.name)}`, {
      method: "POST", headers: { "content-type": "audio/midi" }, body: file,
    });
    takePrimer(primer);
    byId("meter").value = ""; // that of the file, unless another is asked for now
    say(`${primer.name} is read: choose the bars that it begins with.`);
    byId("first-bar").focus();
  } catch (error) {
    form.setPrimer(null);
    say("");
    complain(error);
  }
}

function takePrimer(primer) {
  clearPiece();
  notes = primer.roll.notes;
  roll.show(primer.roll);
  player.set(notes, primer.roll, { isWhole: true });
  byId("piece-title").textContent = primer.name;
  byId("piece-summary").textContent = summaryOf(primer);
  byId("roll").setAttribute("aria-label", `Piano roll of ${primer.name}`);
  byId("play").disabled = false;
  form.setPrimer(primer);
  showLegend();
  showPosition();
}

/** The piece on the stage becomes the beginning of the next. */
async function goOn() {
  try {
    const answer = await fetch(`files/${piece.id}.mid`);
    if (!answer.ok) throw new Error(await messageOf(answer));
    const bars = piece.bars;
    await upload(new File([await answer.blob()], `ostinato-${piece.id}.mid`));
    if (form.primer) form.setPrimerBars({ primer_start: 1, primer_bars: bars });
  } catch (error) {
    complain(error);
  }
}

function showSelection() {
  if (!form.primer || piece || !form.primer.roll) return;
  const bars = form.primer.roll.bars, [first, last] = form.primerBars;
  roll.selection = last < first ? null : [bars[Math.min(first, bars.length) - 1], bars[Math.min(last, bars.length - 1)]];
  roll.draw();
}

function showPosition() {
  const now = player.now, slider = byId("position"), isPlaying = player.state === "playing";
  const hasMusic = notes.length > 0;
  slider.disabled = !hasMusic;
  slider.max = player.length.toFixed(2);
  slider.value = now;
  const tick = player.tickOf(now), bar = Math.max(1, player.timing.bars.findLastIndex(at => at <= tick) + 1);
  slider.setAttribute("aria-valuetext", `bar ${bar}, ${minutes(now)} of ${minutes(player.length)}`);
  byId("clock").textContent = hasMusic ? `${minutes(now)} / ${minutes(player.length)}` : "0:00";
  const label = isPlaying ? "Pause" : "Play";
  if (byId("play").textContent !== label) byId("play").textContent = label;
  byId("stop").disabled = player.state === "stopped";
  byId("sound-state").textContent = !piece ? "" : player.isRendered ? "" : player.failed ? "Plays with the simple sound." : "The full sound is being rendered …";
  if (!hasMusic) roll.cursor = null;
  else if (player.state === "stopped") {
    roll.cursor = null;
    roll.draw();
  } else roll.follow(tick, !dragged); // what a finger holds does not move away under it
}

function showLegend() {
  byId("legend").replaceChildren(...(roll.order || []).map(program => {
    const item = document.createElement("li"), mark = document.createElement("i");
    mark.style.background = roll.colour(program);
    item.append(mark, model.instruments[program]);
    return item;
  }));
}

roll.dark.addEventListener("change", showLegend);
player.audio.addEventListener("error", () => {
  if (!player.audio.getAttribute("src")) return;
  player.failed = true;
  showPosition();
});

function setBusy(isBusy) {
  byId("write").textContent = isBusy ? "Stop generating" : "Generate";
  byId("stage").setAttribute("aria-busy", String(isBusy));
  for (const id of ["same", "other", "continue"]) byId(id).disabled = isBusy;
}

function say(text) {
  if (text !== shownState) byId("status").textContent = text;
  shownState = text;
}

function complain(error) {
  const text = error ? error.message : "";
  byId("problem").hidden = !text;
  byId("problem").textContent = text;
  if (text) byId("problem").scrollIntoView({ block: "nearest" });
}

async function ask(path, options) {
  const answer = await fetch(path, options);
  if (!answer.ok) throw new Error(await messageOf(answer));
  return answer.status === 204 ? null : answer.json();
}

async function messageOf(answer) {
  const text = await answer.text();
  try {
    return JSON.parse(text).message;
  } catch {
    return `The studio answers with ${answer.status} ${answer.statusText}.`;
  }
}

async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  while (true) {
    const { value, done } = await reader.read();
    if (done) break;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const part of parts) if (part) yield JSON.parse(part);
  }
}

function quoted(text) {
  return /^[\w./:+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
