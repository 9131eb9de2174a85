// Plays a piece at once with a small synthesizer of our own, while it is still being generated if need be, and goes over to
// the sound that the server has rendered, at a bar line, when that is ready. Both follow the seconds of the MIDI file.

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

  get length() { return this.timing.seconds; }

  secondOf(tick) {
    const { tempos } = this.timing;
    let i = tempos.length - 1;
    while (i > 0 && tempos[i][0] > tick) i--;
    return tempos[i][1] + (tick - tempos[i][0]) * tempos[i][2];
  }

  tickOf(second) {
    const { tempos } = this.timing;
    let i = tempos.length - 1;
    while (i > 0 && tempos[i][1] > second) i--;
    return tempos[i][0] + (second - tempos[i][1]) / tempos[i][2];
  }

  /** Where in the piece we are, in seconds. */
  get now() {
    if (this.state !== "playing") return this.at || 0;
    if (this.rendered) return this.audio.currentTime;
    return Math.max(this.begin, this.begin + this.context.currentTime - this.began);
  }

  async play(from = this.at || 0) {
    if (this.isWhole && from >= this.length - 0.05) from = 0;
    this.silence();
    this.at = from;
    // The context is made by a press of a button: before that browsers keep it silent.
    this.context ||= new AudioContext();
    this.state = "playing";
    this.onChange();
    const token = (this.token = {});
    if (this.isRendered) {
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
    this.begin = from;
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
      this.master = null;
    }
    this.rendered = false;
  }

  watch() {
    clearInterval(this.timer);
    const token = this.token;
    const tick = () => {
      if (token !== this.token || this.state !== "playing") return;
      if (!this.rendered) this.hand();
      if (!this.rendered && this.isWhole && this.now > this.length + 0.4) this.stop();
    };
    this.timer = setInterval(tick, TICK_MS);
    tick();
    const draw = () => {
      if (token !== this.token || this.state !== "playing") return;
      this.onChange();
      this.frame = requestAnimationFrame(draw);
    };
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(draw);
  }

  /** Hands the notes of the next moment to the synthesizer, or changes over at the next bar line. */
  hand() {
    const until = this.now + AHEAD_S;
    if (this.isRendered && !this.changing) {
      const bar = this.timing.bars.map(tick => this.secondOf(tick)).find(second => second > this.now + 0.25);
      if (bar !== undefined && bar < until && bar < this.length) this.changeOver(bar);
    }
    while (this.next < this.notes.length && this.notes[this.next][0] < until) {
      const [second, seconds, pitch, velocity, program] = this.notes[this.next++];
      if (this.changing && second >= this.changing - 0.005) continue;
      const when = this.began + second - this.begin;
      sound(this.context, this.master, Math.max(when, this.context.currentTime), seconds, pitch, velocity, program);
    }
    this.handedTo = Math.max(this.handedTo, until - 1e-6);
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

// Which of a few kinds of sound a General MIDI program gets: by how its tone begins and dies away.
function kindOf(program) {
  if (program === 128) return "drum";
  if (program < 16 || (program >= 24 && program < 40) || (program >= 104 && program < 120) || program === 46) return "struck";
  if (program < 24) return "organ";
  return "sustained";
}

const WAVES = { struck: "triangle", organ: "sine", sustained: "sawtooth" };

function sound(context, output, when, seconds, pitch, velocity, program) {
  const kind = kindOf(program), loud = (velocity / 127) ** 1.5;
  const gain = context.createGain();
  gain.connect(output);
  if (kind === "drum") return drum(context, gain, when, pitch, loud);
  const frequency = 440 * 2 ** ((pitch - 69) / 12);
  const filter = context.createBiquadFilter();
  filter.type = "lowpass";
  filter.frequency.setValueAtTime(Math.min(9000, frequency * (kind === "sustained" ? 3.5 : 6) * (0.6 + loud)), when);
  filter.connect(gain);
  const voices = [[1, 1], kind === "organ" ? [2, 0.4] : [1.003, 0.5]].map(([ratio, share]) => {
    const voice = context.createOscillator(), level = context.createGain();
    voice.type = WAVES[kind];
    voice.frequency.value = frequency * ratio;
    level.gain.value = share;
    voice.connect(level).connect(filter);
    voice.start(when);
    return voice;
  });
  const peak = 0.22 * loud * (kind === "sustained" ? 0.6 : 1), attack = kind === "sustained" ? 0.045 : 0.006;
  const end = when + Math.max(seconds, attack + 0.02);
  gain.gain.setValueAtTime(0, when);
  gain.gain.linearRampToValueAtTime(peak, when + attack);
  gain.gain.setTargetAtTime(kind === "struck" ? peak * 0.08 : peak * 0.75, when + attack, kind === "struck" ? 0.5 : 0.2);
  gain.gain.setTargetAtTime(0, end, kind === "struck" ? 0.09 : 0.06);
  voices.forEach(voice => voice.stop(end + 0.5));
  voices[0].onended = () => gain.disconnect();
  return undefined;
}

let noise;

function drum(context, gain, when, pitch, loud) {
  const isLow = pitch < 37 || pitch === 41 || pitch === 43, isBright = pitch >= 42 && pitch !== 43 && pitch !== 45 && pitch !== 47;
  const last = isLow ? 0.25 : pitch === 49 || pitch === 57 || pitch === 46 ? 0.6 : isBright ? 0.07 : 0.18;
  gain.gain.setValueAtTime(0.5 * loud, when);
  gain.gain.exponentialRampToValueAtTime(0.001, when + last);
  let source;
  if (isLow) {
    source = context.createOscillator();
    source.frequency.setValueAtTime(130, when);
    source.frequency.exponentialRampToValueAtTime(45, when + 0.12);
    source.connect(gain);
  } else {
    if (!noise || noise.sampleRate !== context.sampleRate) {
      noise = context.createBuffer(1, context.sampleRate, context.sampleRate);
      const samples = noise.getChannelData(0);
      for (let i = 0; i < samples.length; i++) samples[i] = 2 * Math.random() - 1;
    }
    const filter = context.createBiquadFilter();
    filter.type = "highpass";
    filter.frequency.value = isBright ? 6500 : 1200;
    source = context.createBufferSource();
    source.buffer = noise;
    source.connect(filter).connect(gain);
  }
  source.start(when);
  source.stop(when + last);
  source.onended = () => gain.disconnect();
  return undefined;
}
