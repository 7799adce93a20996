/**
 * Which pixels a brush, a polygon or a fill covers, as rows. Every pixel is in or out: no edge is soft.
 *
 * @typedef {{x: number, y: number}} Place in pixels of the picture; a pixel's centre lies at a half
 * @typedef {{width: number, height: number}} Size
 * @typedef {(y: number, from: number, to: number) => void} Row takes the pixels `from` … `to` − 1 of row `y`
 */

/** @param {number} value @param {number} low @param {number} high */
export const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/**
 * Where a brush really lies: its middle is the centre of a pixel if its diameter is odd, a corner if it is even.
 * @param {Place} place @param {number} diameter @returns {Place}
 */
export function snapped({ x, y }, diameter) {
  return diameter % 2 ? { x: Math.floor(x) + 0.5, y: Math.floor(y) + 0.5 } : { x: Math.round(x), y: Math.round(y) };
}

/**
 * A round brush drawn from `a` to `b`: every pixel whose centre is at most half a diameter away from the line between them.
 * @param {Place} a @param {Place} b both `snapped` @param {number} diameter in pixels @param {Size} size @param {Row} row
 */
export function stroke(a, b, diameter, { width, height }, row) {
  // in half pixels everything is a whole number, so that no rounding decides what is on the edge
  const [ax, ay, dx, dy, r] = [2 * a.x, 2 * a.y, 2 * (b.x - a.x), 2 * (b.y - a.y), diameter];
  const square = dx * dx + dy * dy;
  const reach = r * Math.sqrt(square);

  /** @param {number} x @param {number} y */
  const covers = (x, y) => {
    const [px, py] = [2 * x + 1 - ax, 2 * y + 1 - ay];
    const along = px * dx + py * dy;
    if (along <= 0) return px * px + py * py <= r * r;
    if (along >= square) return (px - dx) ** 2 + (py - dy) ** 2 <= r * r;
    return (px * dy - py * dx) ** 2 <= r * r * square;
  };

  const top = Math.max(0, Math.floor((Math.min(ay, ay + dy) - r - 1) / 2));
  const bottom = Math.min(height - 1, Math.ceil((Math.max(ay, ay + dy) + r) / 2));
  for (let y = top; y <= bottom; y++) {
    const [low, high] = between(2 * y + 1 - ay, dx, dy, r, square, reach);
    if (low > high) continue;
    let from = Math.ceil((low + ax - 1) / 2);
    let to = Math.floor((high + ax - 1) / 2);
    if (covers(from - 1, y)) from--;
    while (from <= to && !covers(from, y)) from++;
    if (covers(to + 1, y)) to++;
    while (to >= from && !covers(to, y)) to--;
    from = Math.max(from, 0);
    to = Math.min(to, width - 1);
    if (from <= to) row(y, from, to + 1);
  }
}

/**
 * The left and right end of a stroke at one height, relative to its beginning; the left one is larger where there is nothing.
 * @param {number} y @param {number} dx @param {number} dy @param {number} r @param {number} square @param {number} reach
 */
function between(y, dx, dy, r, square, reach) {
  let [low, high] = [Infinity, -Infinity];
  for (const [cx, cy] of [[0, 0], [dx, dy]]) {
    const half = Math.sqrt(r * r - (y - cy) ** 2);
    if (half >= 0) [low, high] = [Math.min(low, cx - half), Math.max(high, cx + half)];
  }
  let [left, right] = [-Infinity, Infinity];
  if (dy) {
    const ends = [(dx * y - reach) / dy, (dx * y + reach) / dy];
    [left, right] = [Math.min(...ends), Math.max(...ends)];
  } else if (Math.abs(dx * y) > reach) return [low, high];
  if (dx) {
    const ends = [(-dy * y) / dx, (square - dy * y) / dx];
    [left, right] = [Math.max(left, Math.min(...ends)), Math.min(right, Math.max(...ends))];
  } else if (dy * y < 0 || dy * y > square) return [low, high];
  return left <= right && square ? [Math.min(low, left), Math.max(high, right)] : [low, high];
}

/**
 * The inside of a polygon: every pixel whose centre is inside, by the even-odd rule.
 * @param {Place[]} corners @param {Size} size @param {Row} row
 */
export function polygon(corners, { width, height }, row) {
  const ys = corners.map((corner) => corner.y);
  const top = Math.max(0, Math.floor(Math.min(...ys)));
  const bottom = Math.min(height - 1, Math.ceil(Math.max(...ys)));
  for (let y = top; y <= bottom; y++) {
    const middle = y + 0.5;
    /** @type {number[]} */
    const crossings = [];
    corners.forEach((a, index) => {
      const b = corners[(index + 1) % corners.length];
      if (a.y <= middle !== b.y <= middle) crossings.push(a.x + ((middle - a.y) * (b.x - a.x)) / (b.y - a.y));
    });
    crossings.sort((a, b) => a - b);
    for (let i = 0; i + 1 < crossings.length; i += 2) {
      const from = Math.max(0, Math.ceil(crossings[i] - 0.5));
      const to = Math.min(width, Math.ceil(crossings[i + 1] - 0.5));
      if (from < to) row(y, from, to);
    }
  }
}

/**
 * The pixels around one that have its class and hang together side by side.
 * @param {Uint8Array} labels @param {Size} size @param {number} x @param {number} y
 * @param {Row} row has to give the pixels another class, because that is how they are known to be done
 */
export function flood(labels, { width, height }, x, y, row) {
  const wanted = labels[y * width + x];
  const open = [x, y];
  while (open.length) {
    const line = /** @type {number} */ (open.pop());
    const start = /** @type {number} */ (open.pop());
    const at = line * width;
    if (labels[at + start] !== wanted) continue;
    let [from, to] = [start, start + 1];
    while (from > 0 && labels[at + from - 1] === wanted) from--;
    while (to < width && labels[at + to] === wanted) to++;
    row(line, from, to);
    for (const next of [line - 1, line + 1]) {
      if (next < 0 || next >= height) continue;
      for (let i = from, inside = false; i < to; i++) {
        const same = labels[next * width + i] === wanted;
        if (same && !inside) open.push(i, next);
        inside = same;
      }
    }
  }
}
