/* What the pages of a listening test gain with JavaScript: a player, shortcuts, and a word before a clip is judged
   unheard. Without it the same forms work with the browser's own audio controls. */
"use strict";

const ostinatoListen = (() => {
  const STEP_S = 2; /* that an arrow key moves */
  const SVG = "http://www.w3.org/2000/svg";
  const PLAY = "M7 4.5v15l12.5-7.5z";
  const PAUSE = "M6 5h4v14H6zM14 5h4v14h-4z";

  const make = (name, attributes = {}, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  };

  const clock = (seconds) => {
    const whole = Math.floor(seconds + 0.05);
    return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
  };

  const icon = () => {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", "0 0 24 24");
    svg.setAttribute("aria-hidden", "true");
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", PLAY);
    svg.append(path);
    return svg;
  };

  /* Puts our player in the place of the browser's, which differs from browser to browser and tells more than it should. */
  const addPlayer = (clip, players) => {
    const audio = clip.querySelector("audio");
    const name = clip.dataset.name;
    const button = make("button", { type: "button", class: "play", "aria-label": `Play ${name}` }, icon());
    const range = make("input", {
      type: "range", min: "0", max: clip.dataset.duration, step: "any", value: "0", "aria-label": `Position in ${name}`,
    });
    const now = make("span", {}, "0:00");
    const along = make("div", { class: "along" }, range,
      make("div", { class: "time", "aria-hidden": "true" }, now, make("span", {}, clock(Number(clip.dataset.duration)))));
    const player = { audio, button, clip, name, heard_s: 0, isHeard: false, isBroken: false, last_s: 0, onHeard: () => {} };
    const duration = () => (Number.isFinite(audio.duration) ? audio.duration : Number(clip.dataset.duration));

    const show = () => {
      const at = audio.currentTime;
      range.max = String(duration());
      if (!range.matches(":active")) range.value = String(at);
      range.style.setProperty("--share", `${(100 * Number(range.value)) / duration()}%`);
      range.setAttribute("aria-valuetext", `${Math.round(at)} of ${Math.round(duration())} seconds`);
      now.textContent = clock(at);
    };
    const count = () => {
      const step = audio.currentTime - player.last_s;
      if (step > 0) player.heard_s += step; /* no jump: those begin with "seeking", which sets last_s */
      player.last_s = audio.currentTime;
      if (!player.isHeard && player.heard_s >= Number(clip.dataset.enough)) {
        player.isHeard = true;
        clip.querySelector("h2").append(make("span", { class: "heard" }, "heard"));
        player.onHeard();
      }
    };
    const follow = () => {
      show();
      if (!audio.paused && !audio.ended) requestAnimationFrame(follow);
    };
    const paint = () => {
      const isPlaying = !audio.paused && !audio.ended;
      button.querySelector("path").setAttribute("d", isPlaying ? PAUSE : PLAY);
      button.setAttribute("aria-label", `${isPlaying ? "Pause" : "Play"} ${name}`);
      clip.classList.toggle("playing", isPlaying);
      show();
    };
    player.toggle = () => {
      if (!audio.paused) return audio.pause();
      for (const other of players) if (other !== player) other.audio.pause();
      players.last = player;
      if (audio.ended) audio.currentTime = 0;
      audio.play().then(follow, (error) => { if (error.name !== "AbortError") fail(); });
    };
    const fail = () => {
      if (player.isBroken) return;
      player.isBroken = true;
      const again = make("button", { type: "button" }, "Try again");
      const trouble = make("p", { class: "trouble", role: "alert" }, "This clip could not be played. ", again);
      again.addEventListener("click", () => {
        trouble.remove();
        player.isBroken = false;
        audio.load();
        player.toggle();
      });
      clip.append(trouble);
    };

    button.addEventListener("click", player.toggle);
    range.addEventListener("input", () => {
      audio.currentTime = Number(range.value);
      player.last_s = audio.currentTime;
      show();
    });
    range.addEventListener("keydown", (event) => {
      const step_s = { ArrowLeft: -STEP_S, ArrowDown: -STEP_S, ArrowRight: STEP_S, ArrowUp: STEP_S }[event.key];
      if (!step_s) return;
      event.preventDefault();
      audio.currentTime = Math.min(Math.max(audio.currentTime + step_s, 0), duration());
      show();
    });
    audio.addEventListener("timeupdate", () => { count(); show(); });
    audio.addEventListener("seeking", () => { player.last_s = audio.currentTime; });
    for (const event of ["play", "pause", "ended", "loadedmetadata"]) audio.addEventListener(event, paint);
    const sources = audio.querySelectorAll("source");
    if (sources.length) sources[sources.length - 1].addEventListener("error", fail);
    audio.addEventListener("error", fail);
    audio.controls = false;
    audio.after(make("div", { class: "player" }, button, along));
    /* All sources may have failed before we listened. The state is the same for a moment while one is being chosen. */
    if (sources.length) setTimeout(() => { if (audio.networkState === HTMLMediaElement.NETWORK_NO_SOURCE) fail(); }, 1000);
    return player;
  };

  const areShortcutsOn = () => {
    try { return localStorage.getItem("ostinato-listen-shortcuts") !== "off"; } catch { return true; }
  };

  const addSwitch = (root) => {
    const keys = root.querySelector(".keys");
    if (!keys) return;
    keys.hidden = false;
    const box = keys.querySelector("input[type=checkbox]");
    box.checked = areShortcutsOn();
    box.addEventListener("change", () => {
      try { localStorage.setItem("ostinato-listen-shortcuts", box.checked ? "on" : "off"); } catch { /* this page only */ }
    });
  };

  const isTyping = (target) => target.closest("textarea, input[type=text], select") !== null;

  /* A digit answers the question that has the focus, or else the first that has no answer yet, and goes on to the next. */
  const press = (form, digit) => {
    const questions = [...form.querySelectorAll("fieldset")];
    const isAnswered = (question) => question.querySelector("input:checked") !== null;
    const question = questions.find((one) => one.contains(document.activeElement)) ||
      questions.find((one) => !isAnswered(one));
    const input = question && question.querySelectorAll("input[type=radio]")[digit - 1];
    if (!input) return false;
    input.checked = true;
    input.dispatchEvent(new Event("change", { bubbles: true }));
    const following = questions[questions.indexOf(question) + 1];
    if (questions.length === 1) input.focus();
    else if (following) (following.querySelector("input:checked") || following.querySelector("input")).focus();
    else form.querySelector("button.main").focus();
    return true;
  };

  const addShortcuts = (root, form, players) => {
    const onKey = (event) => {
      const box = root.querySelector(".keys input[type=checkbox]");
      if (!form.isConnected || !box || !box.checked || event.defaultPrevented) return;
      if (event.ctrlKey || event.altKey || event.metaKey || isTyping(event.target)) return;
      /* Where keys have a meaning already, it stays: the space bar presses buttons and chooses among answers. */
      const isControl = event.target.closest("button, a, summary, input:not([type=range])") !== null;
      const letter = players.find((player) => player.name.toLowerCase() === `clip ${event.key.toLowerCase()}`);
      let isOurs = true;
      if (event.key === "p" || (event.key === " " && !isControl)) (players.last || players[0]).toggle();
      else if (letter) letter.toggle();
      else if (/^[1-5]$/.test(event.key)) isOurs = press(form, Number(event.key));
      else if (event.key === "Enter" && !isControl) form.requestSubmit();
      else isOurs = false;
      if (isOurs) event.preventDefault();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  };

  const addForm = (form, players, submit) => {
    const message = form.querySelector(".message");
    const button = form.querySelector("button.main");
    const label = button && button.textContent;
    const findUnheard = () => players.find((player) => !player.isHeard && !player.isBroken);
    for (const player of players) {
      player.onHeard = () => { if (!findUnheard()) message.textContent = ""; };
    }
    form.addEventListener("submit", (event) => {
      const unheard = findUnheard();
      if (unheard) {
        event.preventDefault();
        const name = unheard.name === "the clip" ? "it" : unheard.name;
        message.textContent = `Please listen to ${name} a little longer before you answer.`;
        unheard.button.focus();
        return;
      }
      for (const player of players) player.audio.pause();
      const played = form.elements.namedItem("played_ms");
      if (played) played.value = players.map((player) => Math.round(1000 * player.heard_s)).join(" ");
      if (submit) {
        event.preventDefault();
        const data = new FormData(form);
        if (event.submitter && event.submitter.name) data.set(event.submitter.name, event.submitter.value);
        submit(data, form);
        return;
      }
      /* After the form is on its way: a disabled button would not be sent. */
      setTimeout(() => {
        for (const one of form.querySelectorAll("button")) one.disabled = true;
        if (button && players.length) button.textContent = "Saving…";
      });
    });
    if (!submit) addEventListener("pageshow", () => {
      for (const one of form.querySelectorAll("button")) one.disabled = false;
      if (button) button.textContent = label;
    });
  };

  /* Makes a page come alive; `submit` takes the answers where there is no server. Returns what ends it. */
  const enhance = (root, submit) => {
    const players = [];
    for (const clip of root.querySelectorAll(".clip")) players.push(addPlayer(clip, players));
    addSwitch(root);
    let stop = () => {};
    for (const form of root.querySelectorAll("form")) {
      addForm(form, form.matches(".answer") ? players : [], submit);
      if (form.matches(".answer")) stop = addShortcuts(root, form, players);
    }
    return () => { stop(); for (const player of players) player.audio.pause(); };
  };

  return { enhance, make };
})();

if (!document.querySelector("[data-no-server]")) ostinatoListen.enhance(document.body);
