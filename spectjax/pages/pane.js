/* Colours that those see apart who are red-green blind (Okabe and Ito), on white and
   on black; a casing of the background's colour keeps them off what lies below. */
const ON_WHITE = { model: "#b34700", readers: "#0072b2", frame: "#5b6775", text: "#1d2733", back: "#ffffff", bones: "#00795a", map: "230,120,0" };
const ON_BLACK = { model: "#ffb000", readers: "#56b4e9", frame: "#aab4bf", text: "#f0f3f6", back: "#000000", bones: "#4fd1ae", map: "255,170,0" };

/* One view: counts, what was marked, which side is which. */
class Pane {
  constructor(view, parent) {
    this.view = view;
    [this.h, this.w] = view.counts.hw;
    const mm = view.document.source.spacing_mm;
    this.mm = mm;
    this.aspect = mm ? mm[1] / mm[0] : 1; // width of a pixel over its height
    this.mirrored = view.view === "posterior";
    const figure = add("figure", parent);
    const caption = add("figcaption", figure, `${view.label} `);
    add("small", caption, this.sayHung());
    this.canvas = add("canvas", add("div", figure, undefined, "hold"));
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", `${view.label} view, ${view.spots.length} outlines. ${this.sayHung()}. Arrows move, plus and minus zoom.`);
    this.flat = document.createElement("canvas");
    this.flat.width = this.w; this.flat.height = this.h;
  }

  sayHung() {
    const source = this.view.document.source;
    const name = this.view.number && source.file ? `${source.file}; ` : "";
    return `${name}${source.synthetic ? "synthetic; " : ""}${this.saySides()}`;
  }

  saySides() {
    if (this.view.weak_view) return "as recorded; view in doubt, and so are the sides";
    return `as recorded; patient's ${this.mirrored ? "left" : "right"} side at the left`;
  }

  /* Grey values anew: after a change of the window or of the ground. */
  paint(white, inverse) {
    const pixels = this.view.pixels;
    const image = new ImageData(this.w, this.h);
    const words = new Uint32Array(image.data.buffer);
    for (let i = 0; i < pixels.length; i++) {
      let grey = Math.min(255, Math.round((255 * pixels[i]) / white));
      if (inverse) grey = 255 - grey;
      words[i] = 0xff000000 | (grey * 0x010101);
    }
    this.flat.getContext("2d").putImageData(image, 0, 0);
  }

  /* Fits the canvas to its place on the screen. */
  measure(ratio) {
    const { width, height } = this.canvas.parentElement.getBoundingClientRect();
    this.canvas.width = Math.max(1, Math.round(width * ratio));
    this.canvas.height = Math.max(1, Math.round(height * ratio));
    this.ratio = ratio;
  }

  /* The look in screen pixels: scale of columns and rows, and where the image begins.
     Looks are shared: rows as they are, columns as seen from the front. */
  aim(look) {
    const margin = 0.96;
    const fit = Math.min(this.canvas.width / (this.w * this.aspect), this.canvas.height / this.h) * margin;
    const sy = fit * look.zoom, sx = sy * this.aspect;
    const u = this.mirrored ? 1 - look.u : look.u;
    this.sx = sx; this.sy = sy;
    this.tx = this.canvas.width / 2 - u * this.w * sx;
    this.ty = this.canvas.height / 2 - look.v * this.h * sy;
  }

  place(x, y) { return [x * this.sx + this.tx, y * this.sy + this.ty]; }

  /* Continuous frame coordinates (x, y) of an event. */
  find(event) {
    const rect = this.canvas.getBoundingClientRect();
    return [
      ((event.clientX - rect.left) * this.ratio - this.tx) / this.sx,
      ((event.clientY - rect.top) * this.ratio - this.ty) / this.sy,
    ];
  }

  draw(state) {
    this.aim(state.looks[this.view.index]);
    const c = this.canvas.getContext("2d");
    const colours = state.inverse ? ON_WHITE : ON_BLACK;
    c.setTransform(1, 0, 0, 1, 0, 0);
    c.fillStyle = colours.back;
    c.fillRect(0, 0, this.canvas.width, this.canvas.height);
    // Pixels as they are where there is room for each; else their mean: none is lost.
    c.imageSmoothingEnabled = Math.min(this.sx, this.sy) < 1;
    c.imageSmoothingQuality = "high";
    c.setTransform(this.sx, 0, 0, this.sy, this.tx, this.ty);
    c.drawImage(this.flat, 0, 0);
    if (state.map) this.drawMap(c, colours);
    c.setTransform(1, 0, 0, 1, 0, 0);
    if (state.bones && this.view.regions) drawRegions(this, c, colours);
    if (state.outlines) {
      this.drawFrame(c, colours);
      // The chosen one above all others, and tags above all outlines.
      const last = (spot) => Number(spot === state.chosen);
      const spots = [...this.view.spots].sort((a, b) => last(a) - last(b));
      for (const spot of spots) this.drawSpot(c, spot, colours, spot === state.chosen);
      this.tags = [];
      for (const spot of spots.reverse()) this.tag(c, spot, colours, spot === state.chosen);
    }
    this.drawSides(c, colours);
    this.drawBar(c, colours, state.looks[this.view.index].zoom);
    if (state.pointer && state.pointer.view !== this.view && state.link) this.drawPointer(c, state.pointer, colours);
  }

  stroke(c, path, colour, width, back) {
    c.lineJoin = "round";
    c.strokeStyle = back; c.lineWidth = (width + 2) * this.ratio; c.stroke(path);
    c.strokeStyle = colour; c.lineWidth = width * this.ratio; c.stroke(path);
  }

  write(c, text, x, y, colours, { size = 12, weight = 600, colour = colours.text } = {}) {
    c.font = `${weight} ${size * this.ratio}px system-ui, sans-serif`;
    c.lineWidth = 3 * this.ratio; c.strokeStyle = colours.back; c.lineJoin = "round";
    c.strokeText(text, x, y);
    c.fillStyle = colour;
    c.fillText(text, x, y);
  }

  drawFrame(c, colours) {
    if (isWhole(this.view)) return;
    const [y0, x0, y1, x1] = this.view.crop;
    const [left, top] = this.place(x0, y0), [right, bottom] = this.place(x1, y1);
    c.setLineDash([5 * this.ratio, 4 * this.ratio]);
    c.strokeStyle = colours.frame; c.lineWidth = this.ratio;
    c.strokeRect(left, top, right - left, bottom - top);
    c.setLineDash([]);
    if (this.view.in_doubt) this.write(c, "crop in doubt", left, top - 5 * this.ratio, colours, { size: 11 });
  }

  drawSpot(c, spot, colours, chosen) {
    if (spot.by === "readers") c.setLineDash([5 * this.ratio, 3 * this.ratio]);
    this.stroke(c, makePath(spot.loops, (x, y) => this.place(x, y)), colours[spot.by], chosen ? 3 : 1.5, colours.back);
    c.setLineDash([]);
  }

  /* Writes a tag beside its outline, at the first place that is free. */
  tag(c, spot, colours, chosen) {
    const font = { size: chosen ? 15 : 12, weight: chosen ? 800 : 600, colour: colours[spot.by] };
    c.font = `${font.weight} ${font.size * this.ratio}px system-ui, sans-serif`;
    const wide = c.measureText(spot.tag).width, high = font.size * this.ratio, away = 4 * this.ratio;
    const [, y0, , y1] = spot.box, top = this.place(0, y0)[1], bottom = this.place(0, y1)[1];
    const sides = ([left, right]) => {
      const both = [this.place(right, 0)[0] + away, this.place(left, 0)[0] - away - wide];
      return spot.by === "readers" ? both.reverse() : both;
    };
    const places = [...sides(spot.first).map((x) => [x, top]), ...sides(spot.last).map((x) => [x, bottom])];
    for (let step = 1; step < 6; step++) places.push([places[0][0], top - step * high / 2], [places[2][0], bottom + step * high / 2]);
    const meets = ([x, y]) => this.tags.some(([u, v, w, h]) => x < u + w && u < x + wide && y - high < v && v - h < y);
    const [x, y] = places.find((each) => !meets(each)) || places[0];
    this.tags.push([x, y, wide, high]);
    this.write(c, spot.tag, x, y, colours, font);
  }

  /* What spoke for a class, cell by cell: the less opaque the less. */
  drawMap(c, colours) {
    const map = this.view.document.map;
    if (!map || !this.view.map_box) return;
    const [y0, x0, y1, x1] = this.view.map_box, [rows, columns] = map.hw;
    const most = Math.max(...map.values.flat());
    if (!(most > 0)) return;
    const high = (y1 - y0) / rows, wide = (x1 - x0) / columns;
    map.values.forEach((line, i) => line.forEach((value, j) => {
      c.fillStyle = `rgba(${colours.map},${(0.65 * value) / most})`;
      c.fillRect(x0 + j * wide, y0 + i * high, wide, high);
    }));
  }

  /* R and L, at the height of the middle: the patient's sides. */
  drawSides(c, colours) {
    const doubt = this.view.weak_view ? "?" : "";
    const [left, right] = this.mirrored ? ["L", "R"] : ["R", "L"];
    const y = 24 * this.ratio, margin = 10 * this.ratio;
    this.write(c, left + doubt, margin, y, colours, { size: 18, weight: 700 });
    c.textAlign = "right";
    this.write(c, right + doubt, this.canvas.width - margin, y, colours, { size: 18, weight: 700 });
    c.textAlign = "left";
  }

  drawBar(c, colours, zoom) {
    const y = this.canvas.height - 12 * this.ratio, x = 12 * this.ratio;
    let end = x;
    if (this.mm) {
      const cm = zoom > 2.5 ? 2 : 10, length = ((10 * cm) / this.mm[0]) * this.sy;
      end = x + length + 6 * this.ratio;
      const path = new Path2D();
      path.moveTo(x, y); path.lineTo(x + length, y);
      this.stroke(c, path, colours.text, 2, colours.back);
      this.write(c, `${cm} cm`, end, y + 4 * this.ratio, colours, { size: 11, weight: 400 });
    } else this.write(c, "size of a pixel unknown", x, y + 4 * this.ratio, colours, { size: 11, weight: 400 });
    if (zoom > 1.01) {
      c.textAlign = "right";
      this.write(c, `× ${zoom.toFixed(1)}: a part is shown`, this.canvas.width - x, y + 4 * this.ratio, colours, { size: 11, weight: 400 });
      c.textAlign = "left";
    }
  }

  /* Where the pointer in another view would be in this one. */
  drawPointer(c, pointer, colours) {
    const u = this.mirrored ? 1 - pointer.u : pointer.u;
    const [x, y] = this.place(u * this.w, pointer.v * this.h);
    const long = 9 * this.ratio, path = new Path2D();
    path.moveTo(x - long, y); path.lineTo(x + long, y);
    path.moveTo(x, y - long); path.lineTo(x, y + long);
    this.stroke(c, path, colours.frame, 1, colours.back);
  }
}
