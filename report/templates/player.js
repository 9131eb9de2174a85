// Plays one piece at a time, and moves a line over its roll; a click on the roll goes to that place.
for (const article of document.querySelectorAll("article")) {
  const audio = article.querySelector("audio"), sheet = article.querySelector(".sheet");
  if (!audio || !sheet) continue;
  const roll = article.querySelector(".roll"), line = article.querySelector(".line");
  const times = JSON.parse(sheet.dataset.times);
  const between = (value, from, to) => {
    let i = 1;
    while (i < times.length - 1 && times[i][from] < value) i++;
    const a = times[i - 1], b = times[i];
    const share = b[from] > a[from] ? (value - a[from]) / (b[from] - a[from]) : 0;
    return a[to] + Math.min(Math.max(share, 0), 1) * (b[to] - a[to]);
  };
  const show = () => {
    const x = between(audio.currentTime, 0, 1);
    line.hidden = false;
    line.style.left = 100 * x + "%";
    if (!audio.paused && roll.scrollWidth > roll.clientWidth) {
      const at = x * sheet.clientWidth;
      const isSeen = at >= roll.scrollLeft && at <= roll.scrollLeft + .9 * roll.clientWidth;
      if (!isSeen) roll.scrollLeft = at - .1 * roll.clientWidth;
    }
  };
  const follow = () => { show(); if (!audio.paused) requestAnimationFrame(follow); };
  audio.addEventListener("play", () => {
    for (const other of document.querySelectorAll("audio")) if (other !== audio) other.pause();
    follow();
  });
  audio.addEventListener("seeked", show);
  sheet.addEventListener("click", event => {
    const x = (event.clientX - sheet.getBoundingClientRect().left) / sheet.clientWidth;
    audio.currentTime = between(x, 1, 0);
  });
}
