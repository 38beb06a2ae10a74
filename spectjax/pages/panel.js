/* Text stays text: nothing of a scan or a name becomes markup. */
function add(tag, parent, text, className) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  parent.append(element);
  return element;
}

const capital = (word) => word[0].toUpperCase() + word.slice(1);

/* Two digits, and never a certainty that is none. */
function sayScore(score) {
  if (score > 0.99) return "> 0.99";
  return score < 0.01 ? "< 0.01" : score.toFixed(2);
}
function sayProbability(p) {
  if (p > 0.999) return "> 0.999";
  return p < 0.001 ? "< 0.001" : p.toFixed(3);
}
const sayCounts = (counts) => (Number.isInteger(counts) ? counts.toLocaleString("en") : counts.toPrecision(4));
const sayArea = (spot, inMm) => (spot.area_mm2 === null ? `${spot.area_px} px` : `${spot.area_mm2.toFixed(0)}${inMm ? "" : " mm²"}`);

/* What the lines on the pictures are. */
function sayLegend({ views }) {
  const some = (name) => views.some((view) => view.spots.some((spot) => spot.by === name));
  const parts = [views.every(isWhole) ? "The model looked at the whole image" : "Dashed frame: the crop, what the model looked at"];
  if (some("model")) parts.push("solid: what it marked");
  if (some("readers")) parts.push("dashed outline: what readers marked");
  if (views.some((view) => view.bones)) parts.push("thin: regions of the skeleton, dotted where in doubt");
  if (views.some((view) => view.document.map)) parts.push("cells: what spoke for the class, the strongest of the image most opaque");
  return `${parts.join("; ")}.`;
}

/* What was found, view by view; a doubted frame is no reading. */
function fillResult(panel, data) {
  const section = add("section", panel);
  section.id = "result";
  add("h2", section, "Result");
  const examined = data.views[0].document.examination;
  if (examined && data.views.length > 1) {
    add("p", section, `${examined.label}, probability of metastasis ${sayProbability(examined.probability)}`, "label");
    add("p", section, `Examination: all ${data.views.length} views together.`, "note");
  }
  for (const view of data.views) {
    const said = view.document;
    const box = add("div", section, undefined, view.in_doubt ? "box" : "");
    const name = view.label;
    if (view.in_doubt) add("p", box, `${name}: THE CROP IS IN DOUBT. This is no reading of the view.`, "doubt");
    if (said.diagnosis) {
      const alone = data.views.length === 1 ? "label" : "";
      add("p", box, `${name}: ${said.diagnosis.label}, probability of metastasis ${sayProbability(said.diagnosis.probability)}`, alone);
    }
    if (said.map) {
      add("p", box, `${name}: probability of ${said.category} ${sayProbability(said.probability)}`, "label");
      add("p", box, `Map: ${said.method}. A cell is ${said.map.cell_px.map((n) => n.toFixed(0)).join(" x ")} pixels, too coarse to outline a hotspot.`, "note");
    }
    if (said.statement) add("p", box, `${name}: ${said.statement}`);
    if (view.truth) add("p", box, `Readers: ${view.truth.said}`);
  }
  const rule = data.views.map((view) => view.truth && view.truth.rule).find(Boolean);
  if (rule) add("p", section, rule, "note");
  if (data.views.some((view) => view.document.map)) return;
  add("p", section, examined
    ? "A label is a class of the images that the model learned from, no diagnosis."
    : "A mark is abnormal uptake, whatever its cause. Nothing marked does not mean that nothing is there.", "note");
}

/* The list of outlines: rows are reached by Tab and arrows, chosen by Enter. */
function fillMarks(panel, data, choose) {
  const spots = data.views.flatMap((view) => view.spots);
  if (!spots.length) return;
  const section = add("section", panel);
  add("h2", section, "Outlines");
  const table = add("table", section);
  table.id = "marks";
  table.setAttribute("role", "grid"); // rows of a grid may be chosen
  table.setAttribute("aria-label", "Outlines");
  const truth = data.views.some((view) => view.truth);
  const bones = data.views.some((view) => view.document.bones);
  const inMm = spots.every((spot) => spot.area_mm2 !== null);
  const head = add("tr", add("thead", table));
  for (const [name, kind] of [["", ""], ...(bones ? [["Bone", ""]] : []), ["Score", "number"], [inMm ? "Area mm²" : "Area", "number"], ["Max", "number"], ...(truth || bones ? [] : [["Mean", "number"]]), ["Counts", "number"], ...(truth ? [["Readers", ""]] : [])]) {
    add("th", head, name, kind).scope = "col";
  }
  const body = add("tbody", table);
  for (const spot of spots) {
    const row = add("tr", body);
    row.tabIndex = 0;
    row.setAttribute("aria-selected", "false");
    const name = add("th", row);
    name.scope = "row";
    add("span", name, undefined, `key ${spot.by}`).style.color = ON_WHITE[spot.by];
    name.append(`${spot.tag} `);
    add("small", name, spot.by === "readers" ? "readers" : spot.view.label.toLowerCase());
    if (bones) fillBone(add("td", row), spot);
    const cells = [spot.score === undefined ? "" : sayScore(spot.score), sayArea(spot, inMm), sayCounts(spot.max_counts), ...(truth || bones ? [] : [(spot.counts / spot.area_px).toFixed(1)]), sayCounts(spot.counts)];
    for (const text of cells) add("td", row, text, "number");
    if (truth) add("td", row, spot.said);
    row.addEventListener("click", () => choose(spot));
    row.addEventListener("keydown", (event) => {
      const next = { ArrowDown: row.nextSibling, ArrowUp: row.previousSibling }[event.key];
      if (event.key === "Enter" || event.key === " ") choose(spot);
      else if (next) next.focus();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    spot.row = row;
  }
  const rule = data.views[0].document.rule;
  if (rule) {
    const more = add("details", section);
    add("summary", more, "What a mark and its score are");
    add("p", more, rule, "note");
  }
}

function fillDoubts(panel, data) {
  const section = add("section", panel);
  section.id = "doubts";
  add("h2", section, "Doubts and warnings");
  const texts = new Map();
  for (const view of data.views) {
    for (const text of view.document.warnings) texts.set(text, [...(texts.get(text) || []), view.label]);
  }
  const list = add("ul", section);
  for (const [text, views] of texts) add("li", list, views.length === data.views.length ? text : `${views.join(", ")}: ${text}`);
  if (!texts.size) list.replaceWith(Object.assign(document.createElement("p"), { textContent: "None was raised. Not every fault can be noticed." }));
}

function fillRead(panel, data) {
  const section = add("section", panel);
  section.id = "read";
  add("h2", section, "What was read");
  for (const view of data.views) {
    const source = view.document.source, [h, w] = view.counts.hw, mm = source.spacing_mm;
    add("h3", section, view.label);
    const facts = add("dl", section);
    const lines = [
      ["File", source.file === undefined ? undefined : `${source.file}, frame ${source.frame + 1}`],
      ["Example", source.example_id],
      ["View by", source.view_evidence],
      ["Image", `${h} x ${w} pixels${mm ? ` of ${mm[0].toFixed(2)} x ${mm[1].toFixed(2)} mm` : ", their size is not known"}`],
      ["Crop", `rows ${view.crop[0]} to ${view.crop[2]}, columns ${view.crop[1]} to ${view.crop[3]}${view.in_doubt ? ": in doubt" : ""}`],
      ["Doubt", view.document.expected_corrections === undefined ? undefined : `${view.document.expected_corrections.toFixed(2)} corrections expected, by the model's own scores`],
    ];
    for (const [name, text] of lines) {
      if (text === undefined) continue;
      add("dt", facts, name);
      add("dd", facts, text);
    }
  }
  add("h3", section, "What was not");
  const list = add("ul", section);
  for (const text of data.limits) add("li", list, text);
  for (const text of data.passed_over) add("li", list, text, "doubt");
  if (!data.limits.length && !data.passed_over.length) add("li", list, "Nothing of this study was passed over.");
}

function fillModel(panel, data) {
  const section = add("section", panel);
  section.id = "model";
  add("h2", section, "Model");
  const facts = add("dl", section);
  for (const [name, value] of Object.entries(data.model)) {
    if (name === "members" || value === null) continue;
    add("dt", facts, name.replaceAll("_", " "));
    add("dd", facts, typeof value === "object" ? JSON.stringify(value) : String(value));
  }
  add("p", section, data.digest, "note");
  if (data.card) {
    const more = add("details", section, undefined, "card");
    add("summary", more, "Model card");
    fillCard(more, data.card);
  } else add("p", section, "This model has no model card here: whoever trained it knows what it was measured on.", "note");
}

/* The little Markdown that a model card has: headings, lists, tables, paragraphs. */
function fillCard(parent, text) {
  const plain = (line) => line.replace(/[*`]+/g, "").replace(/\[([^\]]*)\]\([^)]*\)/g, "$1");
  for (const block of text.split(/\n\n+/)) {
    const lines = block.split("\n");
    if (lines[0].startsWith("#")) {
      add("h3", parent, plain(lines[0].replace(/^#+ /, "")));
    } else if (lines[0].startsWith("|")) {
      const table = add("table", parent);
      lines.filter((line) => !/^\|[-:|]+\|$/.test(line)).forEach((line, i) => {
        const row = add("tr", table);
        for (const cell of line.slice(1, -1).split("|")) add(i ? "td" : "th", row, plain(cell.trim()));
      });
    } else if (lines[0].startsWith("- ")) {
      const list = add("ul", parent);
      for (const item of block.slice(2).split(/\n- /)) add("li", list, plain(item));
    } else add("p", parent, plain(block));
  }
}

function fillKeys(panel) {
  const section = add("section", panel);
  section.id = "keys";
  const more = add("details", section);
  add("summary", more, "Keys");
  const facts = add("dl", more);
  for (const [keys, text] of [
    ["+ −", "larger, smaller; also the mouse wheel"],
    ["← ↑ ↓ →", "move, when a picture has the focus; also drag"],
    ["0", "the whole image"],
    ["F", "the crop"],
    ["[ ]", "darker, lighter"],
    ["I O B M", "inverse, outlines, bones, map"],
    ["Tab, Enter", "reach a row of the list, choose it"],
    ["Escape", "choose none"],
  ]) {
    add("kbd", add("dt", facts), keys);
    add("dd", facts, text);
  }
}
