// What the server is asked: JSON, lines of JSON, files. What it refuses becomes an Error in its own words.

/** Returns the JSON of an answer, null where it has none. */
export async function ask(path, options) {
  const answer = await checked(fetch(path, options));
  return answer.status === 204 ? null : answer.json();
}

/** Sends JSON and returns the JSON of the answer. */
export function send(path, values) {
  return ask(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(values) });
}

/** Yields each line of JSON, as it comes. */
export async function* follow(path, values, signal) {
  const answer = await checked(fetch(path, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(values), signal,
  }));
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  while (true) {
    const { value, done } = await reader.read();
    if (done) break;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const part of parts) if (part) yield JSON.parse(part);
  }
}

/** Uploads music and returns what the server has read. */
export function upload(name, data) {
  return ask(`api/uploads?name=${encodeURIComponent(name)}`, {
    method: "POST", headers: { "content-type": "audio/midi" }, body: data,
  });
}

/** Returns the bytes of a file. */
export async function fileOf(path) {
  return (await checked(fetch(path))).blob();
}

async function checked(asked) {
  const answer = await asked;
  if (answer.ok) return answer;
  const text = await answer.text();
  let message = `The studio answers with ${answer.status} ${answer.statusText}.`;
  try {
    message = JSON.parse(text).message;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error; // else a proxy's page, which says nothing to a musician
  }
  throw new Error(message);
}
