"use strict";

/* A mask from COCO's run lengths: column by column, runs of 0 and of 1 in turn. */
function decodeMask({ size: [h, w], counts }) {
  const mask = new Uint8Array(h * w);
  let place = 0;
  counts.forEach((run, i) => {
    if (i % 2) for (let k = place; k < place + run; k++) mask[(k % h) * w + Math.floor(k / h)] = 1;
    place += run;
  });
  return mask;
}

/* The edges of a mask's pixels as closed loops of corners (x, y), its box, and the ends
   (left, right) of its first and of its last row. */
function traceMask(mask, h, w) {
  const inside = (x, y) => x >= 0 && y >= 0 && x < w && y < h && mask[y * w + x] === 1;
  const ways = new Map();
  const box = [w, h, 0, 0], ends = new Map();
  const add = (x, y, dx, dy) => {
    const key = y * (w + 1) + x;
    if (!ways.has(key)) ways.set(key, []);
    ways.get(key).push([dx, dy]);
  };
  for (let k = mask.indexOf(1); k >= 0; k = mask.indexOf(1, k + 1)) {
    const x = k % w, y = Math.floor(k / w);
    box[0] = Math.min(box[0], x); box[1] = Math.min(box[1], y);
    box[2] = Math.max(box[2], x + 1); box[3] = Math.max(box[3], y + 1);
    ends.set(y, [ends.has(y) ? ends.get(y)[0] : x, x + 1]);
    if (!inside(x, y - 1)) add(x, y, 1, 0);
    if (!inside(x + 1, y)) add(x + 1, y, 0, 1);
    if (!inside(x, y + 1)) add(x + 1, y + 1, -1, 0);
    if (!inside(x - 1, y)) add(x, y + 1, 0, -1);
  }
  const loops = [];
  for (const start of ways.keys()) {
    while (ways.get(start).length) {
      const loop = [];
      let key = start, before = [0, 0];
      while (ways.get(key).length) {
        const [dx, dy] = ways.get(key).pop();
        const x = key % (w + 1), y = Math.floor(key / (w + 1));
        if (dx !== before[0] || dy !== before[1]) loop.push([x, y]);
        before = [dx, dy];
        key = (y + dy) * (w + 1) + x + dx;
      }
      loops.push(loop);
    }
  }
  return { loops, box, first: ends.get(box[1]), last: ends.get(box[3] - 1) };
}

/* Loops as a path, moved by what maps frame pixels to those of a screen. */
function makePath(loops, place) {
  const path = new Path2D();
  for (const loop of loops) {
    loop.forEach(([x, y], i) => (i ? path.lineTo(...place(x, y)) : path.moveTo(...place(x, y))));
    path.closePath();
  }
  return path;
}
