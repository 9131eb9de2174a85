"""What the gallery adds to the style of all pages, and its script."""

from ostinato.report.style import PAGE_STYLE

STYLE = f"""{PAGE_STYLE}
article {{ margin: 0; padding: 2rem 0 1.6rem; border-top: 1px solid var(--line) }}
article h2 {{ margin: 0 0 .3rem; padding: 0; border: 0 }}
article p {{ max-width: none; margin: 0 0 .9rem }}
.roll {{ position: relative; overflow-x: auto; margin: 0 0 .8rem; background: #fff }}
.roll:focus-visible, a:focus-visible, summary:focus-visible, audio:focus-visible {{
  outline: 3px solid var(--accent); outline-offset: 2px
}}
.sheet {{ position: relative; min-width: 40rem }}
.sheet img {{ display: block; width: 100%; height: auto }}
.line {{ position: absolute; top: 0; bottom: 0; width: 2px; margin-left: -1px; pointer-events: none }}
.line {{ background: #c0392b }}
.page {{ overflow-x: auto; margin: .6rem 0 .8rem; background: #fff }}
.page:focus-visible {{ outline: 3px solid var(--accent); outline-offset: 2px }}
.page img {{ display: block; width: 100%; min-width: 40rem; height: auto }}
audio {{ display: block; width: 100%; margin: 0 0 .7rem }}
.files {{ display: flex; flex-wrap: wrap; gap: .3rem 1.4rem; margin: 0 0 .5rem; padding: 0; list-style: none }}
a {{ color: var(--accent); text-underline-offset: .15em }}
.files a {{ display: inline-block; padding: .35rem 0 }}
.changed td {{ font-weight: 600 }}
details {{ border: 0 }}
details pre {{ margin: .8rem 0 }}
@media (prefers-color-scheme: dark) {{
  .roll {{ background: #000 }}
  /* Light becomes dark while each colour stays what it is. */
  .sheet img {{ filter: invert(1) hue-rotate(180deg) brightness(1.25) contrast(.86) }}
  .line {{ background: #ff8a78 }}
  .page {{ background: #000 }}
  .page img {{ filter: invert(1) brightness(.92) }}
}}
@media print {{ audio, .files {{ display: none }} }}
"""

SCRIPT = """
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
"""
"""Plays one piece at a time, and moves a line over its roll; a click on the roll goes to that place."""
