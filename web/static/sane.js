// What a page does beside being a page: it keeps itself up to date, shows
// results while one types, and can be used by keyboard. Without this it works
// too, by its links and forms.
"use strict";
(() => {
  const state = document.getElementById("state");

  // say shows a line at the edge of the page; "" takes it away.
  function say(text, link) {
    if (state.textContent === text + (link ? " " + link.text : "")) return;
    state.textContent = text;
    if (link) {
      const a = document.createElement("a");
      a.href = link.href;
      a.textContent = link.text;
      state.append(" ", a);
    }
    state.hidden = text === "";
  }

  // morph makes the element a like b and leaves alone what is alike, so that
  // focus, selection, scrolling and what was unfolded stay.
  function morph(a, b) {
    if (a.dataset?.load && b.dataset?.load) { // what is in it comes later
      a.dataset.load = b.dataset.load;
      return;
    }
    if (a.dataset?.follow && b.dataset?.follow) return; // it grows by itself
    for (const { name } of [...a.attributes]) {
      if (!b.hasAttribute(name) && !(name === "open" && a.tagName === "DETAILS") && name !== "aria-selected") a.removeAttribute(name);
    }
    for (const { name, value } of b.attributes) {
      if (a.getAttribute(name) !== value && !(name === "open" && a.tagName === "DETAILS")) a.setAttribute(name, value);
    }
    if (a.tagName === "INPUT" && a.type !== "hidden" && a !== document.activeElement && a.value !== b.value) a.value = b.value;
    const keyed = new Map();
    for (const c of a.children) if (c.id) keyed.set(c.id, c);
    let at = a.firstChild;
    for (const want of [...b.childNodes]) {
      let have = want.id && keyed.get(want.id);
      if (!have && at && !at.id && !want.id && at.nodeType === want.nodeType && at.nodeName === want.nodeName) have = at;
      if (!have) {
        a.insertBefore(document.importNode(want, true), at);
        continue;
      }
      if (have === at) at = at.nextSibling;
      else a.insertBefore(have, at);
      if (have.nodeType !== Node.ELEMENT_NODE) {
        if (have.data !== want.data) have.data = want.data;
      } else if (have.nodeName !== want.nodeName) have.replaceWith(document.importNode(want, true));
      else if (!have.isEqualNode(want)) morph(have, want);
    }
    while (at) {
      const next = at.nextSibling;
      at.remove();
      at = next;
    }
    if (a.tagName === "SELECT" && a !== document.activeElement) a.value = b.value;
  }

  // fresh fetches the page's content again. One at a time; a wish in between is
  // fulfilled after it.
  let busy = false, again = false, since = null;
  async function fresh() {
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    const url = location.pathname + location.search, began = performance.now();
    try {
      const r = await fetch(url, { headers: { "Sane-Fragment": "main" }, redirect: "error", cache: "no-store" });
      if (r.status === 401) {
        ended();
        return;
      }
      if (r.status >= 500) throw new Error(r.statusText); // what is there is better
      const doc = new DOMParser().parseFromString(await r.text(), "text/html");
      const main = doc.querySelector("main");
      if (main && url === location.pathname + location.search) {
        const live = document.getElementById("main");
        if (!live.isEqualNode(main)) morph(live, main);
        document.title = main.dataset.title;
        document.dispatchEvent(new Event("sane:fresh"));
      }
      since = null;
      say("");
    } catch {
      lost();
    } finally {
      // A page that is dear to make is made less often.
      setTimeout(() => {
        busy = false;
        if (again) {
          again = false;
          fresh();
        }
      }, Math.min(5000, 100 + 2 * (performance.now() - began)));
    }
  }

  function lost() {
    since ??= new Date();
    say("No answer since " + since.toLocaleTimeString() + ": what you see is from then.");
  }

  function ended() {
    stop();
    stop = () => {};
    listen = () => {};
    say("Your session has ended: what you see is from then.", { text: "Log in", href: "/login?to=" + encodeURIComponent(location.pathname + location.search) });
  }

  // A page listens for news only while somebody can see it: browsers allow few
  // connections to one host.
  let stream = null, retry = 0;
  let listen = () => {
    const live = document.body.dataset.live;
    if (!live || stream || document.hidden) return;
    stream = new EventSource(live);
    stream.addEventListener("change", fresh);
    stream.addEventListener("open", () => {
      if (since) fresh();
      retry = 0;
    });
    stream.addEventListener("error", () => {
      if (stream && stream.readyState === EventSource.CLOSED) { // refused
        stop();
        fresh();
        setTimeout(listen, Math.min(60000, 2000 * 2 ** retry++));
      } else lost();
    });
  };
  let stop = () => {
    if (stream) stream.close();
    stream = null;
  };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return stop();
    if (document.body.dataset.live) fresh();
    listen();
  });
  addEventListener("pagehide", () => stop());
  addEventListener("pageshow", (e) => {
    if (e.persisted && document.body.dataset.live) fresh();
    listen();
  });

  // What takes longer than a page comes later, each part by itself. It comes
  // again when it may be something else.
  async function load(part) {
    const url = part.dataset.load;
    part.loads = url;
    part.setAttribute("aria-busy", "true");
    const show = (nodes) => {
      if (part.loads !== url) return;
      part.replaceChildren(...nodes);
      part.removeAttribute("aria-busy");
      part.dataset.loaded = "";
    };
    try {
      const r = await fetch(url, { headers: { "Sane-Fragment": "part" }, redirect: "error", cache: "no-store" });
      const main = new DOMParser().parseFromString(await r.text(), "text/html").querySelector("main");
      for (const n of main.querySelectorAll(".alone")) n.remove(); // what a page of its own begins with
      show([...main.childNodes].map((n) => document.importNode(n, true)));
    } catch {
      const a = document.createElement("a");
      a.href = url;
      a.textContent = "It could not be loaded. Try it by itself.";
      show([a]);
    }
  }
  function loadAll() {
    for (const part of document.querySelectorAll("[data-load]")) if (part.loads !== part.dataset.load) load(part);
  }
  document.addEventListener("sane:fresh", loadAll);

  document.addEventListener("click", async (e) => {
    const button = e.target.closest("[data-copy]");
    if (!button) return;
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(button.parentElement.querySelector("code"));
      button.textContent = "Selected";
    }
  });

  // Logs grow at their end, and are forgotten at their beginning.
  function grow(log) {
    const most = 5000, end = () => log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    log.scrollTop = log.scrollHeight;
    const lines = new EventSource(log.dataset.follow);
    lines.addEventListener("lines", (e) => {
      const stay = end();
      for (const l of JSON.parse(e.data)) {
        const li = document.createElement("li"), t = document.createElement("time"), b = document.createElement("b"), s = document.createElement("span");
        if (l.t) t.dateTime = l.t;
        t.textContent = l.t ? l.t.slice(11, 23) : "";
        b.className = l.c;
        b.textContent = l.f;
        s.textContent = l.s;
        if (l.e) li.className = "end";
        li.append(t, b, s);
        log.append(li);
      }
      while (log.children.length > most) log.firstChild.remove();
      if (stay) log.scrollTop = log.scrollHeight;
      document.getElementById("silent")?.remove();
      if (since) {
        since = null;
        say("");
      }
    });
    lines.addEventListener("error", () => {
      if (lines.readyState === EventSource.CLOSED) say("These logs are not followed any more.", { text: "Load again", href: location.href });
      else lost();
    });
    addEventListener("pagehide", () => lines.close());
  }

  // Filters apply while they are chosen; the address says them.
  let timer = 0;
  function filter(form) {
    const q = new URLSearchParams();
    for (const [k, v] of new FormData(form)) if (v !== "") q.append(k, v);
    const text = q.toString();
    history.replaceState(null, "", form.getAttribute("action") + (text ? "?" + text : ""));
    fresh();
  }
  document.addEventListener("input", (e) => {
    const form = e.target.closest("form[data-filters]");
    if (!form) return;
    clearTimeout(timer);
    timer = setTimeout(() => filter(form), e.target.type === "search" ? 180 : 0);
  });
  document.addEventListener("submit", (e) => {
    const form = e.target.closest("form[data-filters]");
    if (form) {
      e.preventDefault();
      clearTimeout(timer);
      filter(form);
    }
  });

  // Keys: / searches, j and k go down and up, Enter opens, g f goes to the
  // fleet, g s to the sources, g t to the timeline.
  let before = "";
  function step(by) {
    const rows = [...document.querySelectorAll("[data-rows] tbody tr:not(.group)")];
    if (!rows.length) return;
    const at = rows.findIndex((r) => r.contains(document.activeElement));
    const row = rows[Math.max(0, Math.min(rows.length - 1, at < 0 ? (by > 0 ? 0 : rows.length - 1) : at + by))];
    const a = row.querySelector("a");
    if (a) {
      a.focus();
      a.scrollIntoView({ block: "nearest" });
    }
  }
  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    if (e.target.closest("input, textarea, select, [contenteditable]")) {
      if (e.key === "Escape") e.target.blur();
      return;
    }
    const pair = before + e.key;
    before = e.key === "g" ? "g" : "";
    if (pair === "gf") location.assign("/");
    else if (pair === "gs") location.assign("/sources");
    else if (pair === "gt") location.assign("/timeline");
    else if (e.key === "/") {
      const search = document.querySelector("[data-search]");
      if (!search) return;
      e.preventDefault();
      search.focus();
      search.select();
    } else if (e.key === "j") step(1);
    else if (e.key === "k") step(-1);
  });

  document.documentElement.classList.add("scripted");
  listen();
  loadAll();
  document.querySelectorAll("[data-follow]").forEach(grow);
})();
