// What the page says: how it goes, and what went wrong.

const byId = id => document.getElementById(id);
let said = "";

export function say(text) {
  if (text !== said) byId("status").textContent = text;
  said = text;
}

/** Says what went wrong; null takes that back. */
export function complain(error) {
  const text = error ? error.message : "";
  byId("problem").hidden = !text;
  byId("problem").textContent = text;
  if (text) byId("problem").scrollIntoView({ block: "nearest" });
}

/** Does something that may go wrong, and says how it went wrong. */
export async function trying(act) {
  complain(null);
  try {
    await act();
  } catch (error) {
    complain(error);
  }
}
