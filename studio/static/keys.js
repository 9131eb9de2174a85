// A keyboard on screen, and a MIDI keyboard: what is played in time becomes what a piece begins with.

import { noteName } from "./names.js";
import { sound } from "./synth.js";

const byId = id => document.getElementById(id);
const LOWEST = 60, HIGHEST = 84; // two octaves from middle C
const LETTERS = "awsedftgyhujkolp"; // of the computer's keyboard, as keys from the lowest
const BLACK_KEYS = [1, 3, 6, 8, 10];
const GRID = 24, STEP = 6; // ticks of a quarter note and of a sixteenth
const CLICK = [76, 77]; // wood blocks: the first beat of a bar, and the others

export class Keys {
  constructor(player, { onPlayed, settings, complain }) {
    Object.assign(this, { player, onPlayed, settings, complain });
    this.down = new Map(); // by pitch: when it was pressed, and how hard
    this.take = null; // what is recorded
    byId("piano").append(...Array.from({ length: HIGHEST - LOWEST + 1 }, (_, i) => this.key(LOWEST + i)));
    byId("piano").addEventListener("keydown", event => this.letter(event, true));
    byId("piano").addEventListener("keyup", event => this.letter(event, false));
    byId("record").addEventListener("click", () => (this.take ? this.finish() : this.record()));
    byId("midi-input").hidden = !navigator.requestMIDIAccess;
    byId("midi-input").addEventListener("click", () => this.listen());
    byId("keys").addEventListener("toggle", () => byId("keys").open || this.drop());
  }

  key(pitch) {
    const key = document.createElement("button");
    Object.assign(key, { type: "button", tabIndex: pitch === LOWEST ? 0 : -1 });
    key.dataset.pitch = pitch;
    key.className = BLACK_KEYS.includes(pitch % 12) ? "black" : "white";
    key.setAttribute("aria-label", noteName(pitch));
    key.addEventListener("pointerdown", event => {
      key.setPointerCapture(event.pointerId);
      this.press(pitch, 90);
    });
    for (const name of ["pointerup", "pointercancel"]) key.addEventListener(name, () => this.release(pitch));
    return key;
  }

  /** Letters play, arrows go to the next key, Space and Enter play the key that has the focus. */
  letter(event, isDown) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const at = Number(event.target.dataset.pitch), place = LETTERS.indexOf(event.key.toLowerCase());
    const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (way && isDown) {
      const next = byId("piano").querySelector(`[data-pitch="${at + way}"]`);
      if (next) {
        event.target.tabIndex = -1;
        next.tabIndex = 0;
        next.focus();
      }
    } else if (event.key === " " || event.key === "Enter" || place >= 0) {
      const pitch = place >= 0 ? LOWEST + place : at;
      if (!event.repeat) isDown ? this.press(pitch, 90) : this.release(pitch);
    } else return;
    event.preventDefault();
  }

  press(pitch, velocity) {
    if (this.down.has(pitch)) return;
    const context = this.player.readyContext();
    this.down.set(pitch, [context.currentTime, velocity]);
    this.light(pitch, true);
    sound(context, this.output(context), context.currentTime, 0.45, pitch, velocity, this.settings().program);
  }

  release(pitch) {
    const pressed = this.down.get(pitch);
    if (!pressed) return;
    this.down.delete(pitch);
    this.light(pitch, false);
    const [from, velocity] = pressed;
    if (!this.take || from < this.take.begin - this.take.beat / 2) return; // while it was counted in
    this.take.notes.push([from, this.player.context.currentTime, pitch, velocity]);
    byId("record-state").textContent = `${this.take.notes.length} notes`;
  }

  light(pitch, isOn) {
    byId("piano").querySelector(`[data-pitch="${pitch}"]`)?.classList.toggle("down", isOn);
  }

  output(context) {
    if (!this.gain) {
      this.gain = context.createGain();
      this.gain.gain.value = 0.6;
      this.gain.connect(context.destination);
    }
    return this.gain;
  }

  /** Counts one bar in, and goes on with the beat until it is finished. */
  record() {
    this.player.stop();
    const context = this.player.readyContext(), { tempo, meter, program } = this.settings();
    const [beats, unit] = meter.split("/").map(Number), beat = ((60 / tempo) * 4) / unit;
    const begin = context.currentTime + 0.1 + beats * beat;
    this.take = { notes: [], tempo, meter, program, beat, begin };
    byId("record").textContent = "Done";
    byId("record").setAttribute("aria-pressed", "true");
    byId("record-state").textContent = "One bar is counted in …";
    let number = -beats;
    const click = () => {
      while (this.take && begin + number * beat < context.currentTime + 0.4) {
        const pitch = CLICK[number++ % beats === 0 ? 0 : 1];
        sound(context, this.output(context), Math.max(context.currentTime, begin + (number - 1) * beat), 0.05, pitch, 70, 128);
      }
    };
    click();
    this.timer = setInterval(click, 100);
  }

  /** What was recorded is put on the grid of sixteenths, and handed over. */
  finish() {
    for (const pitch of [...this.down.keys()]) this.release(pitch);
    const { notes, tempo, meter, program, begin } = this.take;
    this.drop();
    if (!notes.length) {
      this.complain(new Error("Nothing was played: press Record, wait for the bar that is counted in, and play."));
      return;
    }
    const steps = second => Math.round(((second - begin) * tempo * GRID) / 60 / STEP) * STEP;
    const onGrid = notes.map(([from, to, pitch, velocity]) => {
      const onset = Math.max(0, steps(from));
      return [onset, Math.max(STEP, steps(to) - onset), pitch, velocity, program];
    });
    this.onPlayed({ tempo, meter, notes: onGrid });
  }

  drop() {
    this.take = null;
    clearInterval(this.timer);
    byId("record").textContent = "Record";
    byId("record").setAttribute("aria-pressed", "false");
    byId("record-state").textContent = "";
  }

  /** Takes notes from all MIDI keyboards that are there, and those that come. */
  async listen() {
    try {
      const access = await navigator.requestMIDIAccess();
      const connect = () => {
        const inputs = [...access.inputs.values()];
        for (const input of inputs) input.onmidimessage = event => this.message(event.data);
        byId("midi-state").textContent = inputs.length ? `Listening to ${inputs.map(input => input.name).join(", ")}.` : "No MIDI keyboard is connected.";
      };
      access.onstatechange = connect;
      connect();
    } catch (error) {
      if (error.name !== "SecurityError" && error.name !== "NotAllowedError" && error.name !== "NotSupportedError") throw error;
      byId("midi-state").textContent = "The browser does not let the page listen to MIDI keyboards.";
    }
  }

  message([status, pitch, velocity]) {
    const kind = status & 0xf0;
    if (kind === 0x90 && velocity) this.press(pitch, velocity);
    else if (kind === 0x90 || kind === 0x80) this.release(pitch);
  }
}
