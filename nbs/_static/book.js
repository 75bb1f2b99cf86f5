// Draws the page's figures from the numbers beside them. On a narrow screen the legend goes below.
"use strict";

function fit(layout, width) {
  const narrow = width < 600;
  const fitted = {...layout, template: layout.template || window.PLOTLY_WHITE, margin: {...layout.margin, t: 30}};
  return narrow ? {...fitted, margin: {l: 55, r: 10, t: 30, b: 50}, legend: {...layout.legend, orientation: "h", y: -0.2}} : fitted;
}

function drawFigure(script) {
  const stored = JSON.parse(script.textContent), place = script.parentElement.querySelector("[role=img]");
  Plotly.newPlot(place, stored.data, fit(stored.layout, place.clientWidth), {responsive: true, displaylogo: false});
}

document.querySelectorAll("figure.figure > script").forEach(drawFigure);
