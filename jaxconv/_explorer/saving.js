"use strict";

// The picture of a step as an SVG file of its own.

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
  const parts = [...document.querySelectorAll("#stage svg")].map((svg) => {
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

function saveStage() {
  const text = new XMLSerializer().serializeToString(stageAsSvg());
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
  link.download = `${state.op}-step-${step + 1}.svg`;
  link.click();
  URL.revokeObjectURL(link.href);
}
