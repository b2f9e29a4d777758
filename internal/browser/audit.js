(() => {
  const found = [];
  const name = (e) => e.tagName.toLowerCase() + (e.id ? "#" + e.id : "") + (typeof e.className === "string" && e.className ? "." + e.className.trim().replace(/\s+/g, ".") : "");
  const shown = (e) => e.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && e.getClientRects().length > 0;
  const label = (e) => {
    const by = (e.getAttribute("aria-labelledby") || "").split(/\s+/).map((id) => document.getElementById(id)?.textContent || "").join(" ");
    const own = [...(e.labels || [])].map((l) => l.textContent).join(" ");
    const text = ["INPUT", "SELECT", "TEXTAREA"].includes(e.tagName) ? "" : e.textContent;
    return (e.getAttribute("aria-label") || by || own || text || e.getAttribute("title") || "").trim();
  };
  for (const e of document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary, [role=button], [tabindex='0']")) {
    if (shown(e) && !label(e)) found.push(name(e) + " has no name");
  }
  for (const e of document.querySelectorAll("img:not([alt]), svg:not([aria-hidden=true]):not([aria-label]):not([role=none])")) {
    if (shown(e) && !e.closest("[aria-hidden=true]") && !e.querySelector("title")) found.push(name(e) + " is a picture without words");
  }
  for (const e of document.querySelectorAll("table")) {
    if (shown(e) && !e.querySelector("th")) found.push(name(e) + " has no headings");
  }
  const ids = new Set();
  for (const e of document.querySelectorAll("[id]")) {
    if (ids.has(e.id)) found.push("the id " + e.id + " is there twice");
    ids.add(e.id);
  }
  for (const e of document.querySelectorAll("[aria-labelledby], [aria-describedby], [aria-controls]")) {
    for (const a of ["aria-labelledby", "aria-describedby", "aria-controls"]) {
      for (const id of (e.getAttribute(a) || "").split(/\s+/)) if (id && !document.getElementById(id)) found.push(name(e) + " refers to " + id + ", which is not there");
    }
  }
  if (!document.documentElement.lang) found.push("the page's language is not said");
  if (!document.title) found.push("the page has no title");
  if (document.querySelectorAll("main").length !== 1) found.push("there is not one main part");
  if (document.querySelectorAll("h1").length !== 1) found.push("there is not one heading of the page");
  let level = 0;
  for (const e of document.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
    const n = Number(e.tagName[1]);
    if (n > level + 1) found.push(name(e) + " comes after a heading of level " + level);
    level = n;
  }
  const root = document.scrollingElement;
  if (root.scrollWidth > root.clientWidth) {
    const wide = [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > root.clientWidth + 1).slice(-3).map(name);
    found.push("the page is wider than its window: " + wide.join(", "));
  }

  // Contrast, as WCAG 2 has it at level AA.
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
  const parsed = new Map();
  const rgba = (s) => {
    if (!parsed.has(s)) {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = s;
      canvas.fillRect(0, 0, 1, 1);
      parsed.set(s, [...canvas.getImageData(0, 0, 1, 1).data].map((v, i) => (i === 3 ? v / 255 : v)));
    }
    return parsed.get(s);
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const ground = (e) => {
    const layers = [];
    for (; e; e = e.parentElement) {
      const c = rgba(getComputedStyle(e).backgroundColor);
      if (c[3] > 0) layers.push(c);
      if (c[3] === 1) break;
    }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const light = (c) => {
    const [r, g, b] = c.slice(0, 3).map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
  const seen = new Set();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !shown(e) || e.closest("script, style, option, [disabled]")) continue;
    const style = getComputedStyle(e), below = ground(e), size = parseFloat(style.fontSize);
    const text = over(rgba(e.namespaceURI.endsWith("svg") ? style.fill : style.color), below);
    const need = size >= 24 || size >= 18.66 && Number(style.fontWeight) >= 700 ? 3 : 4.5;
    const got = ratio(text, below), key = name(e) + style.color + below;
    if (got < need && !seen.has(key)) found.push(`${name(e)} "${walk.currentNode.data.trim().slice(0, 30)}" has a contrast of ${got.toFixed(2)}, needs ${need}`);
    seen.add(key);
  }
  return found;
})()
