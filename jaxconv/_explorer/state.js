"use strict";

// What the page shows, and the URL's hash that says it: pure functions.

const MAXIMA = {
  input: 12, kernel: 7, stride: 4, padding: 6, padding_end: 6, dilation: 4,
  output_padding: 3,
};
// Without padding_end, which is there only where the padding at the end is another.
const START = {
  input: 3, kernel: 3, stride: 2, padding: 1, dilation: 1, output_padding: 0,
};
const FIELDS = Object.keys(MAXIMA);
const CHANNELS = [4, 6, 2]; // in, out, groups

/**
 * {op, dims, view, mode, x, w, channels, lang, fields}: one or two values per field,
 * numbers or text in error; null for a padding_end that is the padding.
 */
function readHash(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const values = (field) => (given.get(field) ?? String(START[field])).split(",");
  const fields = FIELDS.map((field) => {
    const missing = !given.has(field) && !(field in START);
    return [field, missing ? null : values(field).map(parseValue)];
  });
  const channels = (given.get("channels") ?? "").split(",").map(parseValue);
  return {
    op: given.get("op") ?? "conv_transpose",
    dims: parseValue(given.get("dims") ?? "2"),
    view: given.get("view") === "zeros" ? "zeros" : "scatter",
    mode: given.get("mode") ?? "zeros",
    x: given.get("x") ?? "",
    w: given.get("w") ?? "",
    channels: CHANNELS.map((n, at) => channels[at] || n),
    lang: given.get("lang") === "zh" ? "zh" : "en",
    fields: Object.fromEntries(fields),
  };
}

function parseValue(text) {
  const number = Number(text);
  return text.trim() !== "" && Number.isFinite(number) ? number : text;
}

function writeHash(state) {
  const shownFields = FIELDS.filter(
    (f) => state.fields[f] && (state.op !== "conv" || f !== "output_padding"),
  );
  const entries = [["op", state.op], ["dims", state.dims]];
  if (state.op !== "conv") entries.push(["view", state.view]);
  for (const field of shownFields) entries.push([field, state.fields[field].join(",")]);
  if (state.op === "conv" && state.mode !== "zeros") entries.push(["mode", state.mode]);
  for (const name of ["x", "w"]) if (state[name]) entries.push([name, state[name]]);
  const channels = state.channels.join(",");
  if (channels !== CHANNELS.join(",")) entries.push(["channels", channels]);
  if (state.lang !== "en") entries.push(["lang", state.lang]);
  return `#${entries.map(([key, value]) => `${key}=${encodeHash(value)}`).join("&")}`;
}

function encodeHash(value) {
  return encodeURIComponent(value).replaceAll("%2C", ",");
}

/** What the arithmetic takes: one number per axis in every field. */
function settingOf(state) {
  const axes = count(state.dims === 2 ? 2 : 1);
  const spread = (values) => axes.map((axis) => values[axis] ?? values[0]);
  const given = FIELDS.filter((field) => state.fields[field]);
  const fields = given.map((field) => [field, spread(state.fields[field])]);
  const mode = state.op === "conv" ? state.mode : "zeros";
  return { op: state.op, dims: state.dims, mode, ...Object.fromEntries(fields) };
}

function isSeparate(state) {
  return state.dims === 2 && FIELDS.some((field) => state.fields[field]?.length > 1);
}
