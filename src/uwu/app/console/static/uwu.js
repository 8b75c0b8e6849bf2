// The console's own script: the palette, keys, copying, the theme without a reload. Pages work without it.
"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const palette = $("#palette");
  const keys = $("#keys");
  const input = $("input", palette);
  const list = $("#pal-l");

  const say = (text) => { $("#said").textContent = text; };

  // ---- the palette: a combobox over what /search gives

  const options = () => $$("[role=option]", list);
  const chosen = () => $("[aria-selected=true]", list);

  function choose(option) {
    chosen()?.setAttribute("aria-selected", "false");
    if (!option) { input.removeAttribute("aria-activedescendant"); return; }
    option.setAttribute("aria-selected", "true");
    option.scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", option.id);
  }

  function open() {
    if (palette.open) return;
    keys.close();
    palette.showModal();
    input.select();
    input.dispatchEvent(new CustomEvent("palette-open"));
  }

  input.addEventListener("keydown", (event) => {
    const all = options();
    const at = all.indexOf(chosen());
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && all.length) {
      event.preventDefault();
      choose(all[(at + step + all.length) % all.length]);
    } else if (event.key === "Enter" && at >= 0) {
      event.preventDefault();
      all[at].click();
    }
  });
  list.addEventListener("mousemove", (event) => {
    const option = event.target.closest("[role=option]");
    if (option && option !== chosen()) choose(option);
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.target !== list) return;
    choose(options()[0]);
    say(`${options().length} results`);
  });
  document.addEventListener("htmx:responseError", (event) => {
    if (event.detail.target === list) list.innerHTML = event.detail.xhr.responseText;
  });
  for (const dialog of [palette, keys]) {
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  }

  // ---- keys

  const go = Object.fromEntries($$("[data-go]", keys).map((each) => [each.dataset.go, each.dataset.href]));
  let before = "";
  let cursor = -1;

  function move(step) {
    const rows = $$("[data-row]").filter((row) => row.offsetParent !== null);
    if (!rows.length) return;
    rows[cursor]?.classList.remove("on");
    cursor = Math.min(Math.max(cursor + step, 0), rows.length - 1);
    rows[cursor].classList.add("on");
    rows[cursor].scrollIntoView({ block: "nearest" });
    const link = $("a.cover, .t a, a", rows[cursor]);
    link?.focus({ preventScroll: true });
  }

  document.addEventListener("keydown", (event) => {
    if ((event.metaKey || event.ctrlKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      palette.open ? palette.close() : open();
      return;
    }
    const typing = event.target.closest("input:not([type=checkbox]), select, textarea, [contenteditable]");
    if (typing && event.key === "Escape") {
      const menu = typing.closest("details.menu[open]");
      if (menu) { menu.open = false; $("summary", menu).focus(); }
    }
    if (typing || event.metaKey || event.ctrlKey || event.altKey || palette.open) return;
    if (event.key === "Escape") {
      const menus = $$("details.menu[open]");
      menus.forEach((menu) => { menu.open = false; $("summary", menu).focus(); });
      if (!menus.length && !keys.open) clearPicked();
      return;
    }
    if (keys.open) return;
    const to = go[before + event.key];
    before = event.key === "g" ? "g" : "";
    if (to) { event.preventDefault(); location.assign(to); }
    else if (event.key === "/") { event.preventDefault(); open(); }
    else if (event.key === "?") { event.preventDefault(); keys.showModal(); }
    else if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
    else if (event.key === "x") pickRow();
    else if (event.key === "a") actOnPicked(event);
    else if (event.key === "s") openViews(event);
    else if (event.key === "[" || event.key === "]") $(`[data-step="${event.key}"]`)?.click();
  });

  function openViews(event) {
    const summary = $("summary[data-key=s]");
    if (!summary) return;
    event.preventDefault();
    summary.parentElement.open = true;
    $("input[name=name]", summary.parentElement)?.focus();
  }

  // ---- a selection, and the bar of what is done to it

  const picks = () => $$("[data-pick]");
  const picked = () => picks().filter((box) => box.checked);

  function showPicked() {
    const bar = $("[data-bulk]");
    if (!bar) return;
    const some = picked();
    for (const box of picks()) box.closest("tr").classList.toggle("sel", box.checked);
    bar.hidden = some.length === 0;
    $("[data-count]", bar).textContent = `${some.length} selected`;
    const all = $("[data-pick-all]");
    all.checked = some.length > 0 && some.length === picks().length;
    all.indeterminate = some.length > 0 && !all.checked;
    const out = $("[data-export]", bar);
    if (out) {
      const query = new URLSearchParams([["format", "csv"], ...some.map((box) => ["id", box.dataset.pick])]);
      out.href = `${out.dataset.export}?${query}`;
    }
    if (some.length) say(`${some.length} selected`);
  }

  function pickRow() {
    const box = $("tr.on [data-pick]");
    if (!box) return;
    box.checked = !box.checked;
    showPicked();
  }

  function actOnPicked(event) {
    const bar = $("[data-bulk]:not([hidden])");
    if (!bar) return;
    event.preventDefault();
    $("button, a", bar).focus();
  }

  function clearPicked() {
    if (!picked().length) return;
    for (const box of picks()) box.checked = false;
    showPicked();
    say("Nothing is selected");
  }

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-pick-all]")) for (const box of picks()) box.checked = event.target.checked;
    if (event.target.matches("[data-pick], [data-pick-all]")) showPicked();
  });

  // ---- clicks

  async function copy(button, text = button.dataset.copy) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const field = Object.assign(document.createElement("textarea"), { value: text, className: "vh" });
      document.body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
      button.focus();
    }
    button.classList.add("done");
    const use = $("use", button);
    const was = use.getAttribute("href");
    if (!was.endsWith("#i-check")) {
      use.setAttribute("href", was.replace(/#.*/, "#i-check"));
      setTimeout(() => { use.setAttribute("href", was); button.classList.remove("done"); }, 1400);
    }
    say("Copied");
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) { copy(button); return; }
    const links = event.target.closest("[data-copy-links]");
    if (links) { copy(links, picked().map((box) => new URL(box.dataset.href, location.href).href).join("\n")); return; }
    if (event.target.closest("[data-clear]")) { clearPicked(); return; }
    const opener = event.target.closest("[data-open=palette]");
    if (opener && !event.metaKey && !event.ctrlKey) { event.preventDefault(); open(); return; }
    $$("details.menu[open]").forEach((menu) => { if (!menu.contains(event.target)) menu.open = false; });
  });

  // ---- a page that changes without being loaded anew

  const parse = (html) => new DOMParser().parseFromString(html, "text/html");

  // Puts what stands at `url` into the frame: the head and the main part, focus and open menus kept.
  async function visit(url, { push = false } = {}) {
    const main = $("#main");
    main.classList.add("busy");
    try {
      const answer = await fetch(url, { headers: { accept: "text/html" } });
      if (answer.redirected && push) { location.assign(url); return; }
      const fresh = parse(await answer.text());
      const next = $("#main", fresh);
      if (!next) { location.assign(url); return; }
      if (push) history.pushState({ soft: true }, "", url);
      document.title = fresh.title;
      Idiomorph.morph($(".head"), $(".head", fresh), { morphStyle: "innerHTML" });
      Idiomorph.morph(main, next, { morphStyle: "outerHTML" });
      showPicked();
      follow();
    } catch {
      say("The server does not answer");
    } finally {
      $("#main").classList.remove("busy");
    }
  }
  window.addEventListener("popstate", (event) => { if (event.state?.soft || softly) visit(location.href); });
  let softly = false;

  // ---- what runs, as it happens: server-sent events. A hidden page lets go of its stream: a browser has six in all

  let stream = null;
  let streamed = "";
  let poll = 0;

  function close() { stream?.close(); stream = null; streamed = ""; clearInterval(poll); poll = 0; }

  function follow() {
    const live = $("[data-live]");
    const asked = live?.dataset.live ?? "";
    if (document.hidden || (asked !== streamed && stream)) close();
    if (document.hidden) return;
    const every = Number($("[data-poll]")?.dataset.poll ?? 0);
    if (every && !poll) poll = setInterval(() => visit(location.href), every * 1000);
    if (!every && poll) { clearInterval(poll); poll = 0; }
    if (!asked || stream) return;
    streamed = asked;
    stream = new EventSource(asked);
    const within = (selector) => (live.matches(selector) ? live : $(selector, live));
    let refreshed = Date.now();
    stream.addEventListener("part", (event) => {
      const part = within("[data-part]");
      if (part) Idiomorph.morph(part, event.data, { morphStyle: "innerHTML" });
      const seconds = Number(live.dataset.refresh ?? 0);
      if (seconds && Date.now() - refreshed > seconds * 1000) { refreshed = Date.now(); visit(location.href); }
    });
    stream.addEventListener("lines", (event) => {
      const lines = within("[data-lines]");
      const box = lines.parentElement;
      const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
      lines.append(...parse(`<ol>${event.data}</ol>`).querySelectorAll("li"));
      live.dataset.live = live.dataset.live.replace(/after=\d+/, `after=${event.lastEventId}`);
      streamed = live.dataset.live;
      if (atEnd) box.scrollTop = box.scrollHeight;
    });
    stream.addEventListener("end", (event) => {
      close();
      live.removeAttribute("data-live");
      say(event.data ? `It is ${event.data}` : "It has ended");
      visit(location.href);
    });
  }
  document.addEventListener("visibilitychange", follow);
  window.addEventListener("pagehide", close);
  $$(".log").forEach((log) => { log.scrollTop = log.scrollHeight; });
  follow();

  // ---- time: the slider stops where versions begin

  const stops = (range) => JSON.parse(range.dataset.stops);
  let waiting = 0;

  function told(range) {
    const at = Number(range.value);
    const held = stops(range).filter(([from]) => from <= at).pop() ?? stops(range)[0];
    range.setAttribute("aria-valuetext", held[2]);
    $("[data-asof]", range.form).textContent = held[2].split(",")[0];
  }

  function goTo(href) {
    clearTimeout(waiting);
    softly = true;
    waiting = setTimeout(() => visit(href, { push: true }), 220);
  }

  document.addEventListener("input", (event) => { if (event.target.matches("[data-stops]")) told(event.target); });
  document.addEventListener("change", (event) => {
    const range = event.target;
    if (range.matches("[data-stops]")) {
      const at = Number(range.value) >= Number(range.max) ? "" : `?at=${range.value}`;
      told(range);
      goTo(location.pathname + at);
    }
    if (range.matches(".versus select")) range.form.requestSubmit();
  });
  document.addEventListener("keydown", (event) => {
    const range = event.target;
    const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
    if (!step || !range.matches?.("[data-stops]")) return;
    event.preventDefault();
    const all = stops(range);
    const here = all.filter(([from]) => from <= Number(range.value)).length - 1;
    const next = all[Math.min(Math.max(here + step, 0), all.length - 1)];
    range.value = next[0];
    told(range);
    goTo(next[1] || location.pathname);
  });

  // ---- the theme, at once; the form does the same with a reload

  document.addEventListener("submit", async (event) => {
    const form = event.target.closest("form.theme");
    if (!form || !event.submitter) return;
    event.preventDefault();
    const theme = event.submitter.value;
    const body = new URLSearchParams({ theme, next: "/" });
    const answer = await fetch(form.action, { method: "POST", body, redirect: "manual" }).catch(() => null);
    if (!answer || (answer.type !== "opaqueredirect" && !answer.ok)) { say("The theme could not be kept"); return; }
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    $("meta[name=color-scheme]").content = theme === "system" ? "light dark" : theme;
    $$("form.theme button").forEach((each) => each.setAttribute("aria-pressed", String(each.value === theme)));
  });
})();
