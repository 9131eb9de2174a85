// The controls: from the page's fields to the options of `ostinato sample`, and back.

const byId = id => document.getElementById(id);
const NUMBERS = { tempo: "tempo", density: "density", "top-p": "top_p", "top-k": "top_k", "min-p": "min_p", "repeat-strength": "repeat_strength" };
const RELATED = { rhythm: "rhythm", pitch: "pitch" };
const ENOUGH_TEMPO = 100; // at which is played where none is asked for
const FEW = 12; // instruments shown at first
const OF_THE_PIECE = ["num_bars", "num_seconds", "num_notes", "form", "tempo", "meter", "primer_start", "primer_bars"];

export class Form {
  constructor(form, { onChange }) {
    this.form = form;
    this.onChange = onChange;
    this.primer = null;
    byId("key").addEventListener("change", () => this.update());
    byId("unit").addEventListener("change", () => this.update());
    byId("temperature").addEventListener("input", () => this.update());
    for (const id of ["first-bar", "last-bar"]) byId(id).addEventListener("input", () => this.onChange());
    byId("add-instrument").addEventListener("change", event => {
      if (event.target.value) this.tick(event.target.value).focus();
      event.target.value = "";
    });
    form.addEventListener("reset", () => setTimeout(() => {
      this.setPrimer(null);
      this.update();
    }));
  }

  /** Fills in what the model knows. */
  offer(model) {
    this.model = model;
    byId("styles").append(choice("style", "", "any", true), ...model.styles.map(style => choice("style", style, style)));
    byId("styles").hidden = !model.styles.length;
    byId("modes").append(...model.modes.map((mode, i) => choice("mode", mode, mode.replaceAll("-", " "), !i)));
    for (const part of document.querySelectorAll(".score")) part.hidden = model.codec !== "score";
    const known = model.known_instruments;
    for (const name of known.slice(0, FEW)) this.tick(name, false);
    const others = model.instruments.filter(name => !known.includes(name));
    const group = (label, names) => {
      const element = document.createElement("optgroup");
      element.label = label;
      element.append(...names.map(name => new Option(name, name)));
      if (names.length) byId("add-instrument").append(element);
    };
    group("Heard in training", known.slice(FEW));
    group(known.length ? "Never heard in training: expect noise" : "Instruments", others);
    if (known.length) byId("instruments-help").textContent = "None chosen: the model chooses among what it has heard.";
    this.update();
  }

  tick(name, checked = true) {
    let box = [...byId("instrument-list").querySelectorAll("input")].find(input => input.value === name);
    if (!box) {
      const label = choice("instrument", name, name);
      box = label.querySelector("input");
      box.type = "checkbox";
      byId("instrument-list").append(label);
    }
    box.checked = checked;
    return box;
  }

  update() {
    byId("modes").hidden = !this.picked("tonic");
    byId("length").disabled = !byId("unit").value;
    byId("temperature-value").textContent = Number(byId("temperature").value).toFixed(2);
    this.onChange();
  }

  setPrimer(primer) {
    this.primer = primer;
    byId("no-primer").hidden = Boolean(primer);
    byId("has-primer").hidden = !primer;
    byId("file").value = "";
    if (primer) {
      byId("primer-name").textContent = primer.name;
      byId("primer-summary").textContent = `${primer.bars} bars, ${primer.notes} notes, ${primer.instruments.join(", ")}`;
      byId("first-bar").value = 1;
      byId("last-bar").value = Math.min(4, primer.bars);
      for (const id of ["first-bar", "last-bar"]) byId(id).max = primer.bars;
    }
    this.onChange();
  }

  /** First and last bar that are taken, as far as they are numbers. */
  get primerBars() {
    return [Number(byId("first-bar").value) || 1, Number(byId("last-bar").value) || 1];
  }

  /** What is asked of the server. */
  read() {
    const options = { temperature: Number(byId("temperature").value) };
    const unit = byId("unit").value;
    const form = this.model.codec === "score" ? byId("form").value.trim() : "";
    if (form) options.form = form; // it says how long the piece is
    else if (unit) options[unit] = number(byId("length"), "Length");
    if (this.picked("style")) options.style = this.picked("style");
    if (this.picked("tonic")) options.key = `${this.picked("tonic")} ${this.picked("mode")}`;
    if (this.model.codec === "score") {
      if (byId("meter").value) options.meter = byId("meter").value;
      const names = [...byId("instrument-list").querySelectorAll("input:checked")].map(input => input.value);
      if (names.length) options.instruments = names;
      if (Number(byId("key-bias").value)) options.key_bias = Number(byId("key-bias").value);
      const heats = Object.entries(RELATED).filter(([id]) => byId(id).value);
      if (heats.length) options.field_temperature = heats.map(([id, name]) => [name, Number(byId(id).value)]);
    }
    for (const [id, name] of Object.entries(NUMBERS)) {
      const isOffered = this.model.codec === "score" || !byId(id).closest(".score");
      if (isOffered && (byId(id).value || byId(id).validity.badInput)) options[name] = number(byId(id), labelOf(byId(id)));
    }
    const low = byId("low").value.trim(), high = byId("high").value.trim();
    if (low || high) options.pitch_range = [low || "1", high || "127"];
    if (!byId("loop-guard").checked) options.loop_guard = 0;
    if (this.picked("takes") !== "1") options.num_pieces = Number(this.picked("takes"));
    let primer = null;
    if (this.primer) {
      const [first, last] = this.primerBars;
      if (last < first) throw new Error(`Bars ${first} to ${last}: the last comes before the first.`);
      options.primer_start = first;
      options.primer_bars = last - first + 1;
      primer = { name: this.primer.name, sha256: this.primer.sha256 };
    }
    return { options, primer };
  }

  /** Which of a few buttons is chosen. */
  picked(name) {
    return this.form.querySelector(`[name=${name}]:checked`).value;
  }

  /** Chooses one of a few buttons; none where it is not there, such as a style that this model has not. */
  pick(name, value) {
    const found = [...this.form.querySelectorAll(`[name=${name}]`)].find(input => input.value === String(value));
    if (found) found.checked = true;
  }

  freeMeter() {
    byId("meter").value = "";
  }

  /** With what a beginning is played on a keyboard. */
  toPlay(model) {
    const first = this.form.querySelector("#instrument-list input:checked")?.value ?? model.known_instruments[0];
    return {
      tempo: Number(byId("tempo").value) || ENOUGH_TEMPO,
      meter: byId("meter").value || "4/4",
      program: Math.max(0, model.instruments.indexOf(first)),
    };
  }

  /** What is asked of music around given notes: they have their length, their tempo and their meter. */
  readAround() {
    const { options } = this.read();
    for (const name of OF_THE_PIECE) delete options[name];
    return options;
  }

  get seed() {
    return byId("seed").value || byId("seed").validity.badInput ? number(byId("seed"), "Seed") : null;
  }

  /** Puts the controls of an earlier piece back into the fields; its beginning comes by `setPrimer`. */
  write(options) {
    this.form.reset();
    const unit = ["num_bars", "num_seconds", "num_notes"].find(name => options[name]) || "";
    byId("unit").value = unit;
    if (unit) byId("length").value = options[unit];
    byId("form").value = options.form || "";
    this.pick("takes", options.num_pieces ?? 1);
    byId("meter").value = options.meter || "";
    this.pick("style", options.style || "");
    const [tonic, ...mode] = (options.key || "").split(" ");
    this.pick("tonic", tonic);
    this.pick("mode", mode.join(" ") || "major");
    byId("temperature").value = options.temperature ?? 1;
    byId("key-bias").value = options.key_bias ?? 0;
    for (const [id, name] of Object.entries(NUMBERS)) byId(id).value = options[name] ?? "";
    const heats = Object.fromEntries(options.field_temperature || []);
    for (const [id, name] of Object.entries(RELATED)) byId(id).value = heats[name] ?? "";
    for (const box of byId("instrument-list").querySelectorAll("input")) box.checked = false;
    for (const name of options.instruments || []) this.tick(name);
    const [low, high] = options.pitch_range || ["1", "127"];
    byId("low").value = ["0", "1"].includes(low) ? "" : low;
    byId("high").value = high === "127" ? "" : high;
    byId("loop-guard").checked = (options.loop_guard ?? 4) > 0;
  }

  setPrimerBars(options) {
    byId("first-bar").value = options.primer_start ?? 1;
    byId("last-bar").value = (options.primer_start ?? 1) + (options.primer_bars ?? 1) - 1;
    this.onChange();
  }
}

/** A radio button, drawn as a button. */
function choice(name, value, text, checked = false) {
  const label = document.createElement("label"), input = document.createElement("input"), span = document.createElement("span");
  Object.assign(input, { type: "radio", name, value, defaultChecked: checked, checked });
  span.textContent = text;
  label.append(input, span);
  return label;
}

function number(input, name) {
  const value = Number(input.value);
  if (!input.value || Number.isNaN(value)) throw new Error(`${name}: please give a number.`);
  return value;
}

function labelOf(input) {
  return input.labels[0]?.textContent ?? input.id;
}
