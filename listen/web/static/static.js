/* The server's part in the static export: which page comes next, and the answers, which stay in this browser. */
"use strict";

(() => {
  const study = JSON.parse(document.getElementById("study").textContent);
  const screen = document.getElementById("screen");
  const KEY = `ostinato-listen-${study.id}`;
  const SCALES = ["coherence", "style", "emotion"];
  let state = null; /* the file that is downloaded at the end; null before consent */
  let isKept = true;
  let stop = () => {};

  const now = () => new Date().toISOString().replace(/\.\d+Z$/, "Z");
  const random = (count) => crypto.getRandomValues(new Uint8Array(count));

  const load = () => {
    try {
      const found = JSON.parse(localStorage.getItem(KEY));
      if (found && found.study === study.id && study.orders[found.number]) state = found;
    } catch { isKept = false; }
  };

  /* Keeps an answer before the page goes on. Another tab may have gone further: its answers are not overwritten. */
  const keep = () => {
    try {
      localStorage.setItem(KEY, JSON.stringify(state));
      isKept = localStorage.getItem(KEY) !== null;
    } catch { isKept = false; }
  };

  const begin = () => {
    const [a, b, c, d] = random(4);
    state = {
      format: "ostinato-listen-1", study: study.id,
      session: [...random(16)].map((byte) => byte.toString(16).padStart(2, "0")).join(""),
      number: (((a << 24) | (b << 16) | (c << 8) | d) >>> 0) % study.orders.length,
      begun: now(), finished: null, training: null, answers: [],
    };
    keep();
  };

  const tasks = () => study.orders[state.number];
  const kindOf = (clips) => (clips.length === 2 ? "compare" : "rate");

  const fillTask = (clips) => {
    const answered = state.answers.length;
    screen.querySelector("input[name=task]").value = String(answered + 1);
    screen.querySelector(".where").textContent = `${answered + 1} of ${tasks().length}`;
    screen.querySelectorAll(".stave i").forEach((note, index) => {
      note.className = index < answered ? "done" : index === answered ? "now" : "";
    });
    screen.querySelectorAll(".clip").forEach((section, index) => {
      const clip = study.clips[clips[index]];
      section.dataset.duration = clip.duration_s;
      section.dataset.enough = clip.enough_s;
      for (const [src, type] of clip.sources) {
        section.querySelector("audio").append(ostinatoListen.make("source", { src, type }));
      }
    });
  };

  const fillDownload = () => {
    const link = screen.querySelector("#download");
    const text = `${JSON.stringify(state, null, 1)}\n`;
    link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    link.download = `ostinato-answers-${state.session}.json`;
  };

  const next = () => {
    if (!state) return "welcome";
    if (!state.training) return "training";
    const clips = tasks()[state.answers.length];
    return clips ? kindOf(clips) : "thanks";
  };

  const show = () => {
    stop();
    const asked = location.hash.replace("#/", "");
    const isFree = ["about", "withdraw"].includes(asked) ? state !== null : ["refused", "withdrawn"].includes(asked);
    const name = isFree ? asked : next();
    const template = document.getElementById(name);
    screen.replaceChildren(template.content.cloneNode(true));
    document.body.className = template.dataset.kind;
    const title = name === "compare" || name === "rate" ? `${state.answers.length + 1} of ${tasks().length}` : template.dataset.title;
    document.title = title === study.title ? title : `${title} · ${study.title}`;
    if (name === "compare" || name === "rate") fillTask(tasks()[state.answers.length]);
    if (name === "thanks") fillDownload();
    if (!isKept && state && name !== "thanks") {
      const text = "This browser keeps nothing: please do not close this page before the end.";
      screen.querySelector("main").prepend(ostinatoListen.make("p", { class: "message" }, text));
    }
    stop = ostinatoListen.enhance(screen, take);
    scrollTo(0, 0);
    const main = screen.querySelector("main");
    main.tabIndex = -1;
    if (document.activeElement !== main && location.hash) main.focus({ preventScroll: true });
  };

  const go = (path) => {
    if (location.hash === `#/${path}`) show();
    else location.hash = `#/${path}`;
  };

  const answerOf = (data) => {
    const kind = kindOf(tasks()[state.answers.length]);
    const names = kind === "compare" ? ["choice"] : SCALES;
    const said = names.map((name) => [name, kind === "compare" ? data.get(name) : Number(data.get(name))]);
    return {
      task: data.get("task"), kind, ...Object.fromEntries(said),
      comment: data.get("comment").replace(/\r\n/g, "\n").trim(),
      played_ms: data.get("played_ms").split(" ").map(Number),
    };
  };

  const take = (data, form) => {
    const action = form.getAttribute("action").replace("#/", "");
    load(); /* what another tab has stored meanwhile */
    if (action === "consent") {
      if (data.get("consent") !== "yes") return go("refused");
      if (!state) begin();
    } else if (action === "withdraw") {
      try { localStorage.removeItem(KEY); } catch { /* was not kept */ }
      state = null;
      return go("withdrawn");
    } else if (action === "training" && state && !state.training) {
      state.training = Object.fromEntries(["practice", "level", "playback"].map((name) => [name, data.get(name)]));
      keep();
    } else if (action === "task" && state && data.get("task") === String(state.answers.length + 1)) {
      state.answers.push(answerOf(data));
      if (state.answers.length === tasks().length) state.finished = now();
      keep();
    }
    return go("task");
  };

  addEventListener("hashchange", show);
  load();
  show();
})();
