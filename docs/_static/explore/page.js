/* The explore page: what is shown and what happens on a click. The numbers come from arithmetic.js.

   One state, one function that draws it. Whatever changes the state calls draw(), which computes everything anew: it
   takes about a millisecond. All numbers of the state are hundredths, so that a link holds them exactly.
*/
(function () {
  "use strict";

  const root = document.getElementById("explore");
  if (!root) return;
  const { forward, backward, total, filled, zeros, indices, PATHS } = window.cbamExplore;
  const [C, H, W, R, K] = [4, 8, 8, 2, 7];
  const SHAPES = { f: [C, H, W], w1: [R, C], w2: [C, R], kernel: [2, K, K] };

  const WORDS = {
    direct: "direct", avg_s: "average over channels", max_s: "maximum over channels",
    avg_c: "average over space", max_c: "maximum over space", sum: "all together",
  };
  const SYMBOLS = {
    f: "F", f1: "F′", f2: "F″", m_c: "M_c", m_s: "M_s", avg_c: "avg_c", max_c: "max_c", avg_s: "avg_s", max_s: "max_s",
    h_avg: "h_avg", h_max: "h_max", w1: "W1", w2: "W2", kernel: "K",
  };

  // --- small tools ---

  const hundredths = (x) => Math.round(x * 100) / 100;
  const clipped = (x, most) => Math.min(most, Math.max(-most, hundredths(x)));
  const entry = (array, at) => at.reduce((part, i) => part[i], array);
  const put = (array, at, value) => { entry(array, at.slice(0, -1))[at.at(-1)] = value; };
  const numbers = (array) => array.flat(Infinity);
  const largest = (array) => Math.max(...numbers(array).map(Math.abs));
  const wait = window.requestAnimationFrame.bind(window);

  /* A number as the page writes it: three decimals, or a power of ten if that would be 0.000. */
  function shown(x) {
    const text = x !== 0 && Math.abs(x) < 0.0005 ? x.toExponential(1).replace("e-", "e−") : x.toFixed(3);
    return text.replace(/^-/, "−");
  }
  const factor = (x) => (x < 0 ? `(${shown(x)})` : shown(x));
  const product = (...factors) => factors.map(factor).join(" · ");
  const sum = (terms) => terms.join(" + ");

  /* An element: tag.class, attributes, children. Attributes that start with "on" are listeners. */
  function make(tag, attributes = {}, ...children) {
    const [name, ...classes] = tag.split(".");
    const svg = ["svg", "rect", "path", "g", "text", "circle"].includes(name);
    const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
    if (classes.length) element.setAttribute("class", classes.join(" "));
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else if (value !== false && value != null) element.setAttribute(key, value === true ? "" : value);
    }
    element.append(...children.filter((child) => child !== null));
    return element;
  }

  /* Random numbers from a seed (mulberry32), and such with the standard normal distribution. */
  function random(seed) {
    return () => {
      seed = (seed + 0x6d2b79f5) | 0;
      let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }
  function normal(seed) {
    const uniform = random(seed);
    return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  }

  // --- what one can pick ---

  const FIVE = [".######.", ".#......", ".#####..", "......#.", "......#.", ".#....#.", "..####..", "........"];
  const five = (i, j) => (FIVE[i]?.[j] === "#" ? 1 : 0);
  const lit = (i, j) => 0.02 * (7 - i) + 0.01 * (7 - j); // a little light from the upper left: no two maxima are equal

  const PRESETS = {
    "cat's eye": () => filled(SHAPES.f, (c, i, j) => {
      const x = (j - 3.5) / 4, y = (i - 3.5) / 4;
      const lid = 1 - 0.75 * x * x - 1.5 * Math.abs(y);
      const slit = Math.exp(-((x / 0.2) ** 2) - (y / 0.62) ** 4);
      const part = [
        Math.max(0, Math.min(1, 2 * lid)) * (1 - slit), // the iris
        slit, // the pupil
        Math.exp(-((lid / 0.22) ** 2)), // the lids
        Math.max(0, Math.min(1, -1.6 * lid)), // the fur
      ][c];
      return part < 0.04 ? 0 : hundredths(1.2 * part + lit(i, j));
    }),
    digit: () => filled(SHAPES.f, (c, i, j) => {
      const near = [...indices(3, 3)].reduce((all, [a, b]) => all + five(i + a - 1, j + b - 1) / 9, 0);
      const part = [five(i, j), five(i + 1, j) - five(i - 1, j), five(i, j + 1) - five(i, j - 1), near][c];
      return part === 0 ? 0 : hundredths(part + lit(i, j));
    }),
    noise: (seed = 1) => { const draw = normal(seed); return filled(SHAPES.f, () => clipped(0.7 * draw(), 2)); },
    ties: (seed = 1) => { const draw = random(seed); return filled(SHAPES.f, () => Math.floor(3 * draw()) / 2); },
  };
  const bump = (u, v, width) => Math.exp(-((u - 3) ** 2 + (v - 3) ** 2) / width);
  const KERNELS = {
    "centre and surround": () => filled(SHAPES.kernel, (c, u, v) => hundredths(c ? 0.8 * bump(u, v, 3) - 0.14 : 0.3 * bump(u, v, 4) - 0.2)),
    "one pixel": () => filled(SHAPES.kernel, (c, u, v) => (c && u === 3 && v === 3 ? 2 : 0)),
    "left edge": () => filled(SHAPES.kernel, (c, u, v) => hundredths(0.12 * Math.sign(v - 3) * bump(u, v, 8))),
    zero: () => zeros(...SHAPES.kernel),
  };
  const WEIGHTS = () => ({
    w1: [[1.0, -0.4, 0.6, 0.2], [-0.5, 0.9, 0.3, 0.5]],
    w2: [[0.9, -0.7], [-0.8, 1.1], [0.6, 0.3], [-0.7, 0.4]],
  });

  // --- the state, and the link that keeps it ---

  const DEFAULT = () => ({
    f: PRESETS["cat's eye"](), ...WEIGHTS(), kernel: KERNELS["centre and surround"](),
    chosen: ["f2", 0, 3, 2], everywhere: false, off: new Set(), step: null,
  });
  let state = DEFAULT();

  const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const packed = (array) => numbers(array).map((x) => {
    const n = Math.round(x * 100) + 2048;
    return LETTERS[n >> 6] + LETTERS[n & 63];
  }).join("");

  function unpacked(text, shape) {
    const size = shape.reduce((a, b) => a * b, 1);
    if (text.length !== 2 * size || [...text].some((letter) => !LETTERS.includes(letter))) return null;
    let next = 0;
    return filled(shape, () => {
      const n = 64 * LETTERS.indexOf(text[next++]) + LETTERS.indexOf(text[next++]);
      return (n - 2048) / 100;
    });
  }

  function asLink() {
    const usual = DEFAULT();
    const parts = new URLSearchParams();
    for (const name of Object.keys(SHAPES)) {
      if (packed(state[name]) !== packed(usual[name])) parts.set(name, packed(state[name]));
    }
    parts.set("at", state.chosen ? state.chosen.join(".") : "");
    if (state.everywhere) parts.set("everywhere", "1");
    if (state.off.size) parts.set("off", [...state.off].join("."));
    if (state.step !== null) parts.set("step", state.step);
    return `#${parts}`;
  }

  function fromLink(hash) {
    const parts = new URLSearchParams(hash.replace(/^#/, ""));
    const found = DEFAULT();
    if (!parts.has("at")) return found; // no link of ours, perhaps to a heading
    for (const [name, shape] of Object.entries(SHAPES)) {
      found[name] = unpacked(parts.get(name) ?? "", shape) ?? found[name];
    }
    const [name, ...at] = parts.get("at").split(".");
    const place = at.map(Number);
    const sizes = { f2: [C, H, W], f1: [C, H, W], m_s: [H, W], avg_s: [H, W], max_s: [H, W], m_c: [C], avg_c: [C], max_c: [C], h_avg: [R], h_max: [R] }[name];
    const inside = sizes && place.length === sizes.length && place.every((i, axis) => Number.isInteger(i) && i >= 0 && i < sizes[axis]);
    found.chosen = inside ? [name, ...place] : null;
    found.everywhere = parts.get("everywhere") === "1";
    found.off = new Set((parts.get("off") ?? "").split(".").filter((path) => PATHS.includes(path)));
    const step = parseInt(parts.get("step"), 10);
    found.step = step >= 0 && step < STEPS.length ? step : null;
    return found;
  }

  let saving = null;
  function save() {
    if (small) return;
    clearTimeout(saving);
    saving = setTimeout(() => history.replaceState(null, "", asLink()), 250);
  }

  // --- the numbers in words: every entry of every array, with the numbers it was made of ---

  let v, g; // what forward() and backward() returned for the state
  const all = (n) => [...Array(n).keys()];
  const d_f1 = () => added3(g.d_f1);
  const added3 = (parts) => total(parts);
  const inside = (i, j) => i >= 0 && i < H && j >= 0 && j < W;
  const few = (list) => (list.length > 4 ? sum([...list.slice(0, 3), "…", list.at(-1)]) : sum(list.length ? list : ["0"]));
  const window_of = (c, i, j) => [...indices(K, K)].filter(([a, b]) => inside(i + a - 3, j + b - 3))
    .reduce((all, [a, b]) => all + v.kernel[c][a][b] * [v.avg_s, v.max_s][c][i + a - 3][j + b - 3], 0);

  function tied(c) {
    const same = [...indices(H, W)].filter(([i, j]) => v.f[c][i][j] === v.max_c[c]);
    return same.length > 1 ? `; ${same.length} entries tie, and the first counts` : "";
  }
  function tied_at(i, j) {
    const same = all(C).filter((c) => v.f1[c][i][j] === v.max_s[i][j]);
    return same.length > 1 ? `; channels ${same.join(", ")} tie, and the first counts` : "";
  }

  const SAY = {
    f: (c, i, j) => `F[${c}, ${i}, ${j}] = ${shown(v.f[c][i][j])}`,
    w1: (q, c) => `W1[${q}, ${c}] = ${shown(v.w1[q][c])}`,
    w2: (c, q) => `W2[${c}, ${q}] = ${shown(v.w2[c][q])}`,
    kernel: (c, a, b) => `K[${c}, ${a}, ${b}] = ${shown(v.kernel[c][a][b])}`,
    avg_c: (c) => `avg_c[${c}] = (${few(v.f[c].flat().map(factor))}) / ${H * W} = ${shown(v.avg_c[c])}`,
    max_c: (c) => `max_c[${c}] = F[${c}, ${v.winner_c[c].join(", ")}] = ${shown(v.max_c[c])}${tied(c)}`,
    h_avg: (q) => `h_avg[${q}] = ReLU(${sum(all(C).map((c) => product(v.w1[q][c], v.avg_c[c])))}) = ReLU(${shown(v.z_avg[q])}) = ${shown(v.h_avg[q])}`,
    h_max: (q) => `h_max[${q}] = ReLU(${sum(all(C).map((c) => product(v.w1[q][c], v.max_c[c])))}) = ReLU(${shown(v.z_max[q])}) = ${shown(v.h_max[q])}`,
    m_c: (c) => {
      const part = (h) => all(R).reduce((all, q) => all + v.w2[c][q] * h[q], 0);
      return `M_c[${c}] = σ(${shown(part(v.h_avg))} + ${factor(part(v.h_max))}) = σ(${shown(v.z_c[c])}) = ${shown(v.m_c[c])}`;
    },
    f1: (c, i, j) => `F′[${c}, ${i}, ${j}] = ${product(v.m_c[c], v.f[c][i][j])} = ${shown(v.f1[c][i][j])}`,
    avg_s: (i, j) => `avg_s[${i}, ${j}] = (${sum(all(C).map((c) => factor(v.f1[c][i][j])))}) / ${C} = ${shown(v.avg_s[i][j])}`,
    max_s: (i, j) => `max_s[${i}, ${j}] = max(${all(C).map((c) => shown(v.f1[c][i][j])).join(", ")}) = F′[${v.winner_s[i][j]}, ${i}, ${j}] = ${shown(v.max_s[i][j])}${tied_at(i, j)}`,
    m_s: (i, j) => `M_s[${i}, ${j}] = σ(${shown(window_of(0, i, j))} + ${factor(window_of(1, i, j))}) = σ(${shown(v.z_s[i][j])}) = ${shown(v.m_s[i][j])}`,
    f2: (c, i, j) => `F″[${c}, ${i}, ${j}] = ${product(v.m_s[i][j], v.f1[c][i][j])} = ${shown(v.f2[c][i][j])}`,
    d_m_s: (i, j) => `dM_s[${i}, ${j}] = ${sum(all(C).map((c) => product(g.d_f2[c][i][j], v.f1[c][i][j])))} = ${shown(g.d_m_s[i][j])}`,
    d_direct: (c, i, j) => `dF′_direct[${c}, ${i}, ${j}] = ${product(v.m_s[i][j], g.d_f2[c][i][j])} = ${shown(g.d_f1.direct[c][i][j])}${cut("direct")}`,
    d_z_s: (i, j) => `dz_s[${i}, ${j}] = ${product(g.d_m_s[i][j], v.m_s[i][j])} · (1 − ${shown(v.m_s[i][j])}) = ${shown(g.d_z_s[i][j])}`,
    d_kernel: (c, a, b) => {
      const x = [v.avg_s, v.max_s][c];
      const terms = [...indices(H, W)].filter(([i, j]) => inside(i + a - 3, j + b - 3) && g.d_z_s[i][j] !== 0)
        .map(([i, j]) => product(g.d_z_s[i][j], x[i + a - 3][j + b - 3]));
      return `dK[${c}, ${a}, ${b}] = ${few(terms)} = ${shown(g.d_kernel[c][a][b])}${cut(["avg_s", "max_s"][c])}`;
    },
    d_avg_s: (i, j) => `davg_s[${i}, ${j}] = ${shown(g.d_avg_s[i][j])}`,
    d_max_s: (i, j) => `dmax_s[${i}, ${j}] = ${shown(g.d_max_s[i][j])}`,
    d_f1: (c, i, j) => `dF′[${c}, ${i}, ${j}] = ${sum([g.d_f1.direct, g.d_f1.avg_s, g.d_f1.max_s].map((part) => factor(part[c][i][j])))} = ${shown(d_f1()[c][i][j])}`,
    d_m_c: (c) => {
      const terms = [...indices(H, W)].filter(([i, j]) => d_f1()[c][i][j] * v.f[c][i][j] !== 0)
        .map(([i, j]) => product(d_f1()[c][i][j], v.f[c][i][j]));
      return `dM_c[${c}] = ${few(terms)} = ${shown(g.d_m_c[c])}`;
    },
    d_z_c: (c) => `dz_c[${c}] = ${product(g.d_m_c[c], v.m_c[c])} · (1 − ${shown(v.m_c[c])}) = ${shown(g.d_z_c[c])}`,
    d_w2: (c, q) => `dW2[${c}, ${q}] = ${product(g.d_z_c[c], v.h_avg[q])} + ${product(g.d_z_c[c], v.h_max[q])} = ${shown(total(g.d_w2)[c][q])}${cut("avg_c", "max_c")}`,
    d_z_avg: (q) => relu_back(q, "avg"),
    d_z_max: (q) => relu_back(q, "max"),
    d_w1: (q, c) => `dW1[${q}, ${c}] = ${product(g.d_z_avg[q], v.avg_c[c])} + ${product(g.d_z_max[q], v.max_c[c])} = ${shown(total(g.d_w1)[q][c])}${cut("avg_c", "max_c")}`,
    d_avg_c: (c) => `davg_c[${c}] = ${sum(all(R).map((q) => product(g.d_z_avg[q], v.w1[q][c])))} = ${shown(g.d_avg_c[c])}`,
    d_max_c: (c) => `dmax_c[${c}] = ${sum(all(R).map((q) => product(g.d_z_max[q], v.w1[q][c])))} = ${shown(g.d_max_c[c])}`,
    d_f: (c, i, j) => {
      const first = product(v.m_c[c], d_f1()[c][i][j]);
      return `dF[${c}, ${i}, ${j}] = ${first} + ${factor(g.d_f.avg_c[c][i][j])} + ${factor(g.d_f.max_c[c][i][j])} = ${shown(total(g.d_f)[c][i][j])}`;
    },
  };
  const cut = (...paths) => (paths.some((path) => state.off.has(path)) ? "  (a path is switched off)" : "");
  const relu_back = (q, which) => {
    const z = v[`z_${which}`][q];
    const verdict = z > 0 ? "open" : "closed";
    return `dz_${which}[${q}] = [${shown(z)} > 0] · ${factor(g[`d_h_${which}`][q])} = ${shown(g[`d_z_${which}`][q])}, ${verdict}`;
  };

  // --- the steps: which array a line computes, from which, and the entry it is shown for ---

  const STEPS = [
    { makes: ["avg_c"], from: ["f"], say: ({ c }) => [SAY.avg_c(c)] },
    { makes: ["max_c"], from: ["f"], say: ({ c }) => [SAY.max_c(c)] },
    { makes: ["h_avg", "h_max"], from: ["avg_c", "max_c", "w1"], say: ({ q }) => [SAY.h_avg(q), SAY.h_max(q)] },
    { makes: ["m_c"], from: ["h_avg", "h_max", "w2"], say: ({ c }) => [SAY.m_c(c)] },
    { makes: ["f1"], from: ["f", "m_c"], say: ({ c, i, j }) => [SAY.f1(c, i, j)] },
    { makes: ["avg_s"], from: ["f1"], say: ({ i, j }) => [SAY.avg_s(i, j)] },
    { makes: ["max_s"], from: ["f1"], say: ({ i, j }) => [SAY.max_s(i, j)] },
    { makes: ["m_s"], from: ["avg_s", "max_s", "kernel"], say: ({ i, j }) => [SAY.m_s(i, j)] },
    { makes: ["f2"], from: ["f1", "m_s"], say: ({ c, i, j }) => [SAY.f2(c, i, j)] },
    { back: true, makes: ["m_s", "f1"], from: ["f2"], say: ({ c, i, j }) => [SAY.d_m_s(i, j), SAY.d_direct(c, i, j)] },
    { back: true, makes: ["m_s"], from: ["m_s"], say: ({ i, j }) => [SAY.d_z_s(i, j)] },
    { back: true, makes: ["kernel", "d_kernel"], from: ["m_s", "avg_s", "max_s"], say: () => [SAY.d_kernel(0, 3, 3), SAY.d_kernel(1, 3, 3)] },
    { back: true, makes: ["avg_s", "max_s"], from: ["m_s", "kernel"], say: ({ i, j }) => [SAY.d_avg_s(i, j), SAY.d_max_s(i, j)] },
    { back: true, makes: ["f1"], from: ["avg_s", "max_s"], say: ({ c, i, j }) => [SAY.d_f1(c, i, j)] },
    { back: true, makes: ["m_c"], from: ["f", "f1"], say: ({ c }) => [SAY.d_m_c(c)] },
    { back: true, makes: ["m_c"], from: ["m_c"], say: ({ c }) => [SAY.d_z_c(c)] },
    { back: true, makes: ["w2", "d_w2"], from: ["m_c", "h_avg", "h_max"], say: ({ c, q }) => [SAY.d_w2(c, q)] },
    { back: true, makes: ["h_avg", "h_max"], from: ["m_c", "w2"], say: ({ q }) => [SAY.d_z_avg(q), SAY.d_z_max(q)] },
    { back: true, makes: ["w1", "d_w1"], from: ["h_avg", "h_max", "avg_c", "max_c"], say: ({ c, q }) => [SAY.d_w1(q, c)] },
    { back: true, makes: ["avg_c", "max_c"], from: ["h_avg", "h_max", "w1"], say: ({ c }) => [SAY.d_avg_c(c), SAY.d_max_c(c)] },
    { back: true, makes: ["f", "d_f"], from: ["f1", "avg_c", "max_c"], say: ({ c, i, j }) => [SAY.d_f(c, i, j)] },
  ];
  const INPUTS = Object.keys(SHAPES); // there from the beginning
  const reachedAt = (name) => (INPUTS.includes(name) ? -1 : STEPS.findIndex((step) => step.makes.includes(name)));

  /* The entry that the steps look at: that of the chosen output, and 0 where it has no such index. */
  function here() {
    const [name, ...at] = state.chosen ?? ["f2", 0, 0, 0];
    if (at.length === 3) return { c: at[0], i: at[1], j: at[2], q: 0 };
    if (at.length === 2) return { c: v.winner_s[at[0]][at[1]], i: at[0], j: at[1], q: 0 };
    if (name.startsWith("h")) return { c: 0, i: v.winner_c[0][0], j: v.winner_c[0][1], q: at[0] };
    return { c: at[0], i: v.winner_c[at[0]][0], j: v.winner_c[at[0]][1], q: 0 };
  }

  // --- the parts of the picture ---

  const drawers = []; // functions that draw one part for the state
  const announce = make("p.explore-aloud", { "aria-live": "polite" });
  const readout = make("p.explore-readout");

  function tell(text, aloud = false) {
    readout.textContent = text;
    if (aloud) announce.textContent = text;
  }

  /* A map: rows × cols cells that show numbers. Filled is positive, hollow is negative, the more ink the larger.

     name, prefix: the array of the state or of forward(), and the first indices. edit: "paint", "drag" or none; a click
     on a map that cannot be edited chooses the output. marks: whether squares for the gradient are drawn over it.
  */
  function map({ name, prefix = [], rows, cols, label, edit = null, digits = false }) {
    const cells = filled([rows, cols], (i, j) => make("rect.cell", { x: j + 0.04, y: i + 0.04, width: 0.92, height: 0.92, rx: 0.1 }));
    const texts = digits ? filled([rows, cols], (i, j) => make("text", { x: j + 0.5, y: i + 0.62 })) : [];
    const marks = make("g.marks", { "aria-hidden": "true" });
    const frame = make("rect.window", { display: "none", rx: 0.15 });
    const chosen = make("rect.chosen", { width: 1, height: 1, display: "none", rx: 0.12 });
    const cursor = make("rect.cursor", { width: 1, height: 1, rx: 0.12 });
    const spots = make("g.spots");
    const svg = make(
      `svg.map${edit ? ".editable" : ""}${digits ? ".digits" : ""}`,
      { viewBox: `-0.08 -0.08 ${cols + 0.16} ${rows + 0.16}`, tabindex: 0, role: "application", "aria-label": label,
        "aria-describedby": edit ? "explore-keys-edit" : "explore-keys", "data-map": [name, ...prefix].join(".") },
      ...cells.flat(), ...numbers(texts), spots, marks, frame, chosen, cursor,
    );
    let spot = [0, 0], held = null;

    const at = (i, j) => [...prefix, i, j];
    const value = (i, j) => entry(state[name] ?? v[name], at(i, j));
    const say = (i, j, aloud) => tell(SAY[name](...at(i, j)), aloud);

    function where(event) {
      const box = svg.getBoundingClientRect();
      const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
      return [Math.floor(y * (rows + 0.16) - 0.08), Math.floor(x * (cols + 0.16) - 0.08)]
        .map((i, axis) => Math.min([rows, cols][axis] - 1, Math.max(0, i)));
    }
    function paint(i, j) {
      const brush = root.querySelector("[name=brush]:checked")?.value ?? "brighter";
      change(i, j, brush === "zero" ? -value(i, j) : 0.25 * (brush === "brighter" ? 1 : -1));
    }
    function change(i, j, by) {
      put(state[name], at(i, j), clipped(value(i, j) + by, name === "f" ? 2 : 4));
      draw();
      say(i, j);
    }
    function move(i, j) {
      spot = [i, j];
      cursor.setAttribute("x", j);
      cursor.setAttribute("y", i);
    }

    svg.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      const [i, j] = where(event);
      move(i, j);
      if (!edit) return choose([name, ...at(i, j)]);
      svg.setPointerCapture(event.pointerId);
      held = { i, j, x: event.clientX, y: event.clientY, start: value(i, j), touch: event.pointerType === "touch" };
      if (edit === "paint") paint(i, j);
      else say(i, j);
    });
    svg.addEventListener("pointermove", (event) => {
      const [i, j] = where(event);
      if (!held) { hovered = { name, at: at(i, j) }; say(i, j); return drawWindow(); }
      if (edit === "paint" && (i !== held.i || j !== held.j)) { Object.assign(held, { i, j }); paint(i, j); }
      if (edit === "drag") {
        const pixels = event.clientX - held.x - (held.touch ? 0 : event.clientY - held.y);
        change(held.i, held.j, held.start + pixels / 50 - value(held.i, held.j));
      }
    });
    for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, () => { held = null; });
    svg.addEventListener("pointerleave", () => { hovered = null; tellChosen(); drawWindow(); });
    svg.addEventListener("focus", () => { if (svg.matches(":focus-visible")) say(...spot, true); });
    svg.addEventListener("keydown", (event) => {
      const [i, j] = spot;
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      const by = { "+": 0.05, "=": 0.05, "-": -0.05, PageUp: 0.5, PageDown: -0.5 }[event.key];
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (step) move(Math.min(rows - 1, Math.max(0, i + step[0])), Math.min(cols - 1, Math.max(0, j + step[1])));
      else if (by && edit) change(i, j, by);
      else if (event.key === "Enter" || event.key === " ") {
        if (edit === "paint") paint(i, j);
        else if (!edit) choose([name, ...at(i, j)]);
      } else return;
      event.preventDefault();
      hovered = { name, at: at(...spot) };
      say(...spot, true);
      drawWindow();
    });
    svg.addEventListener("blur", () => { hovered = null; drawWindow(); });

    drawers.push(() => {
      const scale = { m_s: 1, f: scaleOf("f"), f1: scaleOf("f"), f2: scaleOf("f"), avg_s: scaleOf("f"), max_s: scaleOf("f") }[name] ?? scaleOf(name);
      for (const [i, j] of indices(rows, cols)) {
        const x = value(i, j), strength = Math.min(1, Math.abs(x) / scale);
        const cell = cells[i][j];
        cell.classList.toggle("negative", x < 0);
        cell.style.setProperty("--strength", strength.toFixed(3));
        if (digits) {
          texts[i][j].textContent = x.toFixed(2).replace("-", "−");
          texts[i][j].classList.toggle("on-ink", x > 0 && strength > 0.5);
        }
      }
      const [of, ...place] = state.chosen ?? [];
      const mine = !state.everywhere && of === name && prefix.every((p, k) => p === place[k]);
      chosen.setAttribute("display", mine ? "inline" : "none");
      if (mine) { chosen.setAttribute("x", place.at(-1)); chosen.setAttribute("y", place.at(-2)); }
    });
    return { svg, marks, spots, frame };
  }
  const scaleOf = (name) => Math.max(name === "f" ? 1 : 0.1, largest(state[name]));

  /* Squares for a gradient, filled if positive, hollow if negative. parts(i, j) is a list of [path, value]; the square
     is cut into strips as wide as the parts are large. The area, or with root = 3 less, grows with the gradient. */
  function drawMarks(target, rows, cols, parts, scale, root = 2) {
    const found = new Map();
    for (const [i, j] of indices(rows, cols)) {
      const list = parts(i, j).filter(([, x]) => x !== 0);
      const whole = list.reduce((all, [, x]) => all + x, 0), size = list.reduce((all, [, x]) => all + Math.abs(x), 0);
      if (!size || !scale || !whole) continue;
      const side = Math.max(0.12, 0.9 * Math.min(1, Math.abs(whole) / scale) ** (1 / root));
      const top = i + 0.5 - side / 2;
      let left = j + 0.5 - side / 2;
      for (const [path, x] of list) {
        const width = side * Math.abs(x) / size;
        const kind = `p-${path} ${whole > 0 ? "positive" : "negative"}`;
        const box = `M${left.toFixed(3)} ${top.toFixed(3)}h${width.toFixed(3)}v${side.toFixed(3)}h${(-width).toFixed(3)}z`;
        found.set(kind, (found.get(kind) ?? "") + box);
        left += width;
      }
    }
    target.replaceChildren(...[...found].map(([kind, d]) => make("path", { class: kind, d })));
  }

  /* Bars, one a number, each a button that chooses this number as the output. */
  function bars({ name, n, label, scale }) {
    const rows = all(n).map((k) => {
      const ink = make("span.ink"), number = make("span.number");
      const button = make("button.bar", { type: "button", "data-bar": `${name}.${k}`, onclick: () => choose([name, k]),
        onpointerenter: () => tell(SAY[name](k)), onpointerleave: () => tellChosen(), onfocus: () => tell(SAY[name](k)) },
        make("span.index", {}, `${k}`), make("span.track", {}, ink), number);
      drawers.push(() => {
        const x = v[name][k], most = scale();
        ink.style.width = `${(100 * Math.min(1, Math.abs(x) / most)).toFixed(1)}%`;
        ink.classList.toggle("negative", x < 0);
        number.textContent = x.toFixed(2).replace("-", "−");
        button.setAttribute("aria-label", `${label}[${k}] = ${shown(x)}`);
        button.setAttribute("aria-pressed", !state.everywhere && state.chosen?.join() === [name, k].join());
      });
      return button;
    });
    return make("div.bars", { "data-array": name }, ...rows);
  }

  const array = (name, title, ...children) => make("div.array", { "data-array": name }, make("div.caption", {}, title), ...children);
  const number = (n) => make("span.no", {}, `(${n})`);
  const symbol = (text) => make("span.symbol", {}, text);

  // --- the picture ---

  const maps = { f: [], f1: [], f2: [] };
  function column(name, title, edit) {
    maps[name] = all(C).map((c) => map({ name, prefix: [c], rows: H, cols: W, label: `${SYMBOLS[name]}, channel ${c}`, edit }));
    return make("div.column", { "data-array": name }, make("div.caption", {}, ...title),
      make("div.stack", {}, ...maps[name].map(({ svg }, c) => make("div.labelled", {}, make("span.index", {}, `${c}`), svg))));
  }

  const grids = {
    w1: map({ name: "w1", rows: R, cols: C, label: "W1, 2 rows of 4", edit: "drag", digits: true }),
    w2: map({ name: "w2", rows: C, cols: R, label: "W2, 4 rows of 2", edit: "drag", digits: true }),
    kernel: all(2).map((c) => map({ name: "kernel", prefix: [c], rows: K, cols: K, label: `K, for ${["avg_s", "max_s"][c]}`, edit: "drag" })),
    avg_s: map({ name: "avg_s", rows: H, cols: W, label: "avg_s" }),
    max_s: map({ name: "max_s", rows: H, cols: W, label: "max_s" }),
    m_s: map({ name: "m_s", rows: H, cols: W, label: "M_s" }),
  };
  const pooledScale = () => Math.max(0.1, largest(v.avg_c), largest(v.max_c));
  const hiddenScale = () => Math.max(0.1, largest(v.h_avg), largest(v.h_max));

  const picture = make("div.picture", {},
    column("f", [symbol("F"), " paint here"], "paint"),
    make("div.stage.channel", {},
      make("div.pair", {},
        array("avg_c", "", number(3), " ", symbol("avg_c"), bars({ name: "avg_c", n: C, label: "avg_c", scale: pooledScale })),
        array("max_c", "", number(4), " ", symbol("max_c"), bars({ name: "max_c", n: C, label: "max_c", scale: pooledScale }))),
      array("w1", "", symbol("W1"), " drag", grids.w1.svg),
      make("div.pair", {},
        array("h_avg", "", number(5), " ", symbol("h_avg"), bars({ name: "h_avg", n: R, label: "h_avg", scale: hiddenScale })),
        array("h_max", "", number(5), " ", symbol("h_max"), bars({ name: "h_max", n: R, label: "h_max", scale: hiddenScale }))),
      make("div.pair.uneven", {},
        array("w2", "", symbol("W2"), " drag", grids.w2.svg),
        array("m_c", "", number(6), " ", symbol("M_c"), bars({ name: "m_c", n: C, label: "M_c", scale: () => 1 })))),
    column("f1", [number(7), " ", symbol("F′"), " = M_c · F"]),
    make("div.stage.spatial", {},
      make("div.pair", {},
        array("avg_s", "", number(8), " ", symbol("avg_s"), grids.avg_s.svg),
        array("max_s", "", number(9), " ", symbol("max_s"), grids.max_s.svg)),
      array("kernel", "", symbol("K"), " drag", make("div.pair", {}, ...grids.kernel.map(({ svg }) => svg))),
      array("m_s", "", number(10), " ", symbol("M_s"), grids.m_s.svg)),
    column("f2", [number(11), " ", symbol("F″"), " = M_s · F′"]));

  // --- the gradient, path by path ---

  const panels = [...PATHS, "sum"].map((path) => {
    const targets = all(C).map((c) => {
      const marks = make("g.marks");
      const svg = make("svg.small", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `${WORDS[path]}, channel ${c}` },
        make("rect.paper", { width: W, height: H, rx: 0.2 }), marks);
      svg.addEventListener("pointermove", (event) => {
        const box = svg.getBoundingClientRect();
        const i = Math.min(H - 1, Math.floor((H * (event.clientY - box.top)) / box.height));
        const j = Math.min(W - 1, Math.floor((W * (event.clientX - box.left)) / box.width));
        if (i < 0 || j < 0) return;
        const x = path === "sum" ? total(g.d_f)[c][i][j] : g.d_f[path][c][i][j];
        tell(`dF[${c}, ${i}, ${j}], ${WORDS[path]}: ${shown(x)}`);
      });
      svg.addEventListener("pointerleave", () => tellChosen());
      return { marks, svg };
    });
    const figure = make("span.most");
    const box = path === "sum" ? null : make("input", { type: "checkbox", checked: true, "data-path": path, onchange: () => {
      if (box.checked) state.off.delete(path); else state.off.add(path);
      draw();
    } });
    drawers.push(() => {
      if (box) box.checked = !state.off.has(path);
      panel.classList.toggle("off", state.off.has(path));
      const d = path === "sum" ? total(g.d_f) : g.d_f[path];
      const most = largest(d);
      const count = numbers(d).filter((x) => x !== 0).length;
      targets.forEach(({ marks }, c) => drawMarks(marks, H, W, (i, j) => partsOfF(path)(c, i, j), most, path === "sum" ? 3 : 2));
      figure.textContent = count ? `${count} of ${C * H * W} entries, largest ${shown(most)}` : state.off.has(path) ? "switched off" : "nothing";
    });
    const panel = make(`section.panel.p-${path}`, { "data-panel": path },
      make("label.switch", {}, box, make("span", {}, WORDS[path])), figure,
      make("div.smalls", {}, ...targets.map(({ svg }) => svg)));
    return panel;
  });
  const partsOfF = (path) => (c, i, j) =>
    (path === "sum" ? PATHS : [path]).map((each) => [each, g.d_f[each][c][i][j]]);

  function weightPanel(name, title, rows, cols, count, parts) {
    const targets = all(count).map(() => make("g.marks"));
    const most = make("span.most");
    drawers.push(() => {
      const scale = Math.max(...all(count).flatMap((c) => [...indices(rows, cols)].map(([i, j]) =>
        Math.abs(parts(c, i, j).reduce((all, [, x]) => all + x, 0)))));
      targets.forEach((target, c) => drawMarks(target, rows, cols, (i, j) => parts(c, i, j), scale));
      most.textContent = scale ? `largest ${shown(scale)}` : "nothing";
    });
    const svgs = targets.map((target, c) => {
      const svg = make("svg.small", { viewBox: `0 0 ${cols} ${rows}`, role: "img", "aria-label": `gradient of ${title}`, "data-panel": `${name}.${c}` },
        make("rect.paper", { width: cols, height: rows, rx: 0.2 }), target);
      svg.addEventListener("pointermove", (event) => {
        const box = svg.getBoundingClientRect();
        const i = Math.floor((rows * (event.clientY - box.top)) / box.height), j = Math.floor((cols * (event.clientX - box.left)) / box.width);
        if (i >= 0 && i < rows && j >= 0 && j < cols) tell(name === "d_kernel" ? SAY.d_kernel(c, i, j) : SAY[name](i, j));
      });
      return svg;
    });
    return make("section.weights", { "data-array": name }, make("strong", {}, title), most, make("div.pair", {}, ...svgs));
  }
  const weights = make("div.weight-panels", {},
    weightPanel("d_w1", "dW1", R, C, 1, (_, q, c) => ["avg_c", "max_c"].map((path) => [path, g.d_w1[path][q][c]])),
    weightPanel("d_w2", "dW2", C, R, 1, (_, c, q) => ["avg_c", "max_c"].map((path) => [path, g.d_w2[path][c][q]])),
    weightPanel("d_kernel", "dK", K, K, 2, (c, a, b) => [[["avg_s", "max_s"][c], g.d_kernel[c][a][b]]]));

  const subject = make("h3.subject");
  const ties = make("p.ties");
  const gradient = make("div.gradient", {}, subject, ties,
    make("div.panels", { "data-array": "d_f" }, ...panels), weights,
    make("p.legend", {}, "Filled is positive, hollow is negative. In one path the area of a square grows with the gradient; all together it grows less, so that the small parts can be seen, and a square is cut into the shares of the paths."));

  // --- the line of steps ---

  const texts = [...document.querySelectorAll(".explore-step")];
  const lines = make("div.numbers", { "aria-live": "polite" });
  const counter = make("span.counter");
  const button = (text, onclick, attributes = {}) => make("button", { type: "button", onclick, ...attributes }, text);
  const previous = button("◀ back", () => go(state.step === null ? STEPS.length - 1 : state.step - 1), { "data-do": "back" });
  const next = button("next ▶", () => go(state.step === null ? 0 : state.step + 1), { "data-do": "next" });
  const whole = button("all at once", () => go(null), { "data-do": "all" });
  function go(step) {
    state.step = step === null || step < 0 || step >= STEPS.length ? null : step;
    draw();
  }
  const stepper = make("div.stepper", {}, make("div.buttons", {}, previous, next, whole, counter, readout),
    make("div.formula", {}, ...texts), lines);

  // --- the tools above ---

  let seed = 1;
  const brush = (value, text, checked) => make("label", {}, make("input", { type: "radio", name: "brush", value, checked }), text);
  const pick = (name) => button(name, () => {
    state.f = PRESETS[name](seed++);
    draw();
  }, { "data-preset": name });
  const kernels = make("select", { "aria-label": "kernel", onchange: () => { if (KERNELS[kernels.value]) { state.kernel = KERNELS[kernels.value](); draw(); } kernels.value = ""; } },
    make("option", { value: "" }, "kernel …"), ...Object.keys(KERNELS).map((name) => make("option", { value: name }, name)));
  const everywhere = make("input", { type: "checkbox", "data-do": "everywhere", onchange: () => { state.everywhere = everywhere.checked; draw(); } });
  const copy = button("copy link", async () => {
    history.replaceState(null, "", asLink());
    try { await navigator.clipboard.writeText(location.href); copy.textContent = "copied"; } catch { copy.textContent = "it is in the address bar"; }
    setTimeout(() => { copy.textContent = "copy link"; }, 2000);
  });
  const slide = button("slide", () => startSliding(), { "data-do": "slide" });
  const tools = make("div.tools", {},
    make("fieldset", {}, make("legend", {}, "F"), ...Object.keys(PRESETS).map(pick)),
    make("fieldset", {}, make("legend", {}, "brush"), brush("brighter", "brighter", true), brush("darker", "darker"), brush("zero", "zero")),
    make("fieldset", {}, button("start over", () => { state = DEFAULT(); draw(); }, { "data-do": "reset" }), copy));
  grids.kernel[0].svg.closest("[data-array]").append(make("div.window-tools", {}, kernels, slide));
  const help = [
    make("p.explore-aloud", { id: "explore-keys" }, "Arrows move, Enter chooses this output."),
    make("p.explore-aloud", { id: "explore-keys-edit" }, "Arrows move, plus and minus change the number, Enter paints on F."),
  ];

  // On the home page there is only the beginning and the end of the picture, with the paths as a legend.
  const small = root.dataset.small !== undefined;
  if (small) {
    for (const middle of [...picture.children].slice(1, -1)) middle.remove();
    const legend = make("div.keys", {}, ...PATHS.map((path) => make(`span.key.p-${path}`, {}, WORDS[path])));
    root.append(picture, legend, readout, announce, ...help);
  } else {
    root.append(tools, picture, stepper,
      make("label.everywhere", {}, everywhere, " instead of one output: all of them at once, each with a random upstream gradient"),
      gradient, announce, ...help);
  }
  document.querySelector(".explore-steps")?.remove();
  document.getElementById("one-line-at-a-time")?.classList.add("explore-done");

  // --- the window over the pooled maps ---

  let hovered = null, sliding = null;
  function drawWindow() {
    let place = null;
    if (sliding !== null) place = [Math.floor(sliding / W), sliding % W];
    else if (["m_s", "f2"].includes(hovered?.name)) place = hovered.at.slice(-2);
    else if (state.step === 7 || (state.step >= 9 && state.step <= 12)) place = [here().i, here().j];
    for (const { frame } of [grids.avg_s, grids.max_s, grids.m_s]) frame.setAttribute("display", place ? "inline" : "none");
    if (!place) return;
    const [i, j] = place;
    const top = Math.max(0, i - 3), left = Math.max(0, j - 3);
    for (const { frame } of [grids.avg_s, grids.max_s]) {
      for (const [key, value] of Object.entries({ x: left, y: top, width: Math.min(W, j + 4) - left, height: Math.min(H, i + 4) - top })) frame.setAttribute(key, value);
    }
    for (const [key, value] of Object.entries({ x: j, y: i, width: 1, height: 1 })) grids.m_s.frame.setAttribute(key, value);
  }
  /* The window walks over all pixels; where motion is not wanted, one pixel a press. */
  function startSliding() {
    if (window.matchMedia("(prefers-reduced-motion: reduce)").matches) {
      sliding = sliding === null ? 0 : sliding + 1;
      if (sliding >= H * W) sliding = null;
      return slid();
    }
    const running = sliding !== null;
    sliding = running ? null : 0;
    slid();
    if (!running) setTimeout(tick, 120);
  }
  function tick() {
    if (sliding === null) return;
    sliding = sliding + 1 < H * W ? sliding + 1 : null;
    slid();
    if (sliding !== null) setTimeout(tick, 120);
  }
  function slid() {
    drawWindow();
    slide.textContent = sliding === null ? "slide" : "stop";
    if (sliding === null) tellChosen();
    else tell(SAY.m_s(Math.floor(sliding / W), sliding % W));
  }

  // --- the tasks ---

  const maxima = (c) => numbers(v.f[c]).filter((x) => x === v.max_c[c]).length;
  const TASKS = [
    () => v.m_c[2] < 0.1,
    () => !state.everywhere && state.chosen?.[0] === "f2" && entry(v.f2, state.chosen.slice(1)) !== 0
      && numbers(total(g.d_f)).filter((x) => x !== 0).length === 1,
    () => [...v.h_avg, ...v.h_max].every((h) => h === 0) && largest(state.w1) > 0 && largest(state.f) > 0,
    () => maxima(0) > 1 && v.max_c[0] > 0,
    () => { const [name, ...at] = state.chosen ?? []; return ["f2", "m_s"].includes(name) && v.m_s[at.at(-2)][at.at(-1)] > 0.99; },
  ];
  const tasks = [...document.querySelectorAll(".explore-tasks li")].map((item) => {
    const box = make("span.tick", { role: "img", "aria-label": "not done" }, "○");
    (item.querySelector("p") ?? item).prepend(box, " ");
    return { item, box };
  });
  function checkTasks() {
    tasks.forEach(({ item, box }, k) => {
      if (item.classList.contains("done") || !TASKS[k]()) return;
      item.classList.add("done");
      box.textContent = "✓";
      box.setAttribute("aria-label", "done");
      tell(`Task ${k + 1} is done. ✓`, true);
    });
  }

  // --- drawing it all ---

  function choose(chosen) {
    state.chosen = chosen;
    state.everywhere = false;
    draw();
    tellChosen(true);
  }
  function tellChosen(aloud = false) {
    const [name, ...at] = state.chosen ?? [];
    tell(state.everywhere || !name ? "Point at any number." : SAY[name](...at), aloud);
  }

  /* The upstream gradient: 1 at the chosen output, or random numbers everywhere in F″. */
  function upstream() {
    if (state.everywhere) { const draw = normal(7); return { f2: filled([C, H, W], () => draw()) }; }
    if (!state.chosen) return {};
    const [name, ...at] = state.chosen;
    const seeds = filled(shapeOf(v[name]), () => 0);
    put(seeds, at, 1);
    return { [name]: seeds };
  }
  const shapeOf = (x) => (Array.isArray(x) ? [x.length, ...shapeOf(x[0])] : []);

  function draw() {
    v = forward(state);
    g = backward(v, upstream(), state.off);
    for (const each of drawers) each();
    drawOnPicture();
    drawStep();
    drawWindow();
    checkTasks();
    everywhere.checked = state.everywhere;
    const [name, ...at] = state.chosen ?? [];
    subject.textContent = state.everywhere ? "The gradient of all outputs, each with a random upstream gradient"
      : name ? `The gradient of ${SYMBOLS[name]}[${at.join(", ")}] on F, path by path` : "Click an output";
    ties.textContent = tiesInWords();
    save();
  }

  /* The gradient over F itself, in the colours of the paths; in the backward steps also over what they compute. */
  function drawOnPicture() {
    const step = state.step;
    const shows = (name) => step !== null && STEPS[step].back && STEPS.slice(9, step + 1).some((s) => s.makes.includes(name));
    const d_f = total(g.d_f), most = largest(d_f);
    const onF = step === null || shows("f");
    maps.f.forEach(({ svg, marks, spots }, c) => {
      svg.classList.toggle("under-marks", onF && most > 0);
      drawMarks(marks, H, W, (i, j) => (onF ? partsOfF("sum")(c, i, j) : []), most, 3);
      const same = [...indices(H, W)].filter(([i, j]) => v.f[c][i][j] === v.max_c[c]);
      spots.replaceChildren(...same.map(([i, j], k) => make(`circle${k ? ".tied" : ".first"}`, { cx: j + 0.5, cy: i + 0.5, r: 0.42 })));
    });
    const onF1 = shows("f1"), most1 = largest(d_f1());
    maps.f1.forEach(({ svg, marks }, c) => {
      svg.classList.toggle("under-marks", onF1 && most1 > 0);
      const late = step >= 13; // before, only the direct path has arrived
      drawMarks(marks, H, W, (i, j) => (onF1 ? ["direct", ...(late ? ["avg_s", "max_s"] : [])].map((path) => [path, g.d_f1[path][c][i][j]]) : []), most1, 3);
    });
    for (const [name, path, d] of [["m_s", "sum", step === 9 ? g.d_m_s : g.d_z_s], ["avg_s", "avg_s", g.d_avg_s], ["max_s", "max_s", g.d_max_s]]) {
      const { svg, marks } = grids[name];
      svg.classList.toggle("under-marks", shows(name) && largest(d) > 0);
      drawMarks(marks, H, W, (i, j) => (shows(name) ? [[path, d[i][j]]] : []), largest(d));
    }
  }

  function tiesInWords() {
    const over = all(C).filter((c) => maxima(c) > 1);
    const at = [...indices(H, W)].filter(([i, j]) => all(C).filter((c) => v.f1[c][i][j] === v.max_s[i][j]).length > 1);
    const parts = [];
    if (over.length) parts.push(`in channel ${over.join(", ")} several pixels share the maximum (4): the first, with the whole ring, gets the gradient, those with a broken ring nothing`);
    if (at.length) parts.push(`at ${at.length} pixel${at.length > 1 ? "s" : ""} several channels share the maximum (9): the first gets the gradient`);
    return parts.length ? `Ties: ${parts.join("; ")}.` : "";
  }

  function drawStep() {
    const step = state.step === null ? null : STEPS[state.step];
    root.classList.toggle("stepping", step !== null);
    for (const element of root.querySelectorAll("[data-array]")) {
      const name = element.dataset.array, first = reachedAt(name);
      element.classList.toggle("later", step !== null && first > state.step);
      element.classList.toggle("makes", step !== null && step.makes.includes(name));
      element.classList.toggle("from", step !== null && step.from.includes(name) && !step.makes.includes(name));
    }
    texts.forEach((text, k) => { text.hidden = k !== state.step; });
    lines.replaceChildren(...(step ? step.say(here()) : []).map((line) => make("p", {}, line)));
    lines.hidden = step === null;
    counter.textContent = step === null ? `${STEPS.length} lines` : `${state.step + 1} of ${STEPS.length}, ${step.back ? "back" : "forward"}`;
    whole.disabled = step === null;
    next.disabled = state.step === STEPS.length - 1;
    previous.disabled = state.step === 0;
  }

  if (!small) window.addEventListener("hashchange", () => {
    state = fromLink(location.hash);
    draw();
    tellChosen();
  });
  if (!small) state = fromLink(location.hash);
  draw();
  tellChosen();

  Object.assign(window.cbamExplore, { state: () => state, values: () => v, gradients: () => g, tasks: () => TASKS.map((task) => task()) });
})();
