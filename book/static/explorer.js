// The explorer. The form is the state: the address holds what differs from its defaults, table and chart follow it.
// Names from a file only ever become text: textContent in the page, escaped for Plotly.
"use strict";

// Tables ---------------------------------------------------------------------------------------------------------

const MAX_FILE = 20 * 2 ** 20;
const NEEDED = ["dataset", "model_name", "error_rate"];
const USED = ["fit_time", "GPU_mem", "state", "weights"];
const UNKNOWN = new Set(["", "na", "n/a", "nan", "null", "none", "<na>"]);
const NUMBERS = ["error_rate", "fit_time", "GPU_mem"];

function rowsOf(columns) {
  const names = Object.keys(columns);
  return columns.model_name.map((_, i) => Object.fromEntries(names.map(name => [name, columns[name][i]])));
}

/** The fields of a CSV, row by row; quotes as in RFC 4180. */
function parseCSV(text) {
  const rows = [], fields = /("(?:[^"]|"")*"|[^",\r\n][^,\r\n]*|)(,|\r\n|\n|\r|$)/y;
  for (let row = []; fields.lastIndex < text.length;) {
    const match = fields.exec(text);
    if (!match) throw new Error("not a CSV: a quote is opened and not closed as it should be");
    const [, field, end] = match;
    row.push(field.startsWith('"') ? field.slice(1, -1).replaceAll('""', '"') : field.trim());
    if (end === "," && fields.lastIndex < text.length) continue;
    if (end === ",") row.push("");
    if (row.length > 1 || row[0] !== "") rows.push(row);
    row = [];
  }
  return rows;
}

/** A model's family, by the article's rule, as `scores.family` has it. */
function family(name) {
  const word = /^([a-z]+?(?:v2)?)(?:\d|_|$|\.)/.exec(name)?.[1] ?? "other";
  return word === "swinv2" ? "swin" : word;
}

/** The runs in a CSV: objects with the columns we use. Raises an Error that says what to mend. */
function readRuns(text) {
  if (/^\s*</.test(text)) throw new Error("this is a web page, not a CSV: download the raw file");
  const [header, ...rows] = parseCSV(text.replace(/^\uFEFF/, "").replace(/^(#.*\r?\n)+/, ""));
  if (!header) throw new Error(`the file is empty; give a CSV with the columns ${NEEDED.join(", ")}`);
  const missing = NEEDED.filter(name => !header.includes(name)), found = header.slice(0, 12).join(", ").slice(0, 200);
  if (missing.length) throw new Error(`no column ${missing.join(", ")}; it has ${found}`);
  if (!rows.length) throw new Error("no rows below the header");
  const at = Object.fromEntries([...NEEDED, ...USED].map(name => [name, header.indexOf(name)]));
  return rows.map((row, i) => {
    const where = `row ${i + 1} after the header`;
    if (row.length !== header.length) throw new Error(`${where} has ${row.length} fields, the header ${header.length}`);
    const run = Object.fromEntries(["dataset", "model_name", "weights", "state"].map(name => [name, row[at[name]]]));
    if (run.dataset === "") throw new Error(`dataset in ${where} is missing`);
    if (run.model_name === "") throw new Error(`model_name in ${where} is missing`);
    for (const name of NUMBERS) {
      const value = row[at[name]] ?? "";
      run[name] = UNKNOWN.has(value.toLowerCase()) ? null : Number(value);
      if (run[name] !== null && !(run[name] >= 0 && run[name] < Infinity)) {
        throw new Error(`${name} in ${where}: ${value.slice(0, 50)} is not a number from 0 up`);
      }
    }
    if (run.error_rate > 1) throw new Error(`error_rate in ${where}: ${run.error_rate} is not a fraction from 0 to 1`);
    return run;
  });
}

/** Each model's best error, time and memory over its finished runs, as `scores.summarise` has it: data set → rows. */
function summarise(runs) {
  const least = (a, b) => a === null ? b : b === null ? a : Math.min(a, b);
  const tables = new Map();
  for (const run of runs) {
    if (run.error_rate === null || (run.state || "finished") !== "finished") continue;
    if (!tables.has(run.dataset)) tables.set(run.dataset, new Map());
    const models = tables.get(run.dataset), known = models.get(run.model_name);
    if (!known) {
      models.set(run.model_name, {...run, family: family(run.model_name), weights: run.weights || run.model_name});
    } else for (const name of NUMBERS) known[name] = least(known[name], run[name]);
  }
  return new Map([...tables].map(([dataset, models]) => [dataset, [...models.values()]]));
}

// Ranking --------------------------------------------------------------------------------------------------------

/** The rows within the budgets, best first, as `scores.rank` has it; a budget of NaN is none. */
function rank(rows, {by, offset, price, time, memory, families}) {
  const ranked = rows
    .filter(row => (isNaN(time) || row.fit_time !== null && row.fit_time <= time)
                && (isNaN(memory) || row.GPU_mem !== null && row.GPU_mem <= memory)
                && (!families.length || families.includes(row.family)))
    .map(row => ({...row, score: row.fit_time === null ? null : row.error_rate * (row.fit_time + offset),
                  ...(by === "cost" ? {cost: row.fit_time === null ? null : row.fit_time + price * 100 * row.error_rate} : {})}));
  const order = (a, b) => (a ?? Infinity) === (b ?? Infinity) ? 0 : (a ?? Infinity) < (b ?? Infinity) ? -1 : 1;
  const names = (a, b) => a < b ? -1 : a > b ? 1 : 0;
  return ranked.sort((a, b) => order(a[by], b[by]) || order(a.score, b.score) || names(a.model_name, b.model_name));
}

/** The line that fine-tunes a model with fastai, with what `fine_tune.find_model` finds that the model needs. */
function fastaiLine(row, table) {
  if (row.weights.startsWith("mambaout")) return `# fastai has no head for ${row.weights}`;
  const name = row.weights.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", " ");
  const metric = table.several ? "accuracy_multi" : "error_rate";
  const size = row.img_size ? `  # images of ${row.img_size} px` : "";
  const unpooled = /^swin(v2)?_(?!cr)/.test(name) ? ', pretrained_cfg_overlay={"pool_size": None}' : "";
  return `vision_learner(dls, "${name}", metrics=${metric}${unpooled}).to_fp16().fine_tune(5, 0.008)${size}`;
}

// State ----------------------------------------------------------------------------------------------------------

const page = document.getElementById("explorer"), form = page.querySelector("form");
const find = selector => page.querySelector(selector);
const own = new Map(); // data set of the dropped file → rows

/** The table that the form asks for: its rows, what it is, and the constant that suits its times. */
function chosenTable() {
  const name = form.elements.data.value;
  if (name.startsWith("own:")) {
    const rows = own.get(name.slice(4));
    return {rows, unit: "s", offset: 80, price: 40, about: `Your table: ${rows.length} models on ${name.slice(4)}.`};
  }
  const when = form.elements.weights.value, table = TABLES[name] ?? TABLES[`${name}_${when}`];
  table.rows ??= rowsOf(table.columns);
  if (TABLES[name]) {
    return {rows: table.rows, unit: "s", offset: 80, price: 40, several: table.several,
            about: `${table.title}. ${table.rows.length} models, each with its best error, time and memory over its ` +
                   "runs, on the authors' GPUs. The copied line names the checkpoint that was measured."};
  }
  const file = when === "2022" ? "December 2022" : "August 2026";
  const part = name === "infer" ? "inference" : "training";
  return {rows: table.rows, unit: "ms", offset: name === "infer" ? 1 : 5, price: name === "infer" ? 0.1 : 0.5,
          about: `${table.rows.length} models of timm, results of ${file}: ImageNet top-1 error, and milliseconds an image ` +
                 `in ${part} on an ${table.device} in mixed precision. Memory wasn't measured. ` +
                 "The constant is as arbitrary as the article's 80 s."};
}

/** What differs from the form's defaults, as the address has it. */
function address() {
  const fields = new URLSearchParams();
  for (const [name, value] of new FormData(form)) {
    const standard = {data: "pets", weights: "today", by: "score", top: "15"}[name] ?? "";
    if (value !== standard) fields.append(name, value);
  }
  return fields.toString();
}

/** The form's choice as a new entry of the browser's history. */
function remember() {
  if (location.hash.slice(1) !== address()) history.pushState(null, "", `#${address()}`);
}

function restore(hash) {
  const fields = new URLSearchParams(hash.replace(/^#/, "")), data = fields.get("data");
  form.reset();
  say("");
  for (const name of ["data", "by", "weights"]) {
    const options = [...form.elements[name].options].map(option => option.value);
    if (fields.has(name) && options.includes(fields.get(name))) form.elements[name].value = fields.get(name);
  }
  for (const name of ["offset", "price", "time", "memory", "top"]) {
    if (fields.has(name)) form.elements[name].value = fields.get(name);
  }
  if (data?.startsWith("own:") && !own.size) {
    say("This view is of a file of someone's own: drop yours, or choose a data set.");
  }
  listFamilies(fields.getAll("family"));
  update();
}

const has = (rows, column) => rows.some(row => row[column] != null);
const chosenFamilies = () => new FormData(form).getAll("family");

/** What the form asks of a table; what the table doesn't have can't be asked for. */
function choice(table) {
  const number = name => form.elements[name].value === "" ? NaN : form.elements[name].valueAsNumber;
  const by = form.elements.by, offset = number("offset"), price = number("price");
  const timed = has(table.rows, "fit_time"), weighed = has(table.rows, "GPU_mem");
  const known = {score: timed, cost: timed, error_rate: true, fit_time: timed, GPU_mem: weighed};
  for (const option of by.options) option.disabled = !known[option.value];
  if (!known[by.value]) by.value = "error_rate";
  form.elements.memory.disabled = !weighed;
  form.elements.time.disabled = !timed;
  form.elements.price.disabled = by.value !== "cost";
  return {by: by.value, offset: isNaN(offset) ? table.offset : Math.max(0, offset), families: chosenFamilies(),
          price: isNaN(price) ? table.price : Math.max(0, price),
          time: timed ? number("time") : NaN, memory: weighed ? number("memory") : NaN,
          top: Math.min(500, Math.max(1, number("top") || 15))};
}

// Page -----------------------------------------------------------------------------------------------------------

function say(problem) { find("#problem").textContent = problem; }

/** A box for each family of the table, the largest first. */
function listFamilies(checked) {
  const sizes = new Map();
  for (const row of chosenTable().rows) sizes.set(row.family, (sizes.get(row.family) ?? 0) + 1);
  const order = [...sizes].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, 200);
  find(".families").replaceChildren(...order.map(([name, count]) => {
    const label = document.createElement("label"), box = document.createElement("input");
    Object.assign(box, {type: "checkbox", name: "family", value: name, checked: checked.includes(name)});
    label.append(box, `${name} (${count})`);
    return label;
  }));
}

async function copyLine(row, table) {
  const line = fastaiLine(row, table), shown = document.createElement("code");
  shown.textContent = line;
  const copied = await navigator.clipboard.writeText(line).then(() => true, () => false);
  find("#copied").replaceChildren(copied ? "Copied: " : "Copy this: ", shown);
}

const COLUMNS = {
  error_rate: "error rate", fit_time: "time", GPU_mem: "memory (GiB)", img_size: "image (px)", cost: "cost",
  score: "score",
};

function shownNumber(column, value) {
  if (value == null || column === "img_size") return value ?? "";
  if (column === "error_rate") return value.toFixed(4);
  return value < 0.1 ? value.toPrecision(3) : value.toFixed(column === "fit_time" && value >= 10 ? 1 : 2);
}

function cell(kind, text, className = "") {
  return Object.assign(document.createElement(kind), {textContent: text, className});
}

function drawTable(ranked, table, {top}) {
  const columns = Object.keys(COLUMNS).filter(name => has(ranked, name));
  const title = name => COLUMNS[name] + (["fit_time", "cost"].includes(name) ? ` (${table.unit})` : "");
  const shown = form.elements.weights.value === "2022" ? "model_name" : "weights";
  const head = document.createElement("tr");
  head.append(cell("th", ""), cell("th", "model"), cell("th", "family", "family"),
              ...columns.map(name => cell("th", title(name), "number")));
  find("thead").replaceChildren(head);
  find("tbody").replaceChildren(...ranked.slice(0, top).map((row, i) => {
    const line = document.createElement("tr"), model = document.createElement("td");
    const button = cell("button", row[shown]);
    button.type = "button";
    button.title = fastaiLine(row, table);
    button.onclick = () => copyLine(row, table);
    model.append(button);
    line.append(cell("td", i + 1, "number"), model, cell("td", row.family, "family"),
                ...columns.map(name => cell("td", shownNumber(name, row[name]), "number")));
    line.dataset.model = row.model_name;
    return line;
  }));
}

const asText = name => name.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

function drawChart(ranked, table) {
  const timed = has(ranked, "fit_time"), groups = new Map(ranked.map(row => [row.family, []]));
  ranked.forEach((row, i) => groups.get(row.family).push(i));
  const traces = [...groups].sort((a, b) => b[1].length - a[1].length).map(([name, places]) => ({
    type: ranked.length > 1000 ? "scattergl" : "scatter", mode: "markers", name: asText(name),
    x: places.map(i => timed ? ranked[i].fit_time : i + 1), y: places.map(i => ranked[i].error_rate),
    text: places.map(i => asText(ranked[i].weights)), customdata: places,
    marker: {color: COLOURS[name] ?? "#7f7f7f", size: 8},
    hovertemplate: `<b>%{text}</b><br>error %{y:.4f}<br>${timed ? "time %{x:.4g}" : "place %{x}"}<extra></extra>`,
  }));
  const x = timed ? `time (${table.unit})` : "place in the ranking";
  const narrow = find("#chart").clientWidth < 600;
  const layout = {
    template: PLOTLY_WHITE, height: 450, margin: {l: 60, r: 10, t: 30, b: 50}, hovermode: "closest",
    showlegend: groups.size > 1 && groups.size < 40, legend: narrow ? {orientation: "h", y: -0.2} : {},
    xaxis: {title: {text: x}, type: table.unit === "s" ? "linear" : "log", exponentformat: "none"},
    yaxis: {title: {text: "error rate"}},
  };
  Plotly.react("chart", traces, layout, {displaylogo: false});
  const words = `Error rate against ${x} of ${ranked.length} models; the table below has the best of them`;
  find("#chart").setAttribute("aria-label", words);
}

let current; // what a click on the chart means

/** Table and chart anew, from the form. */
function update() {
  const table = chosenTable(), chosen = choice(table), ranked = rank(table.rows, chosen);
  for (const unit of page.querySelectorAll(".unit")) unit.textContent = table.unit;
  form.elements.offset.placeholder = table.offset;
  form.elements.price.placeholder = table.price;
  find("#chosen").textContent = chosen.families.join(", ") || "all";
  const shown = `Shown: ${Math.min(chosen.top, ranked.length)} of the ${ranked.length} that fit.`;
  const none = "No model fits: allow more time, memory or families.";
  find("#about").textContent = `${table.about} ${ranked.length ? shown : none}`;
  drawTable(ranked, table, chosen);
  current = {ranked, table};
  if (window.Plotly) drawChart(ranked, table);
}

// Events ---------------------------------------------------------------------------------------------------------

/** Reads a dropped or chosen file; nothing of it leaves the page. */
async function readFile(file) {
  try {
    if (file.size > MAX_FILE) {
      const [size, most] = [file.size, MAX_FILE].map(bytes => Math.round(bytes / 2 ** 20));
      throw new Error(`it has ${size} MB, and this page reads up to ${most}: rank it with bvm rank ${file.name}`);
    }
    const tables = summarise(readRuns(await file.text()));
    if (!tables.size) throw new Error("no run in it is finished and has an error_rate");
    own.clear();
    for (const [dataset, rows] of tables) own.set(dataset, rows);
    const group = Object.assign(document.createElement("optgroup"), {label: `Yours: ${file.name}`, id: "yours"});
    group.append(...[...own.keys()].slice(0, 100).map(dataset => new Option(dataset, `own:${dataset}`)));
    find("#yours")?.remove();
    form.elements.data.append(group);
    form.reset();
    form.elements.data.value = group.firstChild.value;
    remember();
    restore(location.hash);
  } catch (error) {
    say(`${file.name}: ${error.message}`);
  }
}

form.addEventListener("input", event => {
  if (event.target.id === "own") return;
  say("");
  if (event.target.name === "data") form.elements.offset.value = form.elements.price.value = "";
  if (["data", "weights"].includes(event.target.name)) listFamilies(chosenFamilies());
  update();
});
form.addEventListener("change", event => {
  if (event.target.id !== "own") remember();
  else if (event.target.files[0]) readFile(event.target.files[0]);
});
form.addEventListener("submit", event => event.preventDefault());
window.addEventListener("popstate", () => restore(location.hash));
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, event => {
    event.preventDefault();
    page.classList.toggle("dropping", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files[0]) readFile(event.dataTransfer.files[0]);
  });
}
restore(location.hash);
loadPlotly().then(() => {
  const chart = find("#chart");
  drawChart(current.ranked, current.table);
  keepWidth(chart);
  chart.on("plotly_click", ({points}) => copyLine(current.ranked[points[0].customdata], current.table));
});
