"use strict";

// Which settings are allowed.  The texts are those of the errors that the functions of
// jaxconv raise, in the same order; the tests hold both against each other.

const OPS = ["conv", "conv_transpose"];
const LEAST = {
  input: 1, kernel: 1, stride: 1, dilation: 1, output_padding: 0, padding: 0,
  padding_end: 0,
};
const MOST = 512; // per field: a page has no use for more

function tuple(numbers) {
  return numbers.length === 1 ? `(${numbers[0]},)` : `(${numbers.join(", ")})`;
}

function shown(value) {
  return typeof value === "string" ? `'${value}'` : String(value);
}

function given(setting, field) {
  if (field.startsWith("padding") && isUneven(setting)) {
    const pairs = setting.padding.map((p, a) => [p, ends(setting)[a]].map(shown));
    return tuple(pairs.map(tuple));
  }
  const values = setting[field].map(shown);
  return values.length === 1 ? values[0] : tuple(values);
}

function broken(setting, field, rule, remedy, got = given(setting, field)) {
  const names = {
    input: "input_size", kernel: "kernel_size", padding_end: "padding",
  };
  const name = names[field] ?? field;
  return { field, text: `${name}=${got}: ${rule}. ${remedy}.` };
}

function firstBroken(values, check) {
  for (const [axis, value] of values.entries()) {
    const found = check(value, axis);
    if (found) return found;
  }
  return null;
}

function notAnInteger(setting, field) {
  const alone = setting.dims === 1 && !(field.startsWith("padding") && isUneven(setting));
  return firstBroken(setting[field], (value) => {
    const part = alone ? "" : `${shown(value)} `;
    if (!Number.isInteger(value)) {
      return broken(setting, field, `${part}is not an int`, "Write an int");
    }
    if (value >= LEAST[field]) return null;
    const least = LEAST[field];
    const rule = `${part}must be at least ${least}`;
    return broken(setting, field, rule, `Write an int >= ${least}`);
  });
}

function doesNotFit(setting) {
  return firstBroken(setting.input, (size, a) => {
    const [k, d] = [setting.kernel[a], setting.dilation[a]];
    const padded = size + setting.padding[a] + ends(setting)[a];
    if (span(k, d) <= padded) return null;
    const where = `on spatial axis ${a} (dilation ${d})`;
    const rule = `spans ${span(k, d)} ${where}, more than the padded input's ${padded}`;
    const remedy = "Use a smaller kernel or dilation, or pad more";
    return broken(setting, "kernel", rule, remedy, tuple(setting.kernel));
  });
}

/** What lies further out than an axis has elements to fill it with. */
function tooFarToFill(setting, mode) {
  if (mode === "replicate") return null;
  return firstBroken(setting.padding, (p, a) => {
    const [size, q] = [setting.input[a], ends(setting)[a]];
    const most = mode === "reflect" ? size - 1 : size;
    if (Math.max(p, q) <= most) return null;
    const where = `on spatial axis ${a}, whose size is ${size}`;
    const rule = `padding_mode="${mode}" can fill at most ${most} ${where}`;
    const remedy = 'Pad less, or use padding_mode="zeros" or "replicate"';
    return broken(setting, "padding", rule, remedy, `(${p}, ${q})`);
  });
}

function extraTooLarge(setting) {
  return firstBroken(setting.output_padding, (extra, a) => {
    const [s, d] = [setting.stride[a], setting.dilation[a]];
    if (extra < Math.max(s, d)) return null;
    const rule = `must be below stride ${s} or dilation ${d} on axis ${a}`;
    return broken(setting, "output_padding", rule, "Use less, or output_size=");
  });
}

function resultEmpty(setting) {
  const sizes = geometry(setting).input;
  if (Math.min(...sizes) >= 1) return null;
  const size = `leaves a result of size ${tuple(sizes)}`;
  const rule = `${size}, which must be at least 1 on every axis`;
  return broken(setting, "padding", rule, "Pad (that is, crop) less");
}

function tooLarge(setting, field) {
  return firstBroken(setting[field], (value) => {
    if (value <= MOST) return null;
    const remedy = `Write an int <= ${MOST}`;
    return broken(setting, field, "is more than this page takes", remedy);
  });
}

/** The first rule that a setting breaks, as {field, text}; null where all hold. */
function problem(setting) {
  if (!OPS.includes(setting.op)) {
    const words = OPS.map(shown).join(", ");
    const text = `op=${shown(setting.op)}: is not one of the known words. `;
    return { field: "op", text: `${text}Write one of ${words}.` };
  }
  if (![1, 2].includes(setting.dims)) {
    const text = `dims=${shown(setting.dims)}: is not drawn here. Write 1 or 2.`;
    return { field: "dims", text };
  }
  const transposed = setting.op === "conv_transpose";
  const fields = Object.keys(LEAST).filter(
    (f) => setting[f] && (transposed || f !== "output_padding"),
  );
  for (const check of [notAnInteger, tooLarge]) {
    for (const field of fields) {
      const found = check(setting, field);
      if (found) return found;
    }
  }
  const mode = setting.mode ?? "zeros";
  if (!Object.hasOwn(MODES, mode)) {
    const words = Object.keys(MODES).map(shown).join(", ");
    const text = `padding_mode=${shown(mode)}: is not one of the known words. `;
    return { field: "mode", text: `${text}Write one of ${words}.` };
  }
  const unfilled = transposed || mode === "zeros" ? null : tooFarToFill(setting, mode);
  if (unfilled) return unfilled;
  return transposed
    ? (extraTooLarge(setting) ?? resultEmpty(setting))
    : doesNotFit(setting);
}
