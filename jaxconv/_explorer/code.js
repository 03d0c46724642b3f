"use strict";

// The code to copy, in several libraries: pure functions that return text.

function tupleText(values) {
  return tuple(values.map(String));
}

/** An argument: one number where all axes have the same, nothing for the default. */
function argument(name, values, usual) {
  if (values.every((value) => value === usual)) return "";
  const same = values.every((value) => value === values[0]);
  return `, ${name}=${same ? values[0] : tupleText(values)}`;
}

function isFilled(setting) {
  return (setting.mode ?? "zeros") !== "zeros";
}

const NUMPY_MODES = { reflect: "reflect", replicate: "edge", circular: "wrap" };

/** A line that pads with elements before the call, and the setting without padding. */
function paddedBefore(setting, last = false) {
  if (!isFilled(setting)) return { line: [], setting };
  const [zeros, widths] = ["(0, 0)", pairs(setting)];
  const all = last ? [zeros, widths, zeros] : [zeros, zeros, widths];
  const mode = NUMPY_MODES[setting.mode];
  const line = [`x = jnp.pad(x, [${all.join(", ")}], mode="${mode}")`];
  return { line, setting: unpadded(setting) };
}

function unpadded(setting) {
  const none = setting.padding.map(() => 0);
  return { ...setting, padding: none, padding_end: none };
}

/** The padding of each axis, before and behind. */
function pairs(setting) {
  return setting.padding.map((p, a) => `(${p}, ${ends(setting)[a]})`).join(", ");
}

/** jaxconv's and PyTorch's padding: a number, one for each axis, or a pair for each. */
function paddingArgument(setting) {
  if (!isUneven(setting)) return argument("padding", setting.padding, 0);
  return `, padding=(${pairs(setting)}${setting.padding.length > 1 ? "" : ","})`;
}

function commonArguments(setting) {
  const { stride, dilation, output_padding: extra } = setting;
  return (
    argument("stride", stride, 1) +
    paddingArgument(setting) +
    (setting.op === "conv" ? "" : argument("output_padding", extra, 0)) +
    argument("dilation", dilation, 1)
  );
}

function operands(setting, library, last = false) {
  const array = (name, sizes, values) => {
    const shape = last
      ? name === "x" ? [1, ...sizes, 1] : [...sizes, 1, 1]
      : [1, 1, ...sizes];
    const size = product(sizes);
    const all = count(size).map((n) => values[n % values.length]);
    const make = library === "torch" ? "torch.tensor" : `${library}.array`;
    const numbers =
      values === USUAL
        ? `(${library}.arange(${size}.0) % 9 + 1)`
        : `${make}([${all.map(decimal).join(", ")}])`;
    return `${name} = ${numbers}.reshape(${shape.join(", ")})`;
  };
  const [x, kernel] = [typed.input, typed.kernel];
  return [array("x", setting.input, x), array("kernel", setting.kernel, kernel)];
}

/** A number that Python takes for no integer. */
function decimal(value) {
  return Number.isInteger(value) ? `${value}.0` : String(value);
}

function ending(setting, last = false) {
  const size = resultSize(setting);
  return `print(y.shape)  # (${(last ? [1, ...size, 1] : [1, 1, ...size]).join(", ")})`;
}

/** A call, over several lines where it is long. */
function call(name, setting, more = "") {
  const inside = `x, kernel${commonArguments(setting)}${more}`;
  const line = `y = ${name}(${inside})`;
  if (line.length <= 64) return [line];
  const parts = inside.split(/, (?=padding=|padding_mode|output|dilation)/);
  return [`y = ${name}(`, ...parts.map((part) => `    ${part},`), ")"];
}

function jaxconvCode(setting) {
  const mode = isFilled(setting) ? `, padding_mode="${setting.mode}"` : "";
  return [
    "import jax.numpy as jnp", "import jaxconv", "", ...operands(setting, "jnp"),
    ...call(`jaxconv.${setting.op}`, setting, mode), ending(setting),
  ];
}

/** PyTorch pads both ends alike: other padding is put before, or cut off behind. */
function torchCode(setting) {
  const conv = setting.op === "conv";
  const [uneven, filled] = [isUneven(setting), isFilled(setting)];
  const before = conv && (filled || uneven);
  const sides = setting.padding.map((p, a) => [p, ends(setting)[a]]).reverse().flat();
  const mode = filled ? `, mode="${setting.mode}"` : "";
  const line = `x = F.pad(x, (${sides.join(", ")})${mode})`;
  const full = !conv && uneven;
  return [
    "import torch", "import torch.nn.functional as F", "",
    ...operands(setting, "torch"), ...(before ? [line] : []),
    ...call(`F.${setting.op}${setting.dims}d`, before || full ? unpadded(setting) : setting),
    ...(full ? [`y = y[:, :, ${kept(setting)}]`] : []), ending(setting),
  ];
}

/** The part of a transposed convolution's whole result that its padding leaves. */
function kept(setting) {
  const size = resultSize(setting);
  return setting.padding.map((p, a) => `${p}:${p + size[a]}`).join(", ");
}

/**
 * lax and Flax pad what they read: a transposed convolution's input by k̂ − 1 − p.
 * Where that leaves no border they get k̂ − 1, and p is cut off the result: with a
 * negative or no border some sizes trip over faults of XLA.
 */
function transposedPadding(setting) {
  const border = setting.kernel.map((k, a) => span(k, setting.dilation[a]) - 1);
  const cut = borderless(setting);
  const pads = border.map((b, a) => {
    const [p, q] = cut ? [0, 0] : [setting.padding[a], ends(setting)[a]];
    return `(${b - p}, ${b - q + setting.output_padding[a]})`;
  });
  return { pads: pads.join(", "), slices: cut ? kept(setting) : "" };
}

function laxCode(given) {
  const { line, setting } = paddedBefore(given);
  const [s, d] = [tupleText(setting.stride), tupleText(setting.dilation)];
  const head = [
    "import jax.numpy as jnp", "from jax import lax", "", ...operands(setting, "jnp"),
    ...line,
  ];
  if (setting.op === "conv") {
    const pads = pairs(setting);
    return [
      ...head, "y = lax.conv_general_dilated(",
      `    x, kernel, ${s}, [${pads}], rhs_dilation=${d}`, ")", ending(given),
    ];
  }
  const { pads, slices } = transposedPadding(setting);
  const axes = tupleText(setting.kernel.map((_, a) => a + 2));
  return [
    ...head,
    `flipped = jnp.flip(kernel, ${axes}).swapaxes(0, 1)`,
    "y = lax.conv_general_dilated(",
    `    x, flipped, ${tupleText(setting.kernel.map(() => 1))}, [${pads}],`,
    `    lhs_dilation=${s}, rhs_dilation=${d},`,
    ")", ...(slices ? [`y = y[:, :, ${slices}]`] : []), ending(setting),
  ];
}

function flaxCode(given) {
  const { line, setting } = paddedBefore(given, true);
  const conv = setting.op === "conv";
  const { pads, slices } = conv
    ? { pads: pairs(setting), slices: "" }
    : transposedPadding(setting);
  const window = tupleText(setting.kernel);
  return [
    "import jax.numpy as jnp", "from flax import nnx", "",
    ...operands(setting, "jnp", true), ...line,
    `layer = nnx.${conv ? "Conv" : "ConvTranspose"}(`,
    `    1, 1, ${window}, strides=${tupleText(setting.stride)}, padding=[${pads}],`,
    `    kernel_dilation=${tupleText(setting.dilation)}, use_bias=False,`,
    `    ${conv ? "" : "transpose_kernel=True, "}rngs=nnx.Rngs(0),`,
    ")", "layer.kernel[...] = kernel", "y = layer(x)",
    ...(slices ? [`y = y[:, ${slices}]`] : []), ending(given, true),
  ];
}

/** Whether so much padding leaves a transposed convolution's input no border. */
function borderless(setting) {
  const most = setting.padding.map((p, a) => Math.max(p, ends(setting)[a]));
  const border = (a) => span(setting.kernel[a], setting.dilation[a]) - 1;
  return most.some((p, a) => p > 0 && p >= border(a));
}

function equinoxCode(given) {
  const { line, setting } = paddedBefore(given);
  const conv = setting.op === "conv";
  const extra = setting.output_padding;
  if (!conv && borderless(setting)) {
    return ["# Equinox pads the stretched input, which this padding leaves no border."];
  }
  if (!conv && extra.some((n, a) => n >= setting.stride[a])) {
    return ["# Equinox takes an output_padding below the stride only."];
  }
  const axes = tupleText(setting.kernel.map((_, a) => a + 2));
  const weight = conv ? "kernel" : `jnp.flip(kernel, ${axes})`;
  return [
    "import equinox as eqx", "import jax", "import jax.numpy as jnp", "",
    ...operands(setting, "jnp"), ...line,
    `layer = eqx.nn.${conv ? "Conv" : "ConvTranspose"}(`,
    `    ${setting.dims}, 1, 1, ${tupleText(setting.kernel)}, ` +
    `stride=${tupleText(setting.stride)}, padding=[${pairs(setting)}],`,
    `    dilation=${tupleText(setting.dilation)}, use_bias=False,`,
    ...(conv ? [] : [`    output_padding=${tupleText(extra)},`]),
    "    key=jax.random.key(0),", ")",
    `weight = ${weight}`,
    "layer = eqx.tree_at(lambda layer: layer.weight, layer, weight)",
    "y = jax.vmap(layer)(x)", ending(given),
  ];
}

function haikuCode(given) {
  const { line, setting } = paddedBefore(given, true);
  const conv = setting.op === "conv";
  if (!conv && setting.dilation.some((d) => d > 1)) {
    return ["# Haiku has no dilation in ConvNDTranspose."];
  }
  if (!conv && borderless(setting)) {
    return ["# Haiku pads the stretched input, which this padding leaves no border."];
  }
  const pads = conv ? pairs(setting) : transposedPadding(setting).pads;
  const flipped = `kernel = jnp.flip(kernel, ${tupleText(setting.kernel.map((_, a) => a))})`;
  const rate = conv ? `rate=${tupleText(setting.dilation)}, ` : "";
  return [
    "import haiku as hk", "import jax.numpy as jnp", "",
    ...operands(setting, "jnp", true), ...line, ...(conv ? [] : [flipped]), "", "",
    "def forward(x):",
    `    return hk.ConvND${conv ? "" : "Transpose"}(`,
    `        ${setting.dims}, 1, ${tupleText(setting.kernel)}, ` +
    `stride=${tupleText(setting.stride)}, padding=[${pads}],`,
    `        ${rate}with_bias=False, name="layer",`, "    )(x)", "", "",
    "model = hk.without_apply_rng(hk.transform(forward))",
    'y = model.apply({"layer": {"w": kernel}}, x)', ending(given, true),
  ];
}

/**
 * Keras pads nothing by number: the input is padded before a convolution, and of a
 * transposed one the part is taken that the padding leaves.
 */
function kerasCode(given) {
  const { line, setting } = paddedBefore(given, true);
  const conv = setting.op === "conv";
  const head = [
    "import jax.numpy as jnp", "import keras", "", ...operands(setting, "jnp", true),
    ...line,
  ];
  const options =
    `    strides=${strides(setting.stride)}, padding="valid", ` +
    `data_format="channels_last",`;
  const dilated = `    dilation_rate=${strides(setting.dilation)},`;
  if (conv) {
    const widths = `[(0, 0), ${pairs(setting)}, (0, 0)]`;
    return [
      ...head, `padded = keras.ops.pad(x, ${widths})`, "y = keras.ops.conv(",
      "    padded, kernel,", options, dilated, ")", ending(given, true),
    ];
  }
  const extra = setting.output_padding.map((n) => `(0, ${n})`).join(", ");
  return [
    ...head, "full = keras.ops.conv_transpose(", "    x, kernel,", options, dilated,
    ")", `full = keras.ops.pad(full, [(0, 0), ${extra}, (0, 0)])`,
    `y = full[:, ${kept(setting)}]`, ending(setting, true),
  ];
}

/** One number on one axis, as Keras wants it. */
function strides(values) {
  return values.length === 1 ? String(values[0]) : tupleText(values);
}

/** The same call in seven libraries, by name. */
function codes(setting) {
  const lines = {
    jaxconv: jaxconvCode(setting), PyTorch: torchCode(setting),
    lax: laxCode(setting), Flax: flaxCode(setting), Keras: kerasCode(setting),
    Equinox: equinoxCode(setting), Haiku: haikuCode(setting),
  };
  return Object.fromEntries(
    Object.entries(lines).map(([name, text]) => [name, text.join("\n")]),
  );
}
