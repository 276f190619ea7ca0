/* The eleven formulas and their gradients, with loops, for one feature map: what the explore page computes.

   Arrays are nested: f is C×H×W, w1 is R×C, w2 is C×R, kernel is 2×k×k (or 1×2×k×k, as the package has it).
   The names are those of the package: f1 is F′, f2 is F″, d_x is the gradient of x. A tied maximum belongs to its
   first entry. tests/test_explore.py compares every number with NumPy, and plants mistakes here to see them noticed.
*/
(function () {
  "use strict";

  // The paths by which an output depends on F. Each is one term of d_f; the sum of the terms is the gradient.
  const PATHS = ["direct", "avg_s", "max_s", "avg_c", "max_c"];

  // --- arrays ---

  function filled(shape, value, at = []) {
    if (at.length === shape.length) return value(...at);
    return Array.from({ length: shape[at.length] }, (_, i) => filled(shape, value, [...at, i]));
  }

  const zeros = (...shape) => filled(shape, () => 0);

  function* indices(...shape) {
    if (shape.length === 0) yield [];
    else for (let i = 0; i < shape[0]; i++) for (const rest of indices(...shape.slice(1))) yield [i, ...rest];
  }

  const added = (a, b) => (Array.isArray(a) ? a.map((part, i) => added(part, b[i])) : a + b);

  function shapeOf(array) {
    return Array.isArray(array) ? [array.length, ...shapeOf(array[0])] : [];
  }

  const fits = (array, [size, ...rest]) =>
    size === undefined
      ? Number.isFinite(array)
      : Array.isArray(array) && array.length === size && array.every((part) => fits(part, rest));

  function check(name, array, ...shape) {
    const sizes = shapeOf(array);
    const expected = shape.map((size, axis) => (typeof size === "string" ? sizes[axis] : size)); // "C" is any size
    if (sizes.length !== shape.length || expected.includes(0) || !fits(array, expected)) {
      const what = `finite numbers of the shape (${shape.join(", ")})`;
      throw new Error(`${name}: expected ${what}, got (${sizes.join(", ")})`);
    }
  }

  // --- forward ---

  // exp of a number that is not positive never overflows
  const sigmoid = (z) => (z >= 0 ? 1 / (1 + Math.exp(-z)) : Math.exp(z) / (1 + Math.exp(z)));
  const relu = (z) => (z > 0 ? z : 0);

  function forward({ f, w1, w2, kernel }) {
    const [C, H, W] = shapeOf(f);
    const R = w1.length;
    const k = kernel[0].length;
    const p = (k - 1) / 2;

    // (3), (4): the average and the maximum of every channel
    const avg_c = zeros(C), max_c = filled([C], () => -Infinity), winner_c = filled([C], () => null);
    for (const [c, i, j] of indices(C, H, W)) {
      avg_c[c] += f[c][i][j] / (H * W);
      if (f[c][i][j] > max_c[c]) { max_c[c] = f[c][i][j]; winner_c[c] = [i, j]; }
    }

    // (5): the hidden units, for both vectors
    const z_avg = zeros(R), z_max = zeros(R);
    for (const [q, c] of indices(R, C)) {
      z_avg[q] += w1[q][c] * avg_c[c];
      z_max[q] += w1[q][c] * max_c[c];
    }
    const h_avg = z_avg.map(relu), h_max = z_max.map(relu);

    // (5), (6): the second layer, the sum of both, the sigmoid
    const z_c = zeros(C);
    for (const [c, q] of indices(C, R)) z_c[c] += w2[c][q] * h_avg[q] + w2[c][q] * h_max[q];
    const m_c = z_c.map(sigmoid);

    // (1), (7): every channel times its gate
    const f1 = filled([C, H, W], (c, i, j) => m_c[c] * f[c][i][j]);

    // (8), (9): the average and the maximum at every pixel
    const avg_s = zeros(H, W), max_s = filled([H, W], () => -Infinity), winner_s = zeros(H, W);
    for (const [c, i, j] of indices(C, H, W)) {
      avg_s[i][j] += f1[c][i][j] / C;
      if (f1[c][i][j] > max_s[i][j]) { max_s[i][j] = f1[c][i][j]; winner_s[i][j] = c; }
    }

    // (10): the window slides over both, and the sigmoid; outside is zero
    const z_s = zeros(H, W);
    for (const [i, j, u, v] of indices(H, W, k, k)) {
      const row = i + u - p, column = j + v - p;
      if (row < 0 || row >= H || column < 0 || column >= W) continue;
      z_s[i][j] += kernel[0][u][v] * avg_s[row][column] + kernel[1][u][v] * max_s[row][column];
    }
    const m_s = z_s.map((row) => row.map(sigmoid));

    // (2), (11): every pixel times its gate
    const f2 = filled([C, H, W], (c, i, j) => m_s[i][j] * f1[c][i][j]);

    return {
      f, w1, w2, kernel, avg_c, max_c, winner_c, z_avg, z_max, h_avg, h_max, z_c, m_c,
      f1, avg_s, max_s, winner_s, z_s, m_s, f2,
    };
  }

  // --- backward ---

  /* The gradient of Σ seeds · values, where values is what forward() returned and seeds holds d_f2 or a gradient of any
     other array, by the array's name. Of the paths in `off` nothing comes back, neither to F nor to the weights. d_f,
     d_f1, d_w1, d_w2 are given for each path: {direct: ..., avg_s: ..., ...}.
  */
  function backward(values, seeds, off = new Set()) {
    const { f, w1, w2, kernel, avg_c, max_c, winner_c, z_avg, z_max, h_avg, h_max, m_c } = values;
    const { f1, avg_s, max_s, winner_s, m_s } = values;
    const [C, H, W] = shapeOf(f);
    const R = w1.length;
    const k = kernel[0].length;
    const p = (k - 1) / 2;
    const on = Object.fromEntries(PATHS.map((path) => [path, off.has(path) ? 0 : 1]));
    const seed = (name, ...shape) => filled(shape, (...at) => at.reduce((part, i) => part[i], seeds[name] ?? zeros(...shape)));

    // (11): a product has two factors, so the gradient has two paths
    const d_f2 = seed("f2", C, H, W);
    const d_m_s = seed("m_s", H, W);
    const d_f1 = { direct: seed("f1", C, H, W), avg_s: zeros(C, H, W), max_s: zeros(C, H, W) };
    for (const [c, i, j] of indices(C, H, W)) {
      d_m_s[i][j] += d_f2[c][i][j] * f1[c][i][j];
      d_f1.direct[c][i][j] += on.direct * d_f2[c][i][j] * m_s[i][j];
    }

    // (10): σ′ = σ(1 - σ), then each product of the window
    const d_z_s = filled([H, W], (i, j) => d_m_s[i][j] * m_s[i][j] * (1 - m_s[i][j]));
    const d_kernel = zeros(2, k, k);
    const d_avg_s = seed("avg_s", H, W), d_max_s = seed("max_s", H, W);
    for (const [i, j, u, v] of indices(H, W, k, k)) {
      const row = i + u - p, column = j + v - p;
      if (row < 0 || row >= H || column < 0 || column >= W) continue;
      d_kernel[0][u][v] += on.avg_s * d_z_s[i][j] * avg_s[row][column];
      d_kernel[1][u][v] += on.max_s * d_z_s[i][j] * max_s[row][column];
      d_avg_s[row][column] += d_z_s[i][j] * kernel[0][u][v];
      d_max_s[row][column] += d_z_s[i][j] * kernel[1][u][v];
    }

    // (8): an equal share to every channel, (9): all to the largest
    for (const [i, j] of indices(H, W)) {
      for (let c = 0; c < C; c++) d_f1.avg_s[c][i][j] += on.avg_s * d_avg_s[i][j] / C;
      d_f1.max_s[winner_s[i][j]][i][j] += on.max_s * d_max_s[i][j];
    }

    // (7): to the gate goes the sum of all that came back to F′; to the feature, each path's part
    const d_m_c = seed("m_c", C);
    for (const [c, i, j] of indices(C, H, W)) {
      d_m_c[c] += (d_f1.direct[c][i][j] + d_f1.avg_s[c][i][j] + d_f1.max_s[c][i][j]) * f[c][i][j];
    }
    const times_gate = (part) => filled([C, H, W], (c, i, j) => m_c[c] * part[c][i][j]);

    // (6): σ′ = σ(1 - σ), (5): the second layer, which both vectors went through
    const d_z_c = d_m_c.map((d, c) => d * m_c[c] * (1 - m_c[c]));
    const d_w2 = { avg_c: zeros(C, R), max_c: zeros(C, R) };
    const d_h_avg = seed("h_avg", R), d_h_max = seed("h_max", R);
    for (const [c, q] of indices(C, R)) {
      d_w2.avg_c[c][q] += on.avg_c * d_z_c[c] * h_avg[q];
      d_w2.max_c[c][q] += on.max_c * d_z_c[c] * h_max[q];
      d_h_avg[q] += d_z_c[c] * w2[c][q];
      d_h_max[q] += d_z_c[c] * w2[c][q];
    }

    // (5): the ReLU lets through where it was positive, then the first layer
    const d_z_avg = d_h_avg.map((d, q) => (z_avg[q] > 0 ? d : 0));
    const d_z_max = d_h_max.map((d, q) => (z_max[q] > 0 ? d : 0));
    const d_w1 = { avg_c: zeros(R, C), max_c: zeros(R, C) };
    const d_avg_c = seed("avg_c", C), d_max_c = seed("max_c", C);
    for (const [q, c] of indices(R, C)) {
      d_w1.avg_c[q][c] += on.avg_c * d_z_avg[q] * avg_c[c];
      d_w1.max_c[q][c] += on.max_c * d_z_max[q] * max_c[c];
      d_avg_c[c] += d_z_avg[q] * w1[q][c];
      d_max_c[c] += d_z_max[q] * w1[q][c];
    }

    // (3): an equal share to every pixel, (4): all to the largest
    const d_f = {
      direct: times_gate(d_f1.direct),
      avg_s: times_gate(d_f1.avg_s),
      max_s: times_gate(d_f1.max_s),
      avg_c: filled([C, H, W], (c) => on.avg_c * d_avg_c[c] / (H * W)),
      max_c: zeros(C, H, W),
    };
    for (let c = 0; c < C; c++) {
      const [i, j] = winner_c[c];
      d_f.max_c[c][i][j] += on.max_c * d_max_c[c];
    }

    return {
      d_f2, d_m_s, d_z_s, d_kernel, d_avg_s, d_max_s, d_f1, d_m_c, d_z_c, d_w2, d_h_avg, d_h_max,
      d_z_avg, d_z_max, d_w1, d_avg_c, d_max_c, d_f,
    };
  }

  const total = (parts) => Object.values(parts).reduce(added);

  /* Forward and backward of the whole block. Throws an Error that names the argument whose shape or numbers are wrong. */
  function run({ f, w1, w2, kernel, d_out }) {
    check("f", f, "C", "H", "W");
    const [C, H, W] = shapeOf(f);
    check("w1", w1, "R", C);
    check("w2", w2, C, w1.length);
    const wrapped = shapeOf(kernel).length === 4; // as (1, 2, k, k)
    const k = shapeOf(kernel).at(-1);
    check("kernel", kernel, ...(wrapped ? [1] : []), 2, k, k);
    if (k % 2 === 0) throw new Error(`kernel: expected an odd size, got ${k}`);
    check("d_out", d_out, C, H, W);

    const values = forward({ f, w1, w2, kernel: wrapped ? kernel[0] : kernel });
    const { d_f, d_w1, d_w2, d_kernel } = backward(values, { f2: d_out });
    const { m_c, m_s, f1, f2 } = values;
    return {
      m_c, m_s, f1, f2,
      d_f: total(d_f), d_w1: total(d_w1), d_w2: total(d_w2), d_kernel: wrapped ? [d_kernel] : d_kernel,
    };
  }

  window.cbamExplore = { run, forward, backward, total, filled, zeros, indices, PATHS };
})();
