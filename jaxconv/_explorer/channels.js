"use strict";

// Which channels meet under groups, and what that does to the kernel.

const CHANNEL_WORDS = ["channels in", "channels out", "groups"];
const MOST_CHANNELS = { slider: 12, all: 64 };

/** What is wrong with [in, out, groups]; empty where nothing is. */
function channelsProblem(channels) {
  const [inputs, outputs, groups] = channels;
  const allowed = (n) => Number.isInteger(n) && n >= 1 && n <= MOST_CHANNELS.all;
  const wrong = channels.findIndex((n) => !allowed(n));
  if (wrong >= 0) {
    return `${CHANNEL_WORDS[wrong]}: 1 … ${MOST_CHANNELS.all}`;
  }
  if (inputs % groups === 0 && outputs % groups === 0) return "";
  return "the channels must be multiples of the groups";
}

/** As PyTorch has it: (out, in / groups, ...), transposed (in, out / groups, ...). */
function kernelShape(setting, [inputs, outputs, groups]) {
  const conv = setting.op === "conv";
  const [first, second] = conv ? [outputs, inputs] : [inputs, outputs];
  return [first, second / groups, ...setting.kernel];
}

/** Whether an output reads an input: they are of one group. */
function meets([inputs, outputs, groups], output, input) {
  const group = (channel, all) => Math.floor((channel * groups) / all);
  return group(output, outputs) === group(input, inputs);
}

function channelsCode(setting, channels) {
  const [inputs, outputs, groups] = channels;
  const mode = isFilled(setting) ? `, padding_mode="${setting.mode}"` : "";
  const grouped = groups > 1 ? `, groups=${groups}` : "";
  const result = tupleText([1, outputs, ...resultSize(setting)]);
  return [
    "import jax.numpy as jnp", "import jaxconv", "",
    `x = jnp.ones(${tupleText([1, inputs, ...setting.input])})`,
    `kernel = jnp.ones(${tupleText(kernelShape(setting, channels))})`,
    ...call(`jaxconv.${setting.op}`, setting, mode + grouped),
    `print(y.shape)  # ${result}`,
  ].join("\n");
}

// The page's part ----------------------------------------------------------------------

function buildChannels() {
  for (const [at, label] of CHANNEL_WORDS.entries()) {
    const row = document.createElement("div");
    row.className = "field";
    const pair = document.createElement("div");
    pair.className = "pair";
    const inputs = ["range", "number"].map((type) => {
      const made = document.createElement("input");
      const most = MOST_CHANNELS[type === "range" ? "slider" : "all"];
      Object.assign(made, { type, min: 1, max: most, step: 1 });
      made.dataset.channel = at;
      made.setAttribute("aria-label", type === "range" ? `${label}, slider` : label);
      made.addEventListener("input", () => {
        const channels = [...state.channels];
        channels[at] = parseValue(made.value);
        change({ channels });
      });
      return made;
    });
    pair.append(...inputs);
    row.append(textElement("span", "", label), pair);
    find("channel-fields").append(row);
  }
}

function drawChannels(channels) {
  const [inputs, outputs] = channels;
  const cells = count(inputs * outputs).map((flat) => {
    const [output, input] = [Math.floor(flat / inputs), flat % inputs];
    const { x, y } = place(flat, [outputs, inputs]);
    const kind = meets(channels, output, input) ? "weight" : "between";
    return cellAt(x, y, null, kind);
  });
  const { width, height } = extent([outputs, inputs]);
  const label = `${t("channels out")} ${outputs} × ${t("channels in")} ${inputs}`;
  return picture(width, height, label, 0.75, 0, ...cells);
}

function showChannels(setting) {
  const { channels } = state;
  for (const made of find("channel-fields").querySelectorAll("input")) {
    const value = channels[made.dataset.channel];
    if (parseValue(made.value) !== value) made.value = value;
  }
  const wrong = channelsProblem(channels);
  find("channels").hidden = find("channels-code").hidden = wrong !== "";
  if (wrong) {
    find("channels-text").textContent = t(wrong);
    return;
  }
  const [inputs, outputs, groups] = channels;
  const weights = product(kernelShape(setting, channels));
  const adds = (work(geometry(setting)).dense * inputs * outputs) / groups;
  const saved = groups > 1 ? ` (${t("without groups")}: ${weights * groups})` : "";
  const depthwise = groups > 1 && groups === inputs ? ` ${t("depthwise")}.` : "";
  find("channels-text").textContent =
    `${weights} ${t("weights")}${saved}, ${adds} ${t("multiply-adds")}.${depthwise} ` +
    t(
      "Rows are channels of the result, columns those of the input; every filled cell " +
      "is a window of weights.",
    );
  find("channels").replaceChildren(drawChannels(channels));
  find("channels-code").textContent = channelsCode(setting, channels);
}
