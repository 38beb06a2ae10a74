/* The regions that a view shows: their pixels, names and outlines. */
function traceRegions(view, labels) {
  const [h, w] = view.counts.hw, { names } = view.bones, doubts = view.document.bones.regions;
  const outlines = [...new Set(labels)].filter(Boolean).map((label) => ({
    loops: traceMask(Uint8Array.from(labels, (each) => Number(each === label)), h, w).loops,
    doubt: doubts[names[label]].in_doubt,
  }));
  return { labels, outlines };
}

function drawRegions(pane, c, colours) {
  c.strokeStyle = colours.bones; c.lineWidth = pane.ratio;
  for (const { loops, doubt } of pane.view.regions.outlines) {
    c.setLineDash(doubt ? [pane.ratio, 3 * pane.ratio] : []);
    c.stroke(makePath(loops, (x, y) => pane.place(x, y)));
  }
  c.setLineDash([]);
}

/* What lies under the pointer; nothing where nobody looked for bones. */
function sayBone(view, place) {
  if (!view.regions) return "";
  const name = view.bones.names[view.regions.labels[place]];
  if (!name) return ", no bone";
  return `, ${name}${view.document.bones.regions[name].in_doubt ? " (in doubt)" : ""}`;
}

const MOSTLY = 0.8; /* as in spectjax.bones.places */

/* Bone and side of an outline, how much of the bone it is, and the other side. */
function fillBone(cell, { bone }) {
  if (!bone) { cell.textContent = "not found"; return; }
  add("span", cell, bone.region || "none", bone.in_doubt ? "doubt" : "");
  const parts = [];
  if (bone.region && !bone.on_bone) parts.push("beside it");
  else if (bone.region && bone.on_bone < MOSTLY) parts.push(`${(100 * bone.on_bone).toFixed(0)} % of the outline`);
  if (bone.share) parts.push(`${(100 * bone.share).toFixed(1)} % of it`);
  if (bone.mirror_ratio !== null) parts.push(`${bone.mirror_ratio.toFixed(1)} x the other side`);
  if (bone.in_doubt) parts.push(`in doubt: ${bone.in_doubt}`);
  add("small", cell, parts.join(", "));
}

/* How much of the skeleton is marked, with its constants; or why that is withheld. */
function fillIndex(panel, data) {
  const index = data.views[0].document.index;
  if (!index) return;
  const section = add("section", panel);
  section.id = "index";
  add("h2", section, capital(index.name));
  if (index.percent === null) {
    const box = add("div", section, undefined, "box");
    add("p", box, "Withheld: it cannot be trusted.", "doubt");
    const list = add("ul", box);
    for (const reason of index.withheld) add("li", list, reason.text);
    return;
  }
  const say = (percent) => percent.toFixed(2);
  add("p", section, `${say(index.percent)} ${index.unit}`, "label");
  if (index.interval) add("p", section, `${index.interval.map(say).join(" to ")} % in 95 % of repeated scans, simulated.`);
  add("p", section, index.interval_note, "note");
  const facts = add("dl", section);
  const lines = [
    ...Object.entries(index.views).map(([view, percent]) => [`${capital(view)} alone`, `${say(percent)} %`]),
    ["Masses", index.masses],
    ["Mass shown", `${index.mass_percent.toFixed(1)} % of the skeleton${index.not_shown.length ? `; not shown: ${index.not_shown.join(", ")}` : ""}`],
  ];
  for (const [name, text] of lines) { add("dt", facts, name); add("dd", facts, text); }
  const marked = Object.entries(index.regions).filter(([, { share }]) => share > 0);
  const table = add("table", section);
  const head = add("tr", add("thead", table));
  for (const [name, kind] of [["Region", ""], ["Marked of it", "number"], ["Adds", "number"]]) add("th", head, name, kind).scope = "col";
  const body = add("tbody", table);
  for (const [name, { percent, share }] of marked) {
    const row = add("tr", body);
    add("th", row, name).scope = "row";
    add("td", row, `${(100 * share).toFixed(1)} %`, "number");
    add("td", row, `${say(percent)} %`, "number");
  }
  if (!marked.length) table.remove();
  add("p", section, `Index: ${index.method}. No volume is known.`, "note");
}
