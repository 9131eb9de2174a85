// A small synthesizer: a note, as Web Audio plays it, by a few kinds of sound.

// Which of a few kinds of sound a General MIDI program gets: by how its tone begins and dies away.
function kindOf(program) {
  if (program === 128) return "drum";
  if (program < 16 || (program >= 24 && program < 40) || (program >= 104 && program < 120) || program === 46) return "struck";
  if (program < 24) return "organ";
  return "sustained";
}

const WAVES = { struck: "triangle", organ: "sine", sustained: "sawtooth" };

/** Plays a note at a time of the context. */
export function sound(context, output, when, seconds, pitch, velocity, program) {
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
