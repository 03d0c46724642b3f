"use strict";

// The picture of a step as an SVG file of its own, and all steps as a GIF.

const PAINTED = [
  "fill", "stroke", "stroke-width", "stroke-dasharray", "font-family", "font-weight",
  "text-anchor", "dominant-baseline", "rx", "display",
];

/** A copy whose colours are its own: the page's style sheet does not go with it. */
function painted(svg) {
  const copy = svg.cloneNode(true);
  const [from, to] = [svg, copy].map((root) => [root, ...root.querySelectorAll("*")]);
  from.forEach((part, n) => {
    const style = getComputedStyle(part);
    for (const name of PAINTED) {
      const value = style.getPropertyValue(name);
      if (value !== "auto") to[n].setAttribute(name, value);
    }
    to[n].removeAttribute("class");
    to[n].removeAttribute("style");
  });
  return copy;
}

/** The figures of the stage side by side, on the page's colour. */
function stageAsSvg() {
  const gap = 24;
  let width = 0;
  let height = 0;
  const parts = [...document.querySelectorAll("#stage figure svg")].map((svg) => {
    const copy = painted(svg);
    const size = svg.viewBox.baseVal;
    copy.setAttribute("x", width);
    copy.setAttribute("width", size.width);
    copy.setAttribute("height", size.height);
    width += size.width + gap;
    height = Math.max(height, size.height);
    return copy;
  });
  const panel = getComputedStyle(find("animation")).backgroundColor;
  const ground = svgElement("rect", { width: width - gap, height, fill: panel });
  const view = `0 0 ${width - gap} ${height}`;
  return svgElement("svg", { viewBox: view }, ground, ...parts);
}

function download(content, type, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

function textOf(svg) {
  return new XMLSerializer().serializeToString(svg);
}

function saveStage() {
  const name = `${state.op}-step-${step + 1}.svg`;
  download(textOf(stageAsSvg()), "image/svg+xml", name);
}

const MOST_FRAMES = 120; // of longer animations some steps are left out

/** The stage as it looks now, as pixels 0xRRGGBB. */
async function stageAsPixels() {
  const svg = stageAsSvg();
  const [width, height] = svg.getAttribute("viewBox").split(" ").slice(2).map(Math.ceil);
  for (const [name, size] of Object.entries({ width, height })) svg.setAttribute(name, size);
  const image = new Image();
  image.src = `data:image/svg+xml,${encodeURIComponent(textOf(svg))}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  const pixels = Int32Array.from(
    { length: width * height },
    (_, n) => (data[4 * n] << 16) | (data[4 * n + 1] << 8) | data[4 * n + 2],
  );
  return { width, height, pixels };
}

async function saveAnimation() {
  pause();
  const [before, button] = [step, find("save-gif")];
  button.disabled = true;
  const all = count(Math.min(drawn.steps, MOST_FRAMES));
  const frames = [];
  for (const n of all) {
    goTo(Math.round((n * (drawn.steps - 1)) / Math.max(1, all.length - 1)));
    frames.push(await stageAsPixels());
    button.textContent = `${n + 1} / ${all.length}`;
  }
  const { width, height } = frames[0];
  const speed = Number(find("speed").value);
  const bytes = gifOf(frames.map(({ pixels }) => pixels), width, height, speed);
  download(bytes, "image/gif", `${state.op}.gif`);
  goTo(before);
  button.textContent = t("Save GIF");
  button.disabled = false;
}
