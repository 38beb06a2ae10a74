const get = (id) => document.getElementById(id);
const state = { looks: [], link: true, white: 1, inverse: true, outlines: true, bones: true, map: true, chosen: null, pointer: null };
const WHOLE = { zoom: 1, u: 0.5, v: 0.5 };
const MOST_ZOOM = 40;
let data, panes = [], waiting = false;

/* Counts as they were packed: the values, then each pixel's number byte by byte. */
async function unpack({ hw: [h, w], levels, planes, gzip }) {
  const packed = Uint8Array.from(atob(gzip), (sign) => sign.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  if (bytes.length !== 4 * levels + planes * h * w) throw new Error("an image is damaged");
  const values = new DataView(bytes.buffer);
  const pixels = new Float32Array(h * w);
  for (let i = 0; i < h * w; i++) {
    let number = 0;
    for (let k = planes - 1; k >= 0; k--) number = number * 256 + bytes[4 * levels + k * h * w + i];
    pixels[i] = values.getFloat32(4 * number, true);
  }
  return pixels;
}

/* Outlines of a view: the model's, then the readers', with what the list says. */
function collectSpots(view) {
  const letter = (view.view === "posterior" ? "P" : "A") + (view.number ? `${view.number}.` : ""), { truth } = view;
  const take = (entry, mask, more) => {
    const pixels = decodeMask(mask), [h, w] = mask.size;
    return { ...entry, ...more, view, mask: pixels, ...traceMask(pixels, h, w) };
  };
  const marks = (view.document.hotspots || []).map((entry, i) => take(entry, entry.whole_body.mask, {
    by: "model", tag: `${letter}${i + 1}`, said: truth ? truth.meets[i] : "",
  }));
  const lesions = ((truth && truth.lesions) || []).map((entry, i) => take(entry, entry.mask, {
    by: "readers", tag: `${letter}r${i + 1}`, score: undefined,
  }));
  return [...marks, ...lesions];
}

/* Draws before the next frame, once for all that changed. */
function redraw(repaint) {
  if (repaint) for (const pane of panes) pane.paint(state.white, state.inverse);
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; for (const pane of panes) pane.draw(state); });
}

function resize() {
  const ratio = document.body.classList.contains("printing") ? 3 : window.devicePixelRatio || 1;
  for (const pane of panes) { pane.measure(ratio); pane.draw(state); }
}

/* Looks at the same place in all views, or in one if they are not linked. */
function setLook(view, look) {
  const within = (value) => Math.min(1, Math.max(0, value));
  const zoom = Math.min(MOST_ZOOM, Math.max(1, look.zoom));
  const next = zoom === 1 ? WHOLE : { zoom, u: within(look.u), v: within(look.v) };
  state.looks = state.looks.map((old, i) => (state.link || i === view.index ? next : old));
  redraw();
}

/* Zooms so that the point under (x, y), frame coordinates, stays where it is. */
function zoomAt(pane, factor, x, y) {
  const look = state.looks[pane.view.index];
  const zoom = Math.min(MOST_ZOOM, Math.max(1, look.zoom * factor)), share = look.zoom / zoom;
  const u = pane.mirrored ? 1 - x / pane.w : x / pane.w, v = y / pane.h;
  setLook(pane.view, { zoom, u: u + (look.u - u) * share, v: v + (look.v - v) * share });
}

const zoomMiddle = (pane, factor) => zoomAt(pane, factor, ...middleOf(pane));
function middleOf(pane) {
  const { u, v } = state.looks[pane.view.index];
  return [(pane.mirrored ? 1 - u : u) * pane.w, v * pane.h];
}

/* Fills a pane with a box (x0, y0, x1, y1) and some room around it. */
function showBox(pane, [x0, y0, x1, y1], room) {
  const fit = Math.min(pane.canvas.width / (pane.w * pane.aspect), pane.canvas.height / pane.h);
  const zoom = room * Math.min(pane.canvas.width / ((x1 - x0) * pane.aspect), pane.canvas.height / (y1 - y0)) / fit;
  const u = (x0 + x1) / 2 / pane.w;
  setLook(pane.view, { zoom, u: pane.mirrored ? 1 - u : u, v: (y0 + y1) / 2 / pane.h });
}

/* Whether the model looked at the whole image: there is no frame then. */
const isWhole = ({ crop, counts: { hw } }) => crop[0] === 0 && crop[1] === 0 && crop[2] === hw[0] && crop[3] === hw[1];

/* What the model looked at; of a whole image the part that has counts. */
function showCrop(pane) {
  const { crop, pixels } = pane.view;
  if (!isWhole(pane.view)) return showBox(pane, [crop[1], crop[0], crop[3], crop[2]], 0.94);
  const box = [pane.w, pane.h, 0, 0];
  pixels.forEach((count, k) => {
    if (!count) return;
    const x = k % pane.w, y = Math.floor(k / pane.w);
    box[0] = Math.min(box[0], x); box[1] = Math.min(box[1], y);
    box[2] = Math.max(box[2], x + 1); box[3] = Math.max(box[3], y + 1);
  });
  if (box[2]) showBox(pane, box, 0.94);
}

function choose(spot, fromPicture) {
  state.chosen = state.chosen === spot ? null : spot;
  for (const view of data.views) for (const each of view.spots) each.row.setAttribute("aria-selected", String(each === state.chosen));
  if (state.chosen && fromPicture) state.chosen.row.scrollIntoView({ block: "nearest" });
  if (state.chosen) bringIntoView(state.chosen);
  redraw();
}

/* Moves, and does not zoom, if a chosen outline lies outside of what is shown. */
function bringIntoView(spot) {
  const pane = panes[spot.view.index], [x0, y0, x1, y1] = spot.box;
  const [x, y] = pane.place((x0 + x1) / 2, (y0 + y1) / 2);
  if (x > 0 && y > 0 && x < pane.canvas.width && y < pane.canvas.height) return;
  const u = (x0 + x1) / 2 / pane.w;
  setLook(pane.view, { ...state.looks[pane.view.index], u: pane.mirrored ? 1 - u : u, v: (y0 + y1) / 2 / pane.h });
}

/* The smallest outline around a point, if any: a large one may hold others. */
function spotAt(pane, x, y) {
  const k = Math.floor(y) * pane.w + Math.floor(x);
  if (x < 0 || y < 0 || x >= pane.w || y >= pane.h) return null;
  const hit = pane.view.spots.filter((spot) => spot.mask[k]);
  return hit.sort((a, b) => a.area_px - b.area_px)[0] || null;
}

const HINT = "Point at a picture to read its counts.";

function listen(pane) {
  const { canvas } = pane;
  let from = null, moved = false;
  canvas.addEventListener("pointerdown", (event) => { if (!event.isPrimary) return; from = event; moved = false; canvas.setPointerCapture(event.pointerId); });
  canvas.addEventListener("pointermove", (event) => {
    if (!event.isPrimary) return;
    const [x, y] = pane.find(event);
    if (from) {
      const dx = event.clientX - from.clientX, dy = event.clientY - from.clientY;
      if (!moved && Math.hypot(dx, dy) < 4) return;
      moved = true;
      const look = state.looks[pane.view.index], u = (dx * pane.ratio) / (pane.sx * pane.w);
      setLook(pane.view, { ...look, u: look.u + (pane.mirrored ? u : -u), v: look.v - (dy * pane.ratio) / (pane.sy * pane.h) });
      from = event;
      return;
    }
    const inside = x >= 0 && y >= 0 && x < pane.w && y < pane.h;
    state.pointer = inside ? { view: pane.view, u: pane.mirrored ? 1 - x / pane.w : x / pane.w, v: y / pane.h } : null;
    const row = Math.floor(y), column = Math.floor(x);
    get("pointer").textContent = inside ? `${pane.view.label}, row ${row}, column ${column}: ${sayCounts(pane.view.pixels[row * pane.w + column])} counts${sayBone(pane.view, row * pane.w + column)}` : HINT;
    redraw();
  });
  canvas.addEventListener("pointerup", (event) => {
    if (from && !moved) { const spot = spotAt(pane, ...pane.find(event)); if (spot || state.chosen) choose(spot || state.chosen, true); }
    from = null;
  });
  canvas.addEventListener("pointercancel", () => { from = null; });
  canvas.addEventListener("pointerleave", () => { state.pointer = null; get("pointer").textContent = HINT; redraw(); });
  canvas.addEventListener("wheel", (event) => { event.preventDefault(); zoomAt(pane, Math.exp(-event.deltaY / 400), ...pane.find(event)); }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    const look = state.looks[pane.view.index], far = 0.08 / look.zoom;
    setLook(pane.view, { ...look, u: look.u + far * step[0] * (pane.mirrored ? -1 : 1), v: look.v + far * step[1] });
  });
}

/* The window: black, or white, from so many counts on. Its slider is quadratic. */
function setWhite(white) {
  const most = Math.max(...data.views.map((view) => view.most));
  state.white = Math.min(most, Math.max(most / 1e6, white));
  get("white").value = Math.round(1000 * Math.sqrt(state.white / most));
  get("darkest").textContent = `0 to ${sayCounts(Number(state.white.toPrecision(3)))} counts`;
  redraw(true);
}

function listenToControls() {
  const focused = () => panes.find((pane) => pane.canvas === document.activeElement) || panes[0];
  const toggle = (id) => { get(id).checked = !get(id).checked; get(id).dispatchEvent(new Event("change")); };
  get("white").addEventListener("input", (event) => {
    const most = Math.max(...data.views.map((view) => view.most));
    setWhite(most * (Number(event.target.value) / 1000) ** 2);
  });
  for (const id of ["inverse", "outlines", "bones", "map", "link"]) {
    get(id).addEventListener("change", (event) => {
      state[id] = event.target.checked;
      if (id === "link" && state.link) setLook(focused().view, state.looks[focused().view.index]);
      redraw(id === "inverse");
    });
  }
  const acts = {
    0: () => setLook(focused().view, WHOLE), f: () => showCrop(focused()),
    "+": () => zoomMiddle(focused(), 1.25), "=": () => zoomMiddle(focused(), 1.25), "-": () => zoomMiddle(focused(), 0.8),
    "[": () => setWhite(state.white * 0.85), "]": () => setWhite(state.white / 0.85),
    i: () => toggle("inverse"), o: () => toggle("outlines"), b: () => toggle("bones"), m: () => toggle("map"),
    escape: () => { if (state.chosen) choose(state.chosen); },
  };
  for (const [id, key] of [["body", "0"], ["crop", "f"], ["out", "-"], ["in", "+"]]) get(id).addEventListener("click", acts[key]);
  document.addEventListener("keydown", (event) => {
    const act = acts[event.key.toLowerCase()];
    if (act && !event.ctrlKey && !event.metaKey && !event.altKey) act();
  });
  // On paper: black on white, and sharp.
  let ground = true;
  window.addEventListener("beforeprint", () => { ground = state.inverse; state.inverse = true; document.body.classList.add("printing"); redraw(true); resize(); });
  window.addEventListener("afterprint", () => { state.inverse = ground; document.body.classList.remove("printing"); redraw(true); resize(); });
}

async function start() {
  data = JSON.parse(get("data").textContent);
  data.views.forEach((view, i) => {
    const alike = data.views.filter((each) => each.view === view.view);
    view.index = i;
    view.number = alike.length > 1 ? alike.indexOf(view) + 1 : 0;
    view.label = capital(view.view) + (view.number ? ` ${view.number}` : "");
    view.spots = collectSpots(view);
  });
  const badges = get("badges");
  const synthetic = (view) => view.document.source.synthetic;
  if (data.synthetic) add("span", badges, data.views.every(synthetic) ? "SYNTHETIC DATA" : "PARTLY SYNTHETIC DATA", "badge");
  if (data.views.some((view) => view.in_doubt)) add("span", badges, "CROP IN DOUBT", "badge doubt");
  if (data.views.some((view) => view.weak_view)) add("span", badges, "VIEW IN DOUBT", "badge doubt");
  if (data.passed_over.length) add("span", badges, "NOT ALL WAS READ", "badge doubt");
  const panel = get("panel");
  fillResult(panel, data);
  fillIndex(panel, data);
  fillMarks(panel, data, choose);
  fillDoubts(panel, data);
  fillRead(panel, data);
  fillModel(panel, data);
  fillKeys(panel);
  document.querySelector("main").hidden = false;
  if (typeof DecompressionStream === "undefined") {
    get("pictures").remove();
    throw new Error("this browser cannot unpack the pictures. Chrome and Edge 80, Firefox 113, Safari 16.4 and later can. The list is complete");
  }
  get("status").textContent = "Unpacking the pictures ...";
  for (const view of data.views) {
    view.pixels = await unpack(view.counts);
    view.most = view.pixels.reduce((a, b) => Math.max(a, b), 0) || 1;
    if (view.bones) view.regions = traceRegions(view, await unpack(view.bones.map));
  }
  panes = data.views.map((view) => new Pane(view, get("panes")));
  state.looks = panes.map(() => WHOLE);
  get("has_map").hidden = !data.views.some((view) => view.document.map);
  get("has_bones").hidden = !data.views.some((view) => view.bones);
  get("has_link").hidden = panes.length < 2;
  get("legend").textContent = sayLegend(data);
  get("pointer").textContent = HINT;
  resize();
  if (data.views.every(isWhole)) showCrop(panes[0]);
  for (const pane of panes) listen(pane);
  listenToControls();
  setWhite(Math.max(...data.views.map((view) => view.white)));
  new ResizeObserver(resize).observe(get("panes"));
  get("status").textContent = "";
  document.body.dataset.ready = "yes";
}

window.addEventListener("error", (event) => {
  get("status").textContent = `This page has failed and may show what is not so: ${event.message}.`;
});
start().catch((error) => {
  get("status").textContent = `Pictures cannot be shown: ${error.message}. What is not shown is not read.`;
  document.body.dataset.ready = "no";
});
