"use strict";

// Sizes, window positions and values: pure functions, nothing of the page.
//
// A setting is {op, dims, input, kernel, stride, padding, dilation, output_padding},
// the last six as arrays of one number per axis, and padding_end where the padding at the
// end is another.  The letters are those of _geometry.py, which the tests hold this file
// against.

const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
const product = (numbers) => numbers.reduce((a, b) => a * b, 1);
const count = (n) => Array.from({ length: n }, (_, index) => index);

// Geometry ----------------------------------------------------------------------------

/** Extent of a dilated kernel. */
function span(k, d) {
  return d * (k - 1) + 1;
}

function outputSize(i, k, s, d, pads) {
  return Math.floor((i + pads - span(k, d)) / s) + 1;
}

function inputSize(o, k, s, d, pads, extra) {
  return (o - 1) * s - pads + span(k, d) + extra;
}

/** The padding behind the last element of each axis. */
function ends(setting) {
  return setting.padding_end ?? setting.padding;
}

/** Whether some axis is padded otherwise at its end. */
function isUneven(setting) {
  return ends(setting).some((q, a) => q !== setting.padding[a]);
}

/** The geometry of the convolution, or of the one that a transposed convolution matches. */
function geometry(setting) {
  const { kernel, stride, dilation, padding: low } = setting;
  const pads = ends(setting).map((q, a) => low[a] + q);
  const sizes = (size, last) =>
    setting.input.map((n, a) =>
      size(n, kernel[a], stride[a], dilation[a], pads[a], last[a]),
    );
  const conv = setting.op === "conv";
  const input = conv ? setting.input : sizes(inputSize, setting.output_padding);
  const output = conv ? sizes(outputSize, []) : setting.input;
  return { input, kernel, output, stride, dilation, low };
}

/** The size of what the function returns. */
function resultSize(setting) {
  return geometry(setting)[setting.op === "conv" ? "output" : "input"];
}

function axisOf(g, a) {
  const axis = {
    i: g.input[a], k: g.kernel[a], o: g.output[a],
    s: g.stride[a], d: g.dilation[a], lo: g.low[a],
  };
  const reach = (axis.o - 1) * axis.s + span(axis.k, axis.d);
  return { ...axis, hi: reach - axis.i - axis.lo };
}

/** For each tap, at how many positions it reads the input rather than padding. */
function validPerTap({ i, k, o, s, d, lo }) {
  return count(k).map((t) => {
    const offset = t * d - lo;
    const first = Math.max(0, -Math.floor(offset / s));
    const last = Math.min(o - 1, Math.floor((i - 1 - offset) / s));
    return Math.max(0, last - first + 1);
  });
}

/** Multiply-adds of one image and one channel: all, and those that meet the input. */
function work(g) {
  const axes = g.kernel.map((_, a) => axisOf(g, a));
  const dense = product(g.kernel) * product(g.output);
  return { dense, valid: product(axes.map((axis) => sum(validPerTap(axis)))) };
}

// Scenes: a strip of cells, and a window that moves over it ---------------------------
//
//   window   conv reads its padded input
//   zeros    a transposed convolution as a convolution: reads the stretched input
//   scatter  a transposed convolution as it is: writes into its uncropped result

/** Which element stands at a place outside of an axis; none where zeros do. */
const MODES = {
  zeros: () => undefined,
  reflect: (q, i) => i - 1 - Math.abs(i - 1 - Math.abs(q)),
  replicate: (q, i) => Math.min(Math.max(q, 0), i - 1),
  circular: (q, i) => ((q % i) + i) % i,
};

function slidingAxis({ i, o, s, d, lo, end }, inside, around, mode = "zeros") {
  const cell = (q) =>
    q >= 0 && q < i ? { kind: inside, at: q } : { kind: around, at: MODES[mode](q, i) };
  const cells = count(i + lo + end).map((c) => cell(c - lo));
  return { cells, positions: o, step: s, dilation: d, shift: 0, size: i };
}

function stretchedAxis({ i, k, o, s, d, lo, hi }) {
  const low = span(k, d) - 1 - lo; // below zero it crops
  const high = span(k, d) - 1 - hi;
  const length = (o - 1) * s + 1;
  const start = Math.min(-low, 0);
  const stop = Math.max(length + high, length);
  const cell = (u) => {
    if (u < -low || u >= length + high) return { kind: "cropped" };
    if (u < 0 || u >= length) return { kind: "padding" };
    return u % s === 0 ? { kind: "input", at: u / s } : { kind: "between" };
  };
  const cells = count(stop - start).map((c) => cell(c + start));
  const shift = -low - start;
  return { cells, positions: i, step: 1, dilation: d, shift, size: o };
}

const VIEWS = {
  window: (axis, mode) => slidingAxis(axis, "input", "padding", mode),
  zeros: stretchedAxis,
  scatter: (axis) => slidingAxis(axis, "result", "cropped"),
};

function scene(setting, view) {
  const g = geometry(setting);
  const axes = ends(setting).map((end, a) =>
    VIEWS[view]({ ...axisOf(g, a), end }, setting.mode),
  );
  const points = axes.map((axis) => axis.positions);
  return {
    view,
    axes,
    points,
    kernel: g.kernel,
    shape: axes.map((axis) => axis.cells.length),
    steps: product(points),
    writes: view === "scatter",
    turned: view === "zeros",
  };
}

function unravel(flat, shape) {
  const index = [];
  for (const size of [...shape].reverse()) {
    index.unshift(flat % size);
    flat = Math.floor(flat / size);
  }
  return index;
}

function ravel(index, shape) {
  return index.reduce((flat, n, a) => flat * shape[a] + n, 0);
}

const RANK = ["input", "result", "between", "padding", "cropped"];

/** A cell of the strip: its kind, and where in the array its value is (or null). */
function cellOf(drawn, flat) {
  const index = unravel(flat, drawn.shape);
  const parts = index.map((n, a) => drawn.axes[a].cells[n]);
  const kind = RANK[Math.max(...parts.map((part) => RANK.indexOf(part.kind)))];
  if (parts.some((part) => part.at === undefined)) return { kind, at: null };
  const sizes = drawn.axes.map((axis) => axis.size);
  return { kind, at: ravel(parts.map((part) => part.at), sizes) };
}

/** The window at a step: for each tap its weight's index and the cell it is on. */
function windowAt(drawn, step) {
  const position = unravel(step, drawn.points);
  return count(product(drawn.kernel)).map((flat) => {
    const tap = unravel(flat, drawn.kernel);
    const place = tap.map((t, a) => {
      const { step: stride, shift, dilation } = drawn.axes[a];
      return position[a] * stride + shift + t * dilation;
    });
    const last = product(drawn.kernel) - 1;
    const cell = ravel(place, drawn.shape);
    return { weight: drawn.turned ? last - flat : flat, cell, ...cellOf(drawn, cell) };
  });
}

/** Every [position, tap, input index] of the convolution that is not on padding. */
function reads(drawn) {
  return count(drawn.steps).flatMap((step) =>
    windowAt(drawn, step)
      .filter((tap) => tap.at !== null)
      .map(({ weight, at }) =>
        drawn.turned ? [at, weight, step] : [step, weight, at],
      ),
  );
}

// Values: those that were typed, over and over, else 1 to 9 ---------------------------

const USUAL = count(9).map((n) => n + 1);
const typed = { input: USUAL, kernel: USUAL };

function inputValue(index) {
  return typed.input[index % typed.input.length];
}

function weightValue(index) {
  return typed.kernel[index % typed.kernel.length];
}

/** Numbers between commas or spaces; none of them the usual ones, null if not all are. */
function parseValues(text) {
  const parts = text.split(/[\s,]+/).filter(Boolean);
  const numbers = parts.map(Number);
  if (!numbers.every(Number.isFinite)) return null;
  return numbers.length ? numbers : USUAL;
}

/** A number as it is shown: sums of decimals without the dust of rounding. */
function rounded(value) {
  return Number(value.toPrecision(6));
}

/** What one step reads and multiplies: [weight, value, cell, at] per tap. */
function terms(drawn, step) {
  return windowAt(drawn, step).map((tap) => {
    const at = drawn.writes ? step : tap.at;
    const value = at === null ? 0 : inputValue(at);
    return { ...tap, factor: weightValue(tap.weight), value };
  });
}

/** The result after a step; entries that no step has reached yet are null. */
function resultAfter(drawn, step) {
  const steps = count(step + 1);
  if (!drawn.writes) {
    const rest = count(drawn.steps - step - 1).map(() => null);
    const total = (n) => rounded(sum(terms(drawn, n).map((t) => t.factor * t.value)));
    return [...steps.map(total), ...rest];
  }
  const result = count(product(drawn.axes.map((axis) => axis.size))).map(() => null);
  for (const { at, factor, value } of steps.flatMap((n) => terms(drawn, n))) {
    if (at !== null) result[at] += factor * value;
  }
  const last = step === drawn.steps - 1;
  return result.map((value) => (value === null ? (last ? 0 : null) : rounded(value)));
}

/** How many windows of a transposed convolution add to each entry of its result. */
function overlaps(drawn) {
  const found = count(product(drawn.axes.map((axis) => axis.size))).map(() => 0);
  for (const { at } of count(drawn.steps).flatMap((n) => windowAt(drawn, n))) {
    if (at !== null) found[at] += 1;
  }
  return found;
}

/** The numbers of windows far from every edge: what repeats if the result is large. */
function innerOverlaps(setting) {
  const perAxis = setting.kernel.map((k, a) => {
    const [s, d] = [setting.stride[a], setting.dilation[a]];
    return count(s).map((r) => count(k).filter((t) => (t * d) % s === r).length);
  });
  const pairs = perAxis.reduce((all, one) => all.flatMap((m) => one.map((n) => m * n)));
  return [...new Set(pairs)].sort((m, n) => m - n);
}
