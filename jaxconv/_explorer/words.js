"use strict";

// Formulas with their numbers: pure functions that return text.

// Relationships of Dumoulin and Visin, "A guide to convolution arithmetic for deep
// learning" (arXiv:1603.07285), by number.
const RELATIONSHIPS = {
  1: "o = i − k + 1",
  2: "o = i − k + 2·p + 1",
  3: "o = i",
  4: "o = i + (k − 1)",
  5: "o = ⌊(i − k) / s⌋ + 1",
  6: "o = ⌊(i + 2·p − k) / s⌋ + 1",
  8: "o′ = i′ + (k − 1)",
  9: "o′ = i′ + (k − 1) − 2·p",
  10: "o′ = i′",
  11: "o′ = i′ − (k − 1)",
  12: "o′ = s·(i′ − 1) + k",
  13: "o′ = s·(i′ − 1) + k − 2·p",
  14: "o′ = s·(i′ − 1) + a + k − 2·p",
  15: "o = ⌊(i + 2·p − k − (k − 1)·(d − 1)) / s⌋ + 1",
};

function relationship(op, { k, s, d, p, q, a }) {
  const conv = op === "conv";
  const pads = p + q;
  if (d > 1) return conv ? 15 : 14;
  if (s > 1) return conv ? (pads ? 6 : 5) : a ? 14 : pads ? 13 : 12;
  const first = conv ? 1 : 8;
  if (pads === 0) return first;
  if (pads === k - 1) return first + 2;
  return pads === 2 * (k - 1) ? first + 3 : first + 1;
}

/** The letters' values on one axis; a prime marks those of a transposed convolution. */
function letters(setting, axis) {
  const at = (field) => setting[field][axis];
  const [k, s, d, p] = ["kernel", "stride", "dilation", "padding"].map(at);
  const [size, result] = [at("input"), resultSize(setting)[axis]];
  const q = ends(setting)[axis];
  const common = { k, s, d, p, q, "k̂": span(k, d) };
  if (setting.op === "conv") {
    const a = (size + p + q - span(k, d)) % s;
    return { ...common, a, i: size, o: result };
  }
  return { ...common, a: at("output_padding"), "i′": size, "o′": result };
}

/** A formula's right side with numbers in the place of its letters. */
function filled(symbols, values) {
  const right = symbols.split(" = ").at(-1);
  const number = (n) => (n < 0 ? `(−${-n})` : String(n));
  return right.replace(/mod|i′|o′|k̂|[ioksdpqa]/g, (letter) =>
    letter === "mod" ? letter : number(values[letter]),
  );
}

function signed(n) {
  return n < 0 ? `−${-n}` : String(n);
}

/** One formula: per axis its numbers and result, once where all axes are the same. */
function formula(setting, title, symbols, evaluate, source = "", note = "") {
  const dilated = Math.max(...setting.dilation) > 1;
  const texts = setting.input.map((_, axis) => {
    const text = symbols(letters(setting, axis));
    const padded = isUneven(setting) ? text.replaceAll("2·p", "(p + q)") : text;
    return dilated ? padded : padded.replaceAll("k̂", "k");
  });
  const lines = texts.map((text, axis) => {
    const values = letters(setting, axis);
    return `${filled(text, values)} = ${signed(evaluate(values))}`;
  });
  const same = lines.every((line) => line === lines[0]);
  return {
    title,
    source,
    note,
    symbols: [...new Set(texts)],
    lines: same ? [lines[0]] : lines,
  };
}

function sizeFormula(setting) {
  const numbers = setting.input.map((_, axis) =>
    relationship(setting.op, letters(setting, axis)),
  );
  const widened = numbers.includes(14) && Math.max(...setting.dilation) > 1;
  const symbols = (v) => {
    const number = relationship(setting.op, v);
    const text = RELATIONSHIPS[number];
    return number === 14 ? text.replace("k", "k̂") : text;
  };
  const known = [...new Set(numbers)];
  const source = `Relationship${known.length > 1 ? "s" : ""} ${known.join(" and ")}`;
  return formula(
    setting, "Size of the result", symbols, (v) => v.o ?? v["o′"],
    widened ? `${source}, with k̂ for k` : source,
  );
}

function convFormulas(setting) {
  const left = setting.input.some((_, axis) => letters(setting, axis).a > 0);
  const note = left
    ? "Elements at the end that no window reaches: the output_padding that leads back."
    : "";
  return [
    formula(
      setting, "Left over", () => "a = (i + 2·p − k̂) mod s", (v) => v.a, "", note,
    ),
    formula(
      setting, "Back again, transposed",
      () => "i = s·(o − 1) + a + k̂ − 2·p", (v) => v.i, "Relationship 14",
      "The shape that went in, not its values: transposing does not invert.",
    ),
  ];
}

function transposedFormulas(setting) {
  const again = (v) => Math.floor((v["o′"] + v.p + v.q - v["k̂"]) / v.s) + 1;
  const last = isUneven(setting) ? "q" : "p";
  const same = setting.input.every((size, axis) =>
    again(letters(setting, axis)) === size,
  );
  const dilated = Math.max(...setting.dilation) > 1;
  const border = "Below zero it crops. Then the flipped kernel slides with stride 1.";
  return [
    formula(setting, "Zeros between inputs", () => "s − 1", (v) => v.s - 1),
    formula(
      setting, "Border in front", () => "k̂ − 1 − p", (v) => v["k̂"] - 1 - v.p,
    ),
    formula(
      setting, "Border behind", () => `k̂ − 1 − ${last} + a`,
      (v) => v["k̂"] - 1 - v.q + v.a,
      "", border,
    ),
    formula(
      setting, "Back again, by the matching convolution",
      () => "⌊(o′ + 2·p − k̂) / s⌋ + 1", again, `Relationship ${dilated ? 15 : 6}`,
      same ? "" : "Not the size that went in: output_padding is not below stride.",
    ),
  ];
}

/** All formulas of a valid setting, the result's size first. */
function formulas(setting) {
  const own = setting.op === "conv" ? convFormulas : transposedFormulas;
  const all = [sizeFormula(setting)];
  if (Math.max(...setting.dilation) > 1) {
    const symbols = () => "k̂ = k + (k − 1)·(d − 1)";
    all.push(formula(setting, "Span of the dilated kernel", symbols, (v) => v["k̂"]));
  }
  return [...all, ...own(setting)];
}
