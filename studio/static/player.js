// Plays a piece at once with a small synthesizer of our own, while it is still being generated if need be, and goes over to
// the sound that the server has rendered, at a bar line, when that is ready. Both follow the seconds of the MIDI file.
// Parts that are muted or have a volume of their own are mixed here, by the synthesizer: what is rendered is one sound.

import { secondOf, tickOf } from "./roll.js";
import { sound } from "./synth.js";

const AHEAD_S = 0.6; // notes are handed to the synthesizer this early
const FADE_S = 0.08;
const TICK_MS = 100;

export class Player {
  constructor(audio, { onChange }) {
    this.audio = audio;
    this.onChange = () => {};
    this.state = "stopped"; // or "playing", "paused"
    this.isRendered = false;
    this.rendered = false; // what sounds now is the rendered sound
    this.isWhole = true;
    this.clear();
    this.onChange = onChange;
    audio.addEventListener("canplaythrough", () => { this.isRendered = true; this.onChange(); });
    audio.addEventListener("ended", () => { if (this.rendered) this.stop(); });
  }

  clear() {
    this.stop();
    this.notes = []; // [second, seconds, pitch, velocity, program]
    this.timing = { tempos: [[0, 0, 0.02]], bars: [0], seconds: 0 };
    this.next = 0;
    this.isRendered = false;
    this.failed = false;
    this.loop = null; // [first second, last second] that is played again and again
    this.mix = new Map(); // loudness by program, 1 where there is none
    this.audio.removeAttribute("src");
    this.audio.load();
  }

  /** Takes all notes that are known, in ticks, and whether more will come. */
  set(notes, timing, { isWhole }) {
    this.timing = timing;
    this.isWhole = isWhole;
    const sounding = notes.map(([onset, ticks, pitch, velocity, program]) => {
      const second = this.secondOf(onset);
      return [second, this.secondOf(onset + ticks) - second, pitch, velocity, program];
    }).sort((a, b) => a[0] - b[0]);
    if (this.state === "playing" && !this.rendered) this.next = firstAfter(sounding, this.handedTo);
    this.notes = sounding;
  }

  /** The rendered sound of a whole piece. */
  setSound(url) {
    this.isRendered = false;
    this.audio.preload = "auto";
    this.audio.src = url;
    this.audio.load();
  }

  /** Takes the loudness of parts, from 0 to 1, by program. */
  setMix(mix) {
    this.mix = mix;
    for (const [program, channel] of this.channels || []) {
      channel.gain.setTargetAtTime(mix.get(program) ?? 1, this.context.currentTime, 0.02);
    }
    if (this.state === "playing" && this.rendered && !this.isFlat) this.play(this.now);
    this.onChange();
  }

  /** Whether all parts are as loud as they were made. */
  get isFlat() {
    return [...this.mix.values()].every(loudness => loudness === 1);
  }

  /** Takes the ticks between which music is played again and again; null plays to the end. */
  setLoop(ticks) {
    this.loop = ticks && ticks.map(tick => this.secondOf(tick));
    if (this.state === "playing") this.play(this.now);
  }

  /** What was rendered is no longer what is to be heard. */
  dropSound() {
    this.isRendered = false;
    if (this.state === "playing" && this.rendered) this.pause();
    this.audio.removeAttribute("src");
    this.audio.load();
  }

  /** Returns the context, sounding; to be called by a press of a button or a key. */
  readyContext() {
    this.context ||= new AudioContext();
    this.context.resume();
    return this.context;
  }

  get length() { return this.timing.seconds; }

  secondOf(tick) {
    return secondOf(this.timing.tempos, tick);
  }

  tickOf(second) {
    return tickOf(this.timing.tempos, second);
  }

  /** Where in the piece we are, in seconds. */
  get now() {
    if (this.state !== "playing") return this.at || 0;
    if (this.rendered) return this.audio.currentTime;
    return Math.max(this.begin, this.begin + this.context.currentTime - this.began);
  }

  async play(from = this.at || 0) {
    if (this.isWhole && from >= this.length - 0.05) from = 0;
    if (this.loop && (from < this.loop[0] || from >= this.loop[1] - 0.02)) from = this.loop[0];
    this.silence();
    this.at = from;
    this.context ||= new AudioContext(); // by a press of a button: before that browsers keep it silent
    this.state = "playing";
    this.onChange();
    const token = (this.token = {});
    if (this.isRendered && this.isFlat) {
      this.audio.currentTime = from;
      this.audio.volume = 1;
      try {
        await this.audio.play();
        if (token !== this.token) return;
        this.rendered = true;
        this.watch();
        return;
      } catch (error) {
        if (token !== this.token) return;
        if (error.name !== "NotAllowedError" && error.name !== "AbortError" && error.name !== "NotSupportedError") throw error;
      }
    }
    await this.context.resume();
    if (token !== this.token) return;
    this.startSynth(from);
    this.watch();
  }

  startSynth(from) {
    this.rendered = false;
    this.master = this.context.createGain();
    this.master.gain.value = 0.5;
    const limiter = this.context.createDynamicsCompressor();
    this.master.connect(limiter).connect(this.context.destination);
    this.output = limiter;
    this.channels = new Map();
    this.begin = from;
    this.lap = 0; // laps of the loop that are handed over before they are heard
    this.began = this.context.currentTime + 0.06;
    this.handedTo = from - 0.001;
    this.next = firstAfter(this.notes, this.handedTo);
  }

  pause() {
    this.at = this.now;
    this.silence();
    this.state = "paused";
    this.onChange();
  }

  stop() {
    this.silence();
    this.at = 0;
    this.state = "stopped";
    this.onChange();
  }

  seek(second) {
    second = Math.max(0, Math.min(second, this.length));
    if (this.state === "playing") return this.play(second);
    this.at = second;
    if (this.state === "stopped" && second > 0) this.state = "paused";
    this.onChange();
    return undefined;
  }

  silence() {
    this.token = null;
    this.changing = 0;
    clearInterval(this.timer);
    cancelAnimationFrame(this.frame);
    if (!this.audio.paused) this.audio.pause();
    if (this.master) {
      const { master, output, context } = this;
      master.gain.setTargetAtTime(0, context.currentTime, 0.015);
      setTimeout(() => output.disconnect(), 150);
      this.master = this.channels = null;
    }
    this.rendered = false;
  }

  watch() {
    clearInterval(this.timer);
    const token = this.token;
    const tick = () => {
      if (token !== this.token || this.state !== "playing") return;
      if (this.loop) this.turn();
      if (!this.rendered) this.hand();
      if (!this.rendered && this.isWhole && this.now > this.length + 0.4) this.stop();
    };
    this.timer = setInterval(tick, TICK_MS);
    tick();
    const draw = () => {
      if (token !== this.token || this.state !== "playing") return;
      if (this.loop) this.turn();
      this.onChange();
      this.frame = requestAnimationFrame(draw);
    };
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(draw);
  }

  /** Goes back to the beginning of the loop at its end. */
  turn() {
    const [begin, end] = this.loop;
    if (this.now < end) return;
    if (this.rendered) {
      this.audio.currentTime = begin;
      return;
    }
    this.began += end - begin;
    this.lap = Math.max(0, this.lap - 1);
  }

  /** Hands the notes of the next moment to the synthesizer, or changes over at the next bar line. */
  hand() {
    const until = this.now + AHEAD_S;
    if (this.loop) {
      this.handLoop(until);
      return;
    }
    if (this.isRendered && this.isFlat && !this.changing) {
      const bar = this.timing.bars.map(tick => this.secondOf(tick)).find(second => second > this.now + 0.25);
      if (bar !== undefined && bar < until && bar < this.length) this.changeOver(bar);
    }
    while (this.next < this.notes.length && this.notes[this.next][0] < until) {
      const note = this.notes[this.next++];
      if (!this.changing || note[0] < this.changing - 0.005) this.sound(note, 0);
    }
    this.handedTo = Math.max(this.handedTo, until - 1e-6);
  }

  /** Hands over the notes of a loop, those of the next lap before this one has ended: so that there is no gap. */
  handLoop(until) {
    const [begin, end] = this.loop, length = end - begin;
    while (length > 0.05) {
      const limit = Math.min(until - this.lap * length, end);
      while (this.next < this.notes.length && this.notes[this.next][0] < limit) {
        const [second, seconds, ...rest] = this.notes[this.next++];
        this.sound([second, Math.min(seconds, end - second), ...rest], this.lap * length);
      }
      if (until - this.lap * length < end) break;
      this.lap++;
      this.next = firstAfter(this.notes, begin - 1e-6);
    }
  }

  sound([second, seconds, pitch, velocity, program], later) {
    if (!this.channels.has(program)) {
      const channel = this.context.createGain();
      channel.gain.value = this.mix.get(program) ?? 1;
      channel.connect(this.master);
      this.channels.set(program, channel);
    }
    const when = Math.max(this.began + second - this.begin + later, this.context.currentTime);
    sound(this.context, this.channels.get(program), when, seconds, pitch, velocity, program);
  }

  changeOver(bar) {
    this.changing = bar;
    const token = this.token, { audio } = this;
    const begin = async () => {
      try {
        if (token !== this.token) return;
        audio.currentTime = bar;
        audio.volume = 1;
        await audio.play();
        if (token !== this.token) return;
        const { master, output, context } = this;
        this.rendered = true;
        this.master = null;
        master.gain.setTargetAtTime(0, context.currentTime + FADE_S, FADE_S);
        setTimeout(() => output.disconnect(), 1500);
      } catch (error) {
        if (error.name !== "NotAllowedError" && error.name !== "AbortError" && error.name !== "NotSupportedError") throw error;
      } finally {
        if (token === this.token) this.changing = 0;
      }
    };
    setTimeout(begin, Math.max(0, (bar - this.now) * 1000));
  }
}

function firstAfter(notes, second) {
  let low = 0, high = notes.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (notes[middle][0] > second) high = middle; else low = middle + 1;
  }
  return low;
}
