"use strict";

// Steps, play and pause, and the keys.

function showStep() {
  const figures = drawScene(drawn, step).map(({ caption, svg }) => {
    const figure = document.createElement("figure");
    const scroller = document.createElement("div");
    scroller.className = "scroller";
    scroller.append(svg);
    figure.append(scroller, textElement("figcaption", "", caption));
    return figure;
  });
  find("stage").replaceChildren(...figures);
  for (const scroller of document.querySelectorAll("#stage .scroller")) {
    const { focus } = scroller.firstChild.dataset;
    if (focus) scroller.scrollLeft = focus * scroller.scrollWidth - 60;
  }
  find("step-text").textContent = describe(drawn, step);
  Object.assign(find("step"), { max: drawn.steps, value: step + 1 });
  find("step").setAttribute("aria-valuetext", `step ${step + 1} of ${drawn.steps}`);
  if (matrix) showLight();
}

function showLight() {
  const [box, svg] = [find("matrix"), find("matrix").firstChild];
  lightMatrix(svg, matrix, drawn, step);
  const [row, column] = drawn.writes ? [0, step] : [step, 0];
  const cell = svg.clientWidth / matrix.columns;
  box.scrollTop = row * cell - box.clientHeight / 2;
  box.scrollLeft = column * cell - box.clientWidth / 2;
}

function goTo(wanted) {
  if (!drawn) return;
  step = (wanted + drawn.steps) % drawn.steps;
  showStep();
}

function pause() {
  clearInterval(timer);
  timer = null;
  find("play").textContent = t("Play");
  find("step-text").setAttribute("aria-live", "polite");
}

function play() {
  if (!drawn) return;
  clearInterval(timer);
  timer = setInterval(() => goTo(step + 1), Number(find("speed").value));
  find("play").textContent = t("Pause");
  find("step-text").setAttribute("aria-live", "off"); // it would never stop talking
}

function toggle() {
  if (timer) pause();
  else play();
}

function stepTo(wanted) {
  pause();
  goTo(wanted);
}

function onKey(event) {
  const tag = event.target.tagName;
  const modified = event.ctrlKey || event.altKey || event.metaKey;
  if (modified || !drawn || ["SELECT", "PRE"].includes(tag)) return;
  if (event.target.type === "text") return;
  const slider = tag === "INPUT" && ["range", "number"].includes(event.target.type);
  const presses = tag === "BUTTON" || (tag === "INPUT" && !slider);
  const moves = {
    ArrowLeft: step - 1, ArrowRight: step + 1, Home: 0, End: drawn.steps - 1,
  };
  if (event.key === " " && !presses) toggle();
  else if (event.key in moves && tag !== "INPUT") stepTo(moves[event.key]);
  else return;
  event.preventDefault();
}

function onRadio({ target }) {
  if (target.type !== "radio") return;
  const value = target.name === "dims" ? Number(target.value) : target.value;
  change({ [target.name]: value });
}

function onSeparate() {
  const axes = find("separate").checked ? [0, 1] : [0];
  const spread = (values) => axes.map((a) => values[a] ?? values[0]);
  const fields = FIELDS.map((field) => [
    field, state.fields[field] && spread(state.fields[field]),
  ]);
  change({ fields: Object.fromEntries(fields) });
}

function onUneven() {
  const ends = find("uneven").checked ? [...state.fields.padding] : null;
  change({ fields: { ...state.fields, padding_end: ends } });
}

function onHash() {
  if (location.hash === writeHash(state)) return;
  state = readHash(location.hash);
  step = 0;
  show();
}

function start() {
  buildFields();
  buildChannels();
  document.addEventListener("keydown", onKey);
  document.addEventListener("change", onRadio);
  window.addEventListener("hashchange", onHash);
  find("settings").addEventListener("submit", (event) => event.preventDefault());
  find("separate").addEventListener("change", onSeparate);
  find("uneven").addEventListener("change", onUneven);
  find("save-gif").addEventListener("click", saveAnimation);
  find("back").addEventListener("click", () => change(readHash(lastGood)));
  find("play").addEventListener("click", toggle);
  find("previous").addEventListener("click", () => stepTo(step - 1));
  find("next").addEventListener("click", () => stepTo(step + 1));
  find("step").addEventListener("input", () => stepTo(Number(find("step").value) - 1));
  find("speed").addEventListener("change", () => timer && play());
  find("stage").addEventListener("click", ({ target }) => {
    const cell = target.closest("[data-step]");
    if (cell) stepTo(Number(cell.dataset.step));
  });
  for (const name of ["x", "w"]) {
    find(name).addEventListener("input", () => change({ [name]: find(name).value }));
  }
  find("mode").addEventListener("change", () => change({ mode: find("mode").value }));
  find("save").addEventListener("click", saveStage);
  find("language").addEventListener("click", () =>
    change({ lang: state.lang === "zh" ? "en" : "zh" }),
  );
  find("copy-link").addEventListener("click", ({ target }) =>
    copy(location.href, target),
  );
  show();
}

start();
