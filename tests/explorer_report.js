"use strict";

// Run after the explorer's own scripts, in Node or in its page: all that the page
// computes about a setting, as plain data.

function explorerReport(setting) {
  const found = problem(setting);
  if (found) return { error: found.text };
  const g = geometry(setting);
  const names = setting.op === "conv" ? ["window"] : ["scatter", "zeros"];
  const views = names.map((name) => {
    const drawn = scene(setting, name);
    const total = drawn.steps - 1;
    return [name, { reads: reads(drawn), values: resultAfter(drawn, total) }];
  });
  return {
    channels: channelsReport(setting, setting.channels ?? [4, 6, 2]),
    geometry: g,
    high: setting.input.map((_, axis) => axisOf(g, axis).hi),
    result: resultSize(setting),
    work: work(g),
    views: Object.fromEntries(views),
    formulas: formulas(setting),
    codes: codes(setting),
  };
}

function channelsReport(setting, channels) {
  const wrong = channelsProblem(channels);
  if (wrong) return { problem: wrong };
  const [inputs, outputs] = channels.map(count);
  return {
    code: channelsCode(setting, channels),
    weights: product(kernelShape(setting, channels)),
    meets: outputs.map((o) => inputs.map((i) => meets(channels, o, i))),
  };
}
