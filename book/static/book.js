// What pages do: figures, wide tables, folded code, copying.
"use strict";

// Figures: drawn from the numbers beside them when someone points at them; until then a picture stands there.
// On a narrow screen legend and colour bar go below.

const STATIC = new URL(".", document.currentScript.src);
let plotly;

/** Plotly's script, fetched once, when a figure first needs it. */
function loadPlotly() {
  return plotly ??= new Promise((resolve, reject) => document.head.append(Object.assign(
    document.createElement("script"), {src: new URL("plotly.min.js", STATIC), onload: resolve, onerror: reject})));
}

function fit(layout, width) {
  const fitted = {...layout, template: layout.template || window.PLOTLY_WHITE, margin: {...layout.margin, t: 30}};
  if (width >= 600) return fitted;
  const below = {orientation: "h", y: -0.2}, axis = layout.coloraxis;
  const narrow = {...fitted, margin: {l: 55, r: 10, t: 30, b: 50}, legend: {...layout.legend, ...below}};
  return axis ? {...narrow, coloraxis: {...axis, colorbar: {...axis.colorbar, ...below, yanchor: "top"}}} : narrow;
}

/** A chart that keeps the width of its place. */
function keepWidth(chart) {
  new ResizeObserver(() => chart.clientWidth && Plotly.Plots.resize(chart)).observe(chart);
}

async function drawFigure(figure) {
  if (figure.asked) return;
  figure.asked = true;
  await loadPlotly();
  const stored = JSON.parse(figure.querySelector("script").textContent), chart = document.createElement("div");
  figure.querySelector("[role=group]").append(chart);
  await Plotly.newPlot(chart, stored.data, fit(stored.layout, chart.clientWidth), {displaylogo: false});
  figure.classList.add("drawn");
  keepWidth(chart);
}

for (const figure of document.querySelectorAll("figure.figure:has(> script)")) {
  if (!figure.querySelector("img")) drawFigure(figure);
  for (const kind of ["mouseenter", "focusin", "click"]) figure.addEventListener(kind, () => drawFigure(figure));
}

// A table that is wider than its box says so.
const boxes = new ResizeObserver(seen => seen.forEach(({target: box}) =>
  box.classList.toggle("wider", box.scrollWidth > box.clientWidth + 1)));
for (const box of document.querySelectorAll(".bd-article .cell_output div:has(> table)")) boxes.observe(box);

// Code: a button copies each piece, a switch on top opens all that is folded.

function button(text, click) {
  return Object.assign(document.createElement("button"), {type: "button", textContent: text, onclick: click});
}

/** Copies a text; without leave to do so, it is selected, ready for the reader's own keys. */
async function copy(code, said) {
  const copied = await navigator.clipboard.writeText(code.textContent.trimEnd()).then(() => true, () => false);
  if (!copied) getSelection().selectAllChildren(code);
  said.textContent = copied ? "copied" : "selected";
  setTimeout(() => said.textContent = "copy", 2000);
}

const folds = [...document.querySelectorAll(".bd-article .cell details.hide")];
for (const code of document.querySelectorAll(".bd-article div.highlight > pre")) {
  const copies = button("copy", () => copy(code, copies));
  copies.className = "copy";
  code.after(copies);
}
if (folds.some(fold => !fold.open)) {
  const first = folds.map(fold => fold.open);
  const all = button("Show all code", () => {
    const show = all.ariaPressed !== "true";
    all.ariaPressed = show;
    folds.forEach((fold, i) => fold.open = show || first[i]);
  });
  all.className = "all-code";
  all.ariaPressed = "false";
  document.querySelector(".bd-article h1").after(all);
}

// Paper is white.
const theme = document.documentElement.dataset;
let chosen;
window.addEventListener("beforeprint", () => { chosen = theme.theme; theme.theme = "light"; });
window.addEventListener("afterprint", () => { theme.theme = chosen; });
