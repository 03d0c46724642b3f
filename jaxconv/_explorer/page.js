"use strict";

// The page itself: its state, its controls and what it shows.

const LEGEND = {
  input: "input", padding: "padding", between: "zero between",
  result: "result", cropped: "cut off", weight: "kernel", tap: "read or written now",
};

const find = (id) => document.getElementById(id);

let state = readHash(location.hash);
let lastGood = writeHash(readHash(""));
let step = 0;
let drawn = null; // the scene, null where nothing is drawn
let matrix = null;
let timer = null;

// Controls ----------------------------------------------------------------------------

function control(type, field, axis, label) {
  const made = document.createElement("input");
  const least = LEAST[field];
  const most = type === "range" ? MAXIMA[field] : MOST;
  Object.assign(made, { type, min: least, max: most, step: 1 });
  Object.assign(made.dataset, { field, axis });
  made.setAttribute("aria-label", type === "range" ? `${label}, slider` : label);
  if (type === "number") made.inputMode = "numeric";
  made.addEventListener("input", () => {
    const values = isSeparate(state) ? [...state.fields[field]] : [0];
    values[axis] = parseValue(made.value);
    change({ fields: { ...state.fields, [field]: values } });
  });
  return made;
}

function buildFields() {
  for (const field of FIELDS) {
    const row = document.createElement("div");
    row.className = "field";
    row.id = `field-${field}`;
    const name = document.createElement("span");
    name.textContent = field.replace("_", " ");
    row.append(name);
    for (const axis of [0, 1]) {
      const pair = document.createElement("div");
      pair.className = `pair axis-${axis}`;
      const label = axis ? `${field}, columns` : field;
      const which = textElement("small", "which", ["rows", "columns"][axis]);
      const inputs = ["range", "number"].map((t) => control(t, field, axis, label));
      pair.append(which, ...inputs);
      row.append(pair);
    }
    find("fields").append(row);
  }
}

function showControls(found) {
  const separate = isSeparate(state);
  for (const radio of document.querySelectorAll("input[type=radio]")) {
    radio.checked = String(state[radio.name]) === radio.value;
  }
  find("separate").checked = separate;
  find("uneven").checked = state.fields.padding_end !== null;
  find("field-padding_end").hidden = state.fields.padding_end === null;
  find("separate-label").hidden = state.dims === 1;
  find("fields").classList.toggle("separate", separate);
  for (const made of find("fields").querySelectorAll("input")) {
    const { field, axis } = made.dataset;
    const values = state.fields[field] ?? state.fields.padding;
    const value = values[axis] ?? values[0];
    if (parseValue(made.value) !== value) made.value = value;
    made.setAttribute("aria-invalid", found?.field === field);
    if (found?.field === field) made.setAttribute("aria-describedby", "broken");
    else made.removeAttribute("aria-describedby");
  }
  find("field-output_padding").hidden = state.op === "conv";
  find("view").hidden = state.op === "conv";
  find("mode-label").hidden = state.op !== "conv";
  find("mode").value = state.mode;
  for (const name of ["x", "w"]) {
    const made = find(name);
    if (made.value !== state[name]) made.value = state[name];
    made.setAttribute("aria-invalid", parseValues(state[name]) === null);
  }
}

// Drawing -----------------------------------------------------------------------------

function change(some) {
  state = { ...state, ...some };
  step = 0;
  // Some browsers forbid this to a page without an address; the page works without.
  try {
    history.replaceState(null, "", writeHash(state));
  } catch {}
  show();
}

function show() {
  translate(state.lang);
  find("play").textContent = t(timer ? "Pause" : "Play");
  typed.input = parseValues(state.x) ?? USUAL;
  typed.kernel = parseValues(state.w) ?? USUAL;
  const setting = settingOf(state);
  const found = problem(setting);
  if (found) pause();
  else lastGood = writeHash(state);
  showControls(found);
  find("broken").hidden = find("back").hidden = !found;
  find("broken").textContent = found ? found.text : "";
  for (const section of document.querySelectorAll("#views section")) {
    section.hidden = Boolean(found);
  }
  find("summary").textContent = found ? t("No result: a rule is broken.") : sizes(setting);
  if (found) drawn = null;
  else showSetting(setting);
}

function sizes(setting) {
  const times = (values) => values.join(" × ");
  const [from, to] = [times(setting.input), times(resultSize(setting))];
  return `${t("input")} ${from} → ${t("result")} ${to}`;
}

function showSetting(setting) {
  drawn = scene(setting, state.op === "conv" ? "window" : state.view);
  showLegend();
  showFormulas(formulas(setting));
  showCode(codes(setting));
  const why = tooLargeToDraw(drawn);
  find("animation").classList.toggle("off", why !== "");
  if (why) {
    drawn = null;
    pause();
    find("stage").textContent = why;
  }
  showOverlap(setting);
  showChannels(setting);
  showMatrix(setting);
  if (drawn) showStep();
}

function showOverlap(setting) {
  find("overlap-section").hidden = setting.op === "conv" || !drawn;
  if (setting.op === "conv" || !drawn) return;
  const seen = scene(setting, "scatter");
  const [counts, inner] = [overlaps(seen), innerOverlaps(setting)];
  const told = inner.length > 1 ? t("a checkerboard") : t("everywhere the same");
  find("overlap-text").textContent =
    `${t("Windows over each result, inside")}: ${inner.join(", ")} (${told}). ` +
    t("Equal weights leave a pattern unless the stride divides the kernel.");
  find("overlap").replaceChildren(drawOverlap(seen, counts));
}

function showLegend() {
  const kinds = new Set(drawn.axes.flatMap((axis) => axis.cells.map((c) => c.kind)));
  const used = [...kinds, "weight", "tap", drawn.writes ? "input" : "result"];
  const shownKinds = Object.keys(LEGEND).filter((kind) => used.includes(kind));
  const items = shownKinds.map((kind) => {
    const item = document.createElement("li");
    const svg = picture(CELL, CELL, "", 0.75, 0, cellAt(0, 0, null, kind));
    svg.setAttribute("aria-hidden", "true");
    item.append(svg, t(LEGEND[kind]));
    return item;
  });
  find("legend").replaceChildren(...items);
}

function textElement(name, className, text) {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

function showFormulas(all) {
  const rows = all.flatMap(({ title, source, note, symbols, lines: filledIn }) => {
    const term = textElement("dt", "", t(title));
    if (source) term.append(" ", textElement("small", "", t(source)));
    const body = document.createElement("dd");
    body.append(...symbols.map((text) => textElement("div", "symbols", text)));
    body.append(...filledIn.map((text, axis) => {
      const which = filledIn.length > 1 ? `${t(["rows", "columns"][axis])}: ` : "= ";
      return textElement("div", "numbers", which + text);
    }));
    if (note) body.append(textElement("div", "note", t(note)));
    return [term, body];
  });
  find("formulas").replaceChildren(...rows);
}

function showMatrix(setting) {
  const conv = setting.op === "conv";
  matrix = matrixOf(setting, drawn ?? scene(setting, conv ? "window" : "scatter"));
  const { rows, columns, stored } = matrix;
  const name = conv ? "C" : "Cᵀ";
  const { dense, valid } = work(geometry(setting));
  const lit = drawn?.writes ? t("The lit column belongs") : t("The lit row belongs");
  find("matrix-text").textContent =
    `y = ${name} x, ${t("both flattened")}: ${rows} × ${columns}, ${stored} ` +
    `${t("entries that are not zero")}; ${dense} ${t("multiply-adds")}, ` +
    `${dense - valid} ${t("of them on zeros or cut off")}. ` +
    (drawn ? `${lit} ${t("to the step above.")}` : "");
  if (!drawn || stored > MOST_ENTRIES || rows + columns > 600) {
    find("matrix").textContent = t("Too large to draw.");
    matrix = null;
    return;
  }
  find("matrix").replaceChildren(drawMatrix(matrix, `The matrix ${name}`));
}

function showCode(all) {
  const blocks = Object.entries(all).map(([name, text]) => {
    const block = document.createElement("div");
    block.className = "code";
    const button = textElement("button", "", t("Copy"));
    button.type = "button";
    button.setAttribute("aria-label", `Copy the ${name} code`);
    const code = textElement("pre", "", text);
    code.tabIndex = 0; // so that long lines can be scrolled by key
    button.addEventListener("click", () => copy(text, button, code));
    const head = textElement("h3", "", name);
    head.append(" ", button);
    block.append(head, code);
    return block;
  });
  find("codes").replaceChildren(...blocks);
}

/** To the clipboard; where that is forbidden, selects the text to be copied by hand. */
async function copy(text, button, source = null) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    if (source) getSelection().selectAllChildren(source);
    button.textContent = source ? "Selected" : "Copy the address bar";
  }
  setTimeout(() => (button.textContent = before), 1500);
}
