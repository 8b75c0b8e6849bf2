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
    const typing = event.target.closest("input, select, textarea, [contenteditable]");
    if (typing || event.metaKey || event.ctrlKey || event.altKey || palette.open) return;
    if (event.key === "Escape") {
      $$("details.menu[open]").forEach((menu) => { menu.open = false; $("summary", menu).focus(); });
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
  });

  // ---- clicks

  async function copy(button) {
    const text = button.dataset.copy;
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
    const opener = event.target.closest("[data-open=palette]");
    if (opener && !event.metaKey && !event.ctrlKey) { event.preventDefault(); open(); return; }
    $$("details.menu[open]").forEach((menu) => { if (!menu.contains(event.target)) menu.open = false; });
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
