// Draws the roll of each piece in place of its picture, and plays one piece at a time: a cursor goes over its roll, and a
// click on the roll goes to that place.
for (const box of document.querySelectorAll(".roll:not(.drawn)")) {
  const music = JSON.parse(box.dataset.roll), image = box.querySelector("img");
  const audio = box.nextElementSibling?.matches("audio") ? box.nextElementSibling : null;
  const canvas = document.createElement("canvas"), parts = document.createElement("p");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", image.alt);
  parts.className = "parts";
  box.append(canvas);
  box.after(parts);
  box.classList.add("drawn");
  const roll = new Roll(canvas);
  roll.show(music);
  const name = () => parts.replaceChildren(...roll.order.map(program => {
    const part = document.createElement("span"), mark = document.createElement("i");
    mark.style.background = roll.colour(program);
    part.append(mark, music.names[program]);
    return part;
  }));
  name();
  roll.dark.addEventListener("change", name);
  if (!audio) continue;
  const show = () => {
    const tick = tickOf(music.tempos, audio.currentTime), at = roll.placeOf(tick);
    roll.follow(tick, false);
    const isSeen = at >= box.scrollLeft && at <= box.scrollLeft + .9 * box.clientWidth;
    if (!audio.paused && !isSeen) box.scrollLeft = at - .1 * box.clientWidth;
  };
  const follow = () => {
    show();
    if (!audio.paused) requestAnimationFrame(follow);
  };
  audio.addEventListener("play", () => {
    for (const other of document.querySelectorAll("audio")) if (other !== audio) other.pause();
    follow();
  });
  audio.addEventListener("seeked", show);
  canvas.addEventListener("click", event => {
    audio.currentTime = Math.max(0, secondOf(music.tempos, Math.min(roll.tickAt(event.clientX), roll.end)));
  });
}
