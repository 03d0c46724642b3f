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
  const widths = [...setting.padding.map((p) => `(${p}, ${p})`)];
  const all = last
    ? ["(0, 0)", ...widths, "(0, 0)"] : ["(0, 0)", "(0, 0)", ...widths];
  const mode = NUMPY_MODES[setting.mode];
  const line = [`x = jnp.pad(x, [${all.join(", ")}], mode="${mode}")`];
  return { line, setting: { ...setting, padding: setting.padding.map(() => 0) } };
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
  const parts = inside.split(/, (?=padding|output|dilation)/);
  return [`y = ${name}(`, ...parts.map((part) => `    ${part},`), ")"];
}

function jaxconvCode(setting) {
  const mode = isFilled(setting) ? `, padding_mode="${setting.mode}"` : "";
  return [
    "import jax.numpy as jnp", "import jaxconv", "", ...operands(setting, "jnp"),
    ...call(`jaxconv.${setting.op}`, setting, mode), ending(setting),
  ];
}

function torchCode(setting) {
  const filled = isFilled(setting);
  const sides = [...setting.padding].reverse().flatMap((p) => [p, p]).join(", ");
  const line = `x = F.pad(x, (${sides}), mode="${setting.mode}")`;
  const plain = { ...setting, padding: setting.padding.map((p) => (filled ? 0 : p)) };
  return [
    "import torch", "import torch.nn.functional as F", "",
    ...operands(setting, "torch"), ...(filled ? [line] : []),
    ...call(`F.${setting.op}${setting.dims}d`, plain), ending(setting),
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

function laxCode(given) {
  const { line, setting } = paddedBefore(given);
  const [s, d] = [tupleText(setting.stride), tupleText(setting.dilation)];
  const head = [
    "import jax.numpy as jnp", "from jax import lax", "", ...operands(setting, "jnp"),
    ...line,
  ];
  if (setting.op === "conv") {
    const pads = pairs(setting.padding);
    return [
      ...head, "y = lax.conv_general_dilated(",
      `    x, kernel, ${s}, [${pads}], rhs_dilation=${d}`, ")", ending(given),
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

function flaxCode(given) {
  const { line, setting } = paddedBefore(given, true);
  const conv = setting.op === "conv";
  const { pads, slices } = conv
    ? { pads: pairs(setting.padding), slices: "" }
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
  const least = (p, a) => span(setting.kernel[a], setting.dilation[a]) - 1;
  return setting.padding.some((p, a) => p > 0 && p >= least(p, a));
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
    `stride=${tupleText(setting.stride)}, padding=[${pairs(setting.padding)}],`,
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
  const pads = conv ? pairs(setting.padding) : transposedPadding(setting).pads;
  const turned = `kernel = jnp.flip(kernel, ${tupleText(setting.kernel.map((_, a) => a))})`;
  const rate = conv ? `rate=${tupleText(setting.dilation)}, ` : "";
  return [
    "import haiku as hk", "import jax.numpy as jnp", "",
    ...operands(setting, "jnp", true), ...line, ...(conv ? [] : [turned]), "", "",
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
    const widths = `[(0, 0), ${pairs(setting.padding)}, (0, 0)]`;
    return [
      ...head, `padded = keras.ops.pad(x, ${widths})`, "y = keras.ops.conv(",
      "    padded, kernel,", options, dilated, ")", ending(given, true),
    ];
  }
  const size = resultSize(setting);
  const slices = setting.padding.map((p, a) => `${p}:${p + size[a]}`).join(", ");
  const extra = setting.output_padding.map((n) => `(0, ${n})`).join(", ");
  return [
    ...head, "full = keras.ops.conv_transpose(", "    x, kernel,", options, dilated,
    ")", `full = keras.ops.pad(full, [(0, 0), ${extra}, (0, 0)])`,
    `y = full[:, ${slices}]`, ending(setting, true),
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
