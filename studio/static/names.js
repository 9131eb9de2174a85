// What pieces are called, and what is said about them in a line.

/** How a piece is called: Take 3, D minor; one of version 0.1 by when it was made, and its seed. */
export function titleOf(piece) {
  if (piece.number) return `Take ${piece.number}${piece.key ? `, ${piece.key}` : ""}`;
  return `${madeOf(piece)}, seed ${piece.seed}`;
}

/** When a piece was made. */
export function madeOf(piece) {
  const made = new Date(piece.made), today = new Date();
  const time = made.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const isToday = made.toDateString() === today.toDateString();
  return isToday ? time : `${made.toLocaleDateString([], { day: "numeric", month: "short" })}, ${time}`;
}

export function summaryOf(piece) {
  const tempos = piece.tempos.length > 1 ? `${piece.tempos[0]}–${piece.tempos.at(-1)}` : piece.tempos[0];
  return [
    `${piece.bars} ${piece.bars === 1 ? "bar" : "bars"}`, `${piece.notes} notes`, minutes(piece.seconds),
    `${tempos} quarters a minute`, piece.meters.slice(0, 3).join(", ") + (piece.meters.length > 3 ? " …" : ""),
    piece.instruments.slice(0, 6).join(", ") + (piece.instruments.length > 6 ? " …" : ""),
  ].filter(Boolean).join(" · ");
}

export function controlsOf(piece) {
  if (piece.edited) return [`edited by hand, from ${piece.edited.name}`];
  const options = piece.options, controls = [];
  if (piece.primer) controls.push(`after ${piece.primer.name}, ${barsOf(options.primer_start ?? 1, options.primer_bars ?? 1)}`);
  if (piece.fill) controls.push(`${barsOf(...options.fill_bars ?? [1, 1])} of ${piece.fill.name} generated again`);
  if (piece.harmonise) controls.push(`other parts to ${(options.melody || []).join(", ") || "all"} of ${piece.harmonise.name}`);
  if (options.style) controls.push(options.style);
  if (options.num_bars) controls.push(`${options.num_bars} bars`);
  if (options.num_seconds) controls.push(`${options.num_seconds} seconds`);
  if (options.num_notes) controls.push(`${options.num_notes} notes`);
  if (options.tempo) controls.push(`tempo ${options.tempo}`);
  if (options.meter) controls.push(options.meter);
  if (options.key) controls.push(options.key.replaceAll("-", " "));
  if (options.instruments) controls.push(options.instruments.join(", "));
  controls.push(`temperature ${options.temperature ?? 1}`);
  const shown = ["num_bars", "num_seconds", "num_notes", "tempo", "meter", "key", "instruments", "temperature", "style", "primer_start", "primer_bars", "fill_bars", "melody", "num_pieces"];
  for (const [name, value] of Object.entries(options))
    if (!shown.includes(name)) controls.push(`${name.replaceAll("_", " ")} ${[value].flat(2).join(" ")}`);
  return controls;
}

export function minutes(seconds) {
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** A pitch by name; C4 is middle C. */
export function noteName(pitch) {
  return `${["C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"][pitch % 12]}${Math.floor(pitch / 12) - 1}`;
}

/** Bars by number: bar 4, or bars 4 to 7. */
export function barsOf(first, number) {
  return number === 1 ? `bar ${first}` : `bars ${first} to ${first + number - 1}`;
}
