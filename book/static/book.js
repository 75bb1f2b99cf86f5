// Draws the page's figures from the numbers beside them. On a narrow screen legend and colour bar go below.
"use strict";

function fit(layout, width) {
  const fitted = {...layout, template: layout.template || window.PLOTLY_WHITE, margin: {...layout.margin, t: 30}};
  if (width >= 600) return fitted;
  const below = {orientation: "h", y: -0.2}, axis = layout.coloraxis;
  const narrow = {...fitted, margin: {l: 55, r: 10, t: 30, b: 50}, legend: {...layout.legend, ...below}};
  return axis ? {...narrow, coloraxis: {...axis, colorbar: {...axis.colorbar, ...below, yanchor: "top"}}} : narrow;
}

function drawFigure(script) {
  const stored = JSON.parse(script.textContent), place = script.parentElement.querySelector("[role=img]");
  Plotly.newPlot(place, stored.data, fit(stored.layout, place.clientWidth), {displaylogo: false});
  new ResizeObserver(() => place.clientWidth && Plotly.Plots.resize(place)).observe(place);
}

document.querySelectorAll("figure.figure > script").forEach(drawFigure);
