"use strict";

// Formulas with their numbers, and the code to copy: pure functions that return text.

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

function relationship(op, { k, s, d, p, a }) {
  const conv = op === "conv";
  if (d > 1) return conv ? 15 : 14;
  if (s > 1) return conv ? (p ? 6 : 5) : a ? 14 : p ? 13 : 12;
  const first = conv ? 1 : 8;
  if (p === 0) return first;
  if (2 * p === k - 1) return first + 2;
  return p === k - 1 ? first + 3 : first + 1;
}

/** The letters' values on one axis; a prime marks those of a transposed convolution. */
function letters(setting, axis) {
  const at = (field) => setting[field][axis];
  const [k, s, d, p] = ["kernel", "stride", "dilation", "padding"].map(at);
  const [size, result] = [at("input"), resultSize(setting)[axis]];
  const common = { k, s, d, p, "k̂": span(k, d) };
  if (setting.op === "conv") {
    const a = (size + 2 * p - span(k, d)) % s;
    return { ...common, a, i: size, o: result };
  }
  return { ...common, a: at("output_padding"), "i′": size, "o′": result };
}

/** A formula's right side with numbers in the place of its letters. */
function filled(symbols, values) {
  const right = symbols.split(" = ").at(-1);
  const number = (n) => (n < 0 ? `(−${-n})` : String(n));
  return right.replace(/mod|i′|o′|k̂|[ioksdpa]/g, (letter) =>
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
    return dilated ? text : text.replaceAll("k̂", "k");
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
  const again = (v) => Math.floor((v["o′"] + 2 * v.p - v["k̂"]) / v.s) + 1;
  const undone = setting.input.every((size, axis) =>
    again(letters(setting, axis)) === size,
  );
  const dilated = Math.max(...setting.dilation) > 1;
  const border = "Below zero it crops. Then the turned kernel slides with stride 1.";
  return [
    formula(setting, "Zeros between inputs", () => "s − 1", (v) => v.s - 1),
    formula(
      setting, "Border in front", () => "k̂ − 1 − p", (v) => v["k̂"] - 1 - v.p,
    ),
    formula(
      setting, "Border behind", () => "k̂ − 1 − p + a", (v) => v["k̂"] - 1 - v.p + v.a,
      "", border,
    ),
    formula(
      setting, "Back again, by the convolution it undoes",
      () => "⌊(o′ + 2·p − k̂) / s⌋ + 1", again, `Relationship ${dilated ? 15 : 6}`,
      undone ? "" : "Not the size that went in: output_padding is not below stride.",
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

// Code --------------------------------------------------------------------------------

function tupleText(values) {
  return tuple(values.map(String));
}

/** An argument: one number where all axes have the same, nothing for the default. */
function argument(name, values, usual) {
  if (values.every((value) => value === usual)) return "";
  const same = values.every((value) => value === values[0]);
  return `, ${name}=${same ? values[0] : tupleText(values)}`;
}

function commonArguments(setting) {
  const { stride, padding, dilation, output_padding: extra } = setting;
  return (
    argument("stride", stride, 1) +
    argument("padding", padding, 0) +
    (setting.op === "conv" ? "" : argument("output_padding", extra, 0)) +
    argument("dilation", dilation, 1)
  );
}

function operands(setting, library, last = false) {
  const array = (name, sizes) => {
    const shape = last
      ? name === "x" ? [1, ...sizes, 1] : [...sizes, 1, 1]
      : [1, 1, ...sizes];
    const values = `${library}.arange(${product(sizes)}.0) % 9 + 1`;
    return `${name} = (${values}).reshape(${shape.join(", ")})`;
  };
  return [array("x", setting.input), array("kernel", setting.kernel)];
}

function ending(setting, last = false) {
  const size = resultSize(setting);
  return `print(y.shape)  # (${(last ? [1, ...size, 1] : [1, 1, ...size]).join(", ")})`;
}

/** A call, over several lines where it is long. */
function call(name, setting) {
  const inside = `x, kernel${commonArguments(setting)}`;
  const line = `y = ${name}(${inside})`;
  if (line.length <= 64) return [line];
  const parts = inside.split(/, (?=padding|output|dilation)/);
  return [`y = ${name}(`, ...parts.map((part) => `    ${part},`), ")"];
}

function jaxconvCode(setting) {
  return [
    "import jax.numpy as jnp", "import jaxconv", "", ...operands(setting, "jnp"),
    ...call(`jaxconv.${setting.op}`, setting), ending(setting),
  ];
}

function torchCode(setting) {
  return [
    "import torch", "import torch.nn.functional as F", "",
    ...operands(setting, "torch"),
    ...call(`F.${setting.op}${setting.dims}d`, setting), ending(setting),
  ];
}

/**
 * lax and Flax pad what they read: a transposed convolution's input by k̂ − 1 − p.
 * Where that leaves no border they get k̂ − 1, and p is cut off the result: with a
 * negative or no border some sizes trip over faults of XLA.
 */
function transposedPadding(setting) {
  const border = setting.kernel.map((k, a) => span(k, setting.dilation[a]) - 1);
  const cut = setting.padding.some((p, a) => p > 0 && p >= border[a]);
  const pads = border.map((b, a) => {
    const low = cut ? b : b - setting.padding[a];
    return `(${low}, ${low + setting.output_padding[a]})`;
  });
  if (!cut) return { pads: pads.join(", "), slices: "" };
  const size = resultSize(setting);
  const slices = setting.padding.map((p, a) => `${p}:${p + size[a]}`).join(", ");
  return { pads: pads.join(", "), slices };
}

function pairs(padding) {
  return padding.map((p) => `(${p}, ${p})`).join(", ");
}

function laxCode(setting) {
  const [s, d] = [tupleText(setting.stride), tupleText(setting.dilation)];
  const head = [
    "import jax.numpy as jnp", "from jax import lax", "", ...operands(setting, "jnp"),
  ];
  if (setting.op === "conv") {
    const pads = pairs(setting.padding);
    return [
      ...head, "y = lax.conv_general_dilated(",
      `    x, kernel, ${s}, [${pads}], rhs_dilation=${d}`, ")", ending(setting),
    ];
  }
  const { pads, slices } = transposedPadding(setting);
  const axes = tupleText(setting.kernel.map((_, a) => a + 2));
  return [
    ...head,
    `turned = jnp.flip(kernel, ${axes}).swapaxes(0, 1)`,
    "y = lax.conv_general_dilated(",
    `    x, turned, ${tupleText(setting.kernel.map(() => 1))}, [${pads}],`,
    `    lhs_dilation=${s}, rhs_dilation=${d},`,
    ")", ...(slices ? [`y = y[:, :, ${slices}]`] : []), ending(setting),
  ];
}

function flaxCode(setting) {
  const conv = setting.op === "conv";
  const { pads, slices } = conv
    ? { pads: pairs(setting.padding), slices: "" }
    : transposedPadding(setting);
  const window = tupleText(setting.kernel);
  return [
    "import jax.numpy as jnp", "from flax import linen as nn", "",
    ...operands(setting, "jnp", true),
    `layer = nn.${conv ? "Conv" : "ConvTranspose"}(`,
    `    1, ${window}, strides=${tupleText(setting.stride)}, padding=[${pads}],`,
    `    kernel_dilation=${tupleText(setting.dilation)}, use_bias=False,`,
    ...(conv ? [] : ["    transpose_kernel=True,"]),
    ")", 'y = layer.apply({"params": {"kernel": kernel}}, x)',
    ...(slices ? [`y = y[:, ${slices}]`] : []), ending(setting, true),
  ];
}

/** The same call in four libraries, by name. */
function codes(setting) {
  const lines = {
    jaxconv: jaxconvCode(setting), PyTorch: torchCode(setting),
    lax: laxCode(setting), Flax: flaxCode(setting),
  };
  return Object.fromEntries(
    Object.entries(lines).map(([name, text]) => [name, text.join("\n")]),
  );
}
