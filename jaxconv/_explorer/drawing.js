"use strict";

// Pictures of a scene and of the matrix, as SVG elements.  Colours are in style.css;
// each kind of cell has its own outline too, so that none depends on colour alone.

const CELL = 32;
const MOST_CELLS = { 1: 120, 2: 1600 }; // of one strip, by the number of axes
const MOST_ENTRIES = 6000; // of the matrix that are not zero

function svgElement(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** An SVG shown at ``scale``, and in a narrow place no smaller than at ``least``. */
function picture(width, height, label, scale, least, ...children) {
  const margin = 2;
  const [w, h] = [width + 2 * margin, height + 2 * margin];
  const svg = svgElement(
    "svg",
    {
      viewBox: `${-margin} ${-margin} ${w} ${h}`,
      width: w * scale, height: h * scale, role: "img", "aria-label": label,
    },
    ...children,
  );
  svg.style.minWidth = `${Math.round(w * least)}px`;
  return svg;
}

function numberIn(x, y, text, size = CELL) {
  const length = String(text).length;
  const scale = length < 3 ? 0.44 : length === 3 ? 0.38 : 1.24 / length;
  const at = { x: x + size / 2, y: y + size / 2, "font-size": size * scale };
  return svgElement("text", at, String(text));
}

/** One cell at (x, y); ``classes`` holds its kind and what it is doing. */
function cellAt(x, y, text, classes, step = null) {
  const inset = { x: x + 1.5, y: y + 1.5, width: CELL - 3, height: CELL - 3 };
  const outline = svgElement("rect", inset);
  const group = svgElement("g", { class: `cell ${classes}` }, outline);
  if (/\bcropped\b/.test(classes)) {
    const ends = { x1: x + 6, y1: y + CELL - 6, x2: x + CELL - 6, y2: y + 6 };
    group.append(svgElement("line", ends));
  }
  if (text !== null) group.append(numberIn(x, y, text));
  if (step !== null) group.dataset.step = step;
  return group;
}

/** Row and column of a flat index; a line is a grid of one row. */
function place(flat, shape) {
  const columns = shape.at(-1);
  return { x: (flat % columns) * CELL, y: Math.floor(flat / columns) * CELL };
}

function extent(shape) {
  const rows = shape.length > 1 ? shape[0] : 1;
  return { width: shape.at(-1) * CELL, height: rows * CELL };
}

/** What a cell of the strip shows: its value, zero on padding, the sum so far. */
function stripText(drawn, cell, result) {
  if (drawn.writes) return cell.kind === "result" ? (result[cell.at] ?? "") : null;
  if (cell.kind === "cropped") return cell.at === null ? null : inputValue(cell.at);
  return cell.at === null ? 0 : inputValue(cell.at);
}

function stripCells(drawn, step, result) {
  const under = new Set(windowAt(drawn, step).map((tap) => tap.cell));
  return count(product(drawn.shape)).map((flat) => {
    const cell = cellOf(drawn, flat);
    const { x, y } = place(flat, drawn.shape);
    const classes = cell.kind + (under.has(flat) ? " tap" : "");
    return cellAt(x, y, stripText(drawn, cell, result), classes);
  });
}

function pointCells(drawn, step, result) {
  return count(drawn.steps).map((flat) => {
    const { x, y } = place(flat, drawn.points);
    const text = drawn.writes ? inputValue(flat) : (result[flat] ?? "");
    const kind = drawn.writes ? "input" : "result";
    return cellAt(x, y, text, flat === step ? `${kind} now` : kind, flat);
  });
}

function moved(x, y, children) {
  return svgElement("g", { transform: `translate(${x} ${y})` }, ...children);
}

const NAMES = {
  window: ["padded input", "output"],
  zeros: ["stretched, bordered input", "result"],
  scatter: ["result, before cropping", "input"],
};

/** One axis: strip, kernel and points above each other, joined by lines. */
function drawLine(drawn, step, result) {
  const [rowGap, kernelGap] = [CELL * 1.2, CELL * 0.25];
  const { width } = extent(drawn.shape);
  const [top, far] = [CELL + kernelGap, 2 * CELL + kernelGap + rowGap];
  const height = far + CELL;
  const flip = (y) => (drawn.writes ? height - CELL - y : y);
  const left = Math.floor((width - drawn.steps * CELL) / 2);
  const taps = windowAt(drawn, step);
  const centre = left + (step + 0.5) * CELL;
  const join = taps.map(({ cell }) => {
    const ends = { x1: (cell + 0.5) * CELL, x2: centre, class: "join" };
    const from = drawn.writes ? flip(top) : top + CELL;
    const to = drawn.writes ? CELL : far;
    return svgElement("line", { ...ends, y1: from, y2: to });
  });
  const kernel = terms(drawn, step).map(({ cell, factor, value }) =>
    cellAt(cell * CELL, flip(top), drawn.writes ? rounded(factor * value) : factor, "weight"),
  );
  const [strip, points] = NAMES[drawn.view];
  const kernelName = drawn.turned ? "the flipped kernel" : "the kernel";
  const what = drawn.writes ? `${kernelName} times one input` : kernelName;
  const rows = [`${strip}`, what, points];
  if (drawn.writes) rows.reverse();
  const label = `${t("Rows, from the top")}: ${rows.map(t).join("; ")}.`;
  const svg = picture(
    width, height, label, 1.25, 0.75, ...join,
    moved(0, flip(0), stripCells(drawn, step, result)), ...kernel,
    moved(left, flip(far), pointCells(drawn, step, result)),
  );
  svg.dataset.focus = taps[0].cell / drawn.shape[0];
  return [{ caption: label, svg }];
}

function frame(drawn, step) {
  const cells = windowAt(drawn, step).map((tap) => place(tap.cell, drawn.shape));
  const [first, last] = [cells[0], cells.at(-1)];
  return svgElement("rect", {
    x: first.x - 0.5, y: first.y - 0.5, rx: 4, class: "frame",
    width: last.x - first.x + CELL + 1, height: last.y - first.y + CELL + 1,
  });
}

/** Two axes: strip, kernel and points side by side. */
function drawPlane(drawn, step, result) {
  const grid = (caption, shape, cells, ...more) => {
    const { width, height } = extent(shape);
    const label = `${t(caption)}, ${shape.join(" × ")}`;
    const svg = picture(width, height, label, 1, 0.62, ...cells, ...more);
    return { caption: label, svg };
  };
  const weights = count(product(drawn.kernel)).map((flat) => {
    const weight = drawn.turned ? product(drawn.kernel) - 1 - flat : flat;
    const { x, y } = place(flat, drawn.kernel);
    return cellAt(x, y, weightValue(weight), "weight");
  });
  const [strip, points] = NAMES[drawn.view];
  const figures = [
    grid(strip, drawn.shape, stripCells(drawn, step, result), frame(drawn, step)),
    grid(drawn.turned ? "flipped kernel" : "kernel", drawn.kernel, weights),
    grid(points, drawn.points, pointCells(drawn, step, result)),
  ];
  return drawn.writes ? figures.reverse() : figures;
}

/** The figures of a step, as {caption, svg}. */
function drawScene(drawn, step) {
  const draw = drawn.shape.length === 1 ? drawLine : drawPlane;
  return draw(drawn, step, resultAfter(drawn, step));
}

/** Why a scene is not drawn; empty where it is. */
function tooLargeToDraw(drawn) {
  const most = MOST_CELLS[drawn.shape.length];
  const cells = product(drawn.shape);
  if (cells <= most) return "";
  const shape = drawn.shape.join(" × ");
  return `${shape} cells are too many to draw: the page draws up to ${most}.`;
}

/** In words, what one step does. */
function describe(drawn, step) {
  const name = (letter, flat, shape) => `${letter}[${unravel(flat, shape).join(", ")}]`;
  const all = terms(drawn, step);
  if (!drawn.writes) {
    const total = rounded(sum(all.map(({ factor, value }) => factor * value)));
    const target = name("y", step, drawn.points);
    if (all.length > 16) return `${target} = sum of ${all.length} products = ${total}`;
    const products = all.map(({ factor, value }) => `${factor}·${value}`);
    return `${target} = ${products.join(" + ")} = ${total}`;
  }
  const source = `${name("x", step, drawn.points)} = ${inputValue(step)}`;
  if (all.length > 12) return `${source}, times ${all.length} weights, is added to y`;
  const sizes = drawn.axes.map((axis) => axis.size);
  const parts = all.map(({ factor, value, at }) => {
    const target = at === null ? t("cut off") : name("y", at, sizes);
    return `${factor}·${value} → ${target}`;
  });
  return `${source}: ${parts.join(", ")}`;
}

/** The counts of `overlaps` in the cells of the result, darker where there are more. */
function drawOverlap(drawn, counts) {
  const shape = drawn.axes.map((axis) => axis.size);
  const { width, height } = extent(shape);
  const most = Math.max(1, ...counts);
  const cells = counts.map((number, flat) => {
    const { x, y } = place(flat, shape);
    const shade = Math.floor((number * 5) / most);
    return cellAt(x, y, number, `heat heat-${shade}`);
  });
  const label = `${t("Windows over each result")}, ${shape.join(" × ")}`;
  return picture(width, height, label, 0.8, 0, ...cells);
}

// The matrix --------------------------------------------------------------------------

/** Rows, columns and entries [row, column, weight] of C, or of its transpose. */
function matrixOf(setting, drawn) {
  const g = geometry(setting);
  const conv = setting.op === "conv";
  const [outputs, inputs] = [product(g.output), product(g.input)];
  const [rows, columns] = conv ? [outputs, inputs] : [inputs, outputs];
  // Taps on padding that is filled with elements may meet others of their window.
  const entries = () => {
    const found = new Map();
    for (const [p, tap, q] of reads(drawn)) {
      const at = (conv ? p : q) * columns + (conv ? q : p);
      found.set(at, (found.get(at) ?? 0) + weightValue(tap));
    }
    const place = (at) => [Math.floor(at / columns), at % columns];
    return [...found].map(([at, weight]) => [...place(at), rounded(weight)]);
  };
  return { rows, columns, stored: work(g).valid, entries };
}

function lines(rows, columns) {
  const [w, h] = [columns * CELL, rows * CELL];
  const across = count(rows + 1).map((r) => `M0 ${r * CELL}H${w}`);
  const down = count(columns + 1).map((c) => `M${c * CELL} 0V${h}`);
  return svgElement("path", { d: [...across, ...down].join(""), class: "grid" });
}

function drawMatrix(matrix, label) {
  const { rows, columns } = matrix;
  const cells = matrix.entries().map(([row, column, weight]) => {
    const [x, y] = [column * CELL, row * CELL];
    const group = svgElement(
      "g", { class: "entry" },
      svgElement("rect", { x: x + 1, y: y + 1, width: CELL - 2, height: CELL - 2 }),
      numberIn(x, y, weight),
    );
    Object.assign(group.dataset, { row, column });
    return group;
  });
  const band = svgElement("rect", { class: "band" });
  const [w, h] = [columns * CELL, rows * CELL];
  const svg = picture(w, h, label, 0.8, 0, lines(rows, columns), ...cells, band);
  svg.classList.add(columns > 40 ? "tiny" : columns > 14 ? "small" : "plain");
  return svg;
}

/** Lights the row of a step, or the column where a step writes. */
function lightMatrix(svg, matrix, drawn, step) {
  const [w, h] = [matrix.columns * CELL, matrix.rows * CELL];
  const along = drawn.writes
    ? { x: step * CELL, y: 0, width: CELL, height: h }
    : { x: 0, y: step * CELL, width: w, height: CELL };
  const band = svg.querySelector(".band");
  for (const [key, value] of Object.entries(along)) band.setAttribute(key, value);
  const key = drawn.writes ? "column" : "row";
  for (const entry of svg.querySelectorAll(".entry")) {
    entry.classList.toggle("lit", Number(entry.dataset[key]) === step);
  }
}
