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

/** Each model's best error, time and memory over its finished runs, as `scores.summarise` has it: data set → rows.
    With `mean` each recipe's mean instead. */
function summarise(runs, mean = false) {
  const tables = new Map();
  for (const run of runs) {
    if (run.error_rate === null || (run.state || "finished") !== "finished") continue;
    if (!tables.has(run.dataset)) tables.set(run.dataset, new Map());
    const models = tables.get(run.dataset), key = JSON.stringify([run.model_name, run.recipe]);
    if (!models.has(key)) models.set(key, []);
    models.get(key).push(run);
  }
  const one = values => !values.length ? null
    : mean ? values.reduce((a, b) => a + b) / values.length : values.reduce((a, b) => Math.min(a, b));
  const row = same => ({
    ...same[0], family: family(same[0].model_name), weights: same[0].weights || same[0].model_name,
    ...Object.fromEntries(NUMBERS.map(name => [name, one(same.map(run => run[name]).filter(value => value !== null))])),
  });
  return new Map([...tables].map(([dataset, models]) => [dataset, [...models.values()].map(row)]));
}

/** The runs in a result folder's JSON files. Those of `bvm recommend` judge each recipe on several folds: their mean. */
async function readFolder(files) {
  const small = files.filter(file => file.name.endsWith(".json") && file.size < 2 ** 20).slice(0, 20000);
  const read = await Promise.all(small.map(async file => [file.path ?? file.webkitRelativePath, await file.text()]));
  const found = read.flatMap(([path, text]) => { try { return [[path, JSON.parse(text)]]; } catch { return []; } });
  const answer = found.find(([path]) => path.endsWith("/answer.json"))?.[1];
  const runs = found.filter(([, run]) => run?.run_id && run.model_name).map(([path, run]) => ({
    ...Object.fromEntries(USED.map(name => [name, run[name] ?? null])), model_name: String(run.model_name),
    error_rate: typeof run.error_rate === "number" ? run.error_rate : null,
    weights: String(run.weights ?? run.model_name), dataset: answer ? path.split("/").at(-3) : String(run.dataset),
    recipe: answer && [run.start === "probe" ? "probe" : "four lines", run.steps == null ? "" : `${run.steps} steps`,
                       `rate ${run.learning_rate}`].filter(Boolean).join(", "),
  }));
  if (!runs.length) throw new Error("no run in it: give the folder that bvm recommend or bvm sweep run wrote");
  const kept = answer ? runs.filter(run => ["races", "steps", "probes"].includes(run.dataset)) : runs;
  return new Map([...summarise(kept, Boolean(answer))].sort((a, b) => (a[0] < b[0] ? 1 : -1)));
}

// Ranking --------------------------------------------------------------------------------------------------------

/** The rows within the budgets, best first, as `scores.rank` has it; a budget of NaN is none. */
function rank(rows, {by, down, offset, price, time, memory, families, name, front}) {
  const ranked = rows
    .filter(row => (!name || `${row.model_name} ${row.weights}`.toLowerCase().includes(name))
                && (isNaN(time) || row.fit_time !== null && row.fit_time <= time)
                && (isNaN(memory) || row.GPU_mem !== null && row.GPU_mem <= memory)
                && (!families.length || families.includes(row.family)))
    .map(row => ({...row, score: row.fit_time === null ? null : row.error_rate * (row.fit_time + offset),
                  ...(by === "cost" ? {cost: row.fit_time === null ? null : row.fit_time + price * 100 * row.error_rate} : {})}));
  const order = (a, b) => (a ?? Infinity) === (b ?? Infinity) ? 0 : (a ?? Infinity) < (b ?? Infinity) ? -1 : 1;
  const names = (a, b) => a < b ? -1 : a > b ? 1 : 0, words = ["model_name", "family"].includes(by), turn = down ? -1 : 1;
  const first = words ? (a, b) => turn * names(a[by], b[by])
    : (a, b) => (a[by] === null) === (b[by] === null) ? turn * order(a[by], b[by]) : order(a[by], b[by]);
  ranked.sort((a, b) => first(a, b) || order(a.score, b.score) || names(a.model_name, b.model_name));
  markFront(ranked);
  return front === "only" ? ranked.filter(row => row.front) : ranked;
}

/** Marks the rows that no other beats in both error and time, as `scores.pareto_front` has it. */
function markFront(rows) {
  let least = Infinity;
  for (const row of rows) row.front = false;
  for (const row of rows.filter(row => row.fit_time !== null)
         .sort((a, b) => a.fit_time - b.fit_time || a.error_rate - b.error_rate)) {
    row.front = row.error_rate < least;
    least = Math.min(least, row.error_rate);
  }
}

/** Whether an error could be the first's, too: less than two standard errors of counting apart (chapter 31). */
function nearTie(row, first, answers) {
  const variance = row => row.error_rate * (1 - row.error_rate) / answers;
  return Boolean(answers) && Math.abs(row.error_rate - first.error_rate) < 2 * Math.sqrt(variance(row) + variance(first));
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
    return {rows: table.rows, unit: "s", offset: 80, price: 40, several: table.several, answers: table.answers,
            about: `${table.title}. ${table.rows.length} models, each with its best error, time and memory over its ` +
                   "runs, on the authors' GPUs. The copied line names the checkpoint that was measured."};
  }
  const file = when === "2022" ? "December 2022" : "August 2026";
  const part = name === "infer" ? "inference" : "training";
  return {rows: table.rows, unit: "ms", offset: name === "infer" ? 1 : 5, price: name === "infer" ? 0.1 : 0.5,
          answers: table.answers,
          about: `${table.rows.length} models of timm, results of ${file}: ImageNet top-1 error, and milliseconds an image ` +
                 `in ${part} on an ${table.device} in mixed precision. Memory wasn't measured. ` +
                 "The constant is as arbitrary as the article's 80 s."};
}

/** What differs from the form's defaults, as the address has it. */
function address() {
  const fields = new URLSearchParams();
  for (const [name, value] of new FormData(form)) {
    const standard = {data: "pets_first", weights: "today", by: "score", front: "on", top: "15"}[name] ?? "";
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
  for (const name of ["data", "by", "weights", "front"]) {
    const options = [...form.elements[name].options].map(option => option.value);
    if (fields.has(name) && options.includes(fields.get(name))) form.elements[name].value = fields.get(name);
  }
  for (const name of ["offset", "price", "time", "memory", "top", "name", "down"]) {
    form.elements[name].value = fields.get(name) ?? form.elements[name].defaultValue;
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
  const known = {score: timed, cost: timed, error_rate: true, fit_time: timed, GPU_mem: weighed, model_name: true,
                 family: true, img_size: has(table.rows, "img_size")};
  for (const option of by.options) option.disabled = !known[option.value];
  if (!known[by.value]) by.value = "error_rate";
  form.elements.memory.disabled = !weighed;
  form.elements.time.disabled = !timed;
  form.elements.price.disabled = by.value !== "cost";
  return {by: by.value, down: form.elements.down.value, name: form.elements.name.value.trim().toLowerCase(),
          front: form.elements.front.value, offset: isNaN(offset) ? table.offset : Math.max(0, offset), families: chosenFamilies(),
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
    const label = document.createElement("label"), box = document.createElement("input"), key = cell("span", "", "key");
    key.style.background = COLOURS[name] ?? OTHER;
    Object.assign(box, {type: "checkbox", name: "family", value: name, checked: checked.includes(name)});
    label.append(box, key, `${name} (${count})`);
    return label;
  }));
}

async function copyLine(row, table) {
  const line = fastaiLine(row, table), shown = document.createElement("code");
  shown.textContent = line;
  const copied = await navigator.clipboard.writeText(line).then(() => true, () => false);
  find("#copied").replaceChildren(copied ? "Copied: " : "Copy this: ", shown);
}

const OTHER = "#7f7f7f";
const COLUMNS = {
  error_rate: "error (%)", fit_time: "time", GPU_mem: "memory (GiB)", img_size: "image (px)", cost: "cost",
  score: "score", final_error_rate: "error, final sweep (%)",
};
const SORTED = ["model_name", "family", "error_rate", "fit_time", "GPU_mem", "img_size", "cost", "score"];

function shownNumber(column, value) {
  if (value == null) return "–";
  if (column === "img_size") return value;
  if (column.endsWith("error_rate")) return (100 * value).toFixed(2);
  return value < 0.1 ? value.toPrecision(3) : value.toFixed(column === "fit_time" && value >= 10 ? 1 : 2);
}

function cell(kind, text, className = "") {
  return Object.assign(document.createElement(kind), {textContent: text, className});
}

/** Sorts by a column; if it is so already, the other way round. */
function sortBy(column) {
  const {by, down} = form.elements;
  down.value = by.value === column && !down.value ? "1" : "";
  by.value = column;
  update();
  remember();
}

function heading(column, text, className, {by, down}) {
  const head = cell("th", "", className), sorted = by === column;
  head.scope = "col";
  if (!SORTED.includes(column)) head.textContent = text;
  else head.append(button(text, () => sortBy(column)));
  if (sorted) head.ariaSort = down ? "descending" : "ascending";
  return head;
}

/** The columns that a table has to show, with their headings. */
function columnsOf(rows, unit) {
  const title = name => COLUMNS[name] + (["fit_time", "cost"].includes(name) ? ` (${unit})` : "");
  return Object.fromEntries(Object.keys(COLUMNS).filter(name => has(rows, name)).map(name => [name, title(name)]));
}

function drawTable(ranked, table, chosen) {
  const columns = columnsOf(ranked, table.unit), name = form.elements.weights.value === "2022" ? "model_name" : "weights";
  const head = document.createElement("tr");
  head.append(cell("td", ""), heading("model_name", "model", "model", chosen), heading("family", "family", "family", chosen),
              ...Object.entries(columns).map(([column, title]) => heading(column, title, "number", chosen)));
  find("thead").replaceChildren(head);
  const rows = ranked.slice(0, chosen.top);
  find("tbody").replaceChildren(...rows.map((row, i) => {
    const line = document.createElement("tr"), model = cell("td", "", "model"), tie = nearTie(row, ranked[0], table.answers);
    const copies = button(row[name] + (row.recipe ? `, ${row.recipe}` : ""), () => copyLine(row, table));
    copies.title = fastaiLine(row, table);
    model.append(copies);
    line.append(cell("td", i + 1, "number"), model, cell("td", row.family, "family"), ...Object.keys(columns).map(column =>
      cell("td", (column === "error_rate" && tie && i ? "≈ " : "") + shownNumber(column, row[column]), "number")));
    line.dataset.model = row.model_name;
    line.classList.toggle("front", row.front && chosen.front !== "off");
    for (const kind of ["mouseenter", "focusin"]) line.addEventListener(kind, () => showInChart(row));
    for (const kind of ["mouseleave", "focusout"]) line.addEventListener(kind, () => window.Plotly?.Fx.unhover("chart"));
    return line;
  }));
  const marks = [];
  if (table.answers && ranked.length) {
    marks.push(`≈: its error could be the first's, ${shownNumber("error_rate", ranked[0].error_rate)}%, too. They differ by ` +
               `less than two standard errors of counting ${table.answers.toLocaleString("en")} answers.`);
  }
  if (chosen.front !== "off" && rows.some(row => row.front)) marks.push("Bold: on the front.");
  find("#marks").textContent = marks.join(" ");
}

/** All models that fit, as a file that this page and `bvm rank` can read. */
function downloadCSV() {
  const {ranked, table} = current, columns = columnsOf(ranked, table.unit);
  const names = ["dataset", "model_name", "weights", "family", ...Object.keys(columns)];
  const quote = value => /[",\r\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : value ?? "";
  const head = names.map(name => name === "fit_time" && table.unit === "ms" ? "ms_per_image" : name);
  const dataset = form.elements.data.value.replace(/^own:|_first$/g, "");
  const lines = [head, ...ranked.map(row => names.map(name => quote(name === "dataset" ? dataset : row[name])))];
  const file = new Blob([lines.map(line => line.join(",") + "\n").join("")], {type: "text/csv"});
  const link = Object.assign(document.createElement("a"), {href: URL.createObjectURL(file), download: `${dataset}.csv`});
  link.click();
  URL.revokeObjectURL(link.href);
}

const asText = name => name.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

const DRAWN = 2000; // more marks than that a browser draws too slowly

function drawChart(ranked, table, {front}) {
  const timed = has(ranked, "fit_time"), groups = new Map(), drawn = ranked.slice(0, DRAWN);
  drawn.forEach((row, i) => groups.set(row.family, [...groups.get(row.family) ?? [], i]));
  const marks = {type: "scatter", mode: "markers"};
  const traces = [...groups].sort((a, b) => b[1].length - a[1].length).map(([name, places]) => ({
    ...marks, name: asText(name), customdata: places,
    x: places.map(i => timed ? drawn[i].fit_time : i + 1), y: places.map(i => drawn[i].error_rate),
    text: places.map(i => asText(drawn[i].weights + (drawn[i].recipe ? `, ${drawn[i].recipe}` : ""))),
    marker: {color: COLOURS[name] ?? OTHER, size: 8},
    hovertemplate: `<b>%{text}</b><br>error %{y:.2%}<br>${timed ? "time %{x:.4g}" : "place %{x}"}<extra></extra>`,
  }));
  const final = drawn.filter(row => row.final_error_rate != null);
  if (final.length) traces.push({
    ...marks, name: "final sweep, printed", x: final.map(row => row.final_fit_time), y: final.map(row => row.final_error_rate),
    customdata: final.map(row => drawn.indexOf(row)), text: final.map(row => asText(row.weights)),
    marker: {symbol: "diamond-open", size: 9, color: final.map(row => COLOURS[row.family] ?? OTHER)},
    hovertemplate: "<b>%{text}</b><br>final sweep<br>error %{y:.2%}<br>time %{x:.4g}<extra></extra>",
  });
  const best = timed && front !== "off" ? drawn.filter(row => row.front).sort((a, b) => a.fit_time - b.fit_time) : [];
  if (best.length > 1) traces.push({
    type: "scatter", mode: "lines", name: "front", x: best.map(row => row.fit_time), y: best.map(row => row.error_rate),
    line: {color: "#444", width: 1, shape: "hv"}, hoverinfo: "skip",
  });
  const x = timed ? `time (${table.unit})` : "place in the ranking";
  const narrow = find("#chart").clientWidth < 600;
  const layout = {
    template: PLOTLY_WHITE, height: 450, margin: {l: 60, r: 10, t: 30, b: 50}, hovermode: "closest",
    showlegend: groups.size > 1 && (!narrow || groups.size <= 8), legend: narrow ? {orientation: "h", y: -0.2} : {},
    xaxis: {title: {text: x}, type: table.unit === "s" ? "linear" : "log", exponentformat: "none"},
    yaxis: {title: {text: "error rate"}, tickformat: "~%"},
  };
  Plotly.react("chart", traces, layout, {displaylogo: false});
  const words = `Error rate against ${x} of ${drawn.length} models; the table below has the best of them`;
  find("#chart").setAttribute("aria-label", words);
}

/** Opens the label of a model in the chart. */
function showInChart(row) {
  const place = current.ranked.indexOf(row), traces = find("#chart").data ?? [];
  const curveNumber = traces.findIndex(trace => trace.customdata?.includes(place));
  if (curveNumber < 0) return;
  Plotly.Fx.hover("chart", [{curveNumber, pointNumber: traces[curveNumber].customdata.indexOf(place)}]);
}

/** Marks the row of a model that is pointed at in the chart. */
function showInTable(place) {
  [...find("tbody").rows].forEach((line, i) => line.classList.toggle("lit", i === place));
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
  current = {ranked, table, chosen};
  drawTable(ranked, table, chosen);
  if (find("#chart").data) drawChart(ranked, table, chosen);
}

// Events ---------------------------------------------------------------------------------------------------------

/** Offers the tables of a file or folder and shows the first. */
function open(name, tables) {
  if (!tables.size) throw new Error("no run in it is finished and has an error_rate");
  own.clear();
  for (const [dataset, rows] of tables) own.set(dataset, rows);
  const group = Object.assign(document.createElement("optgroup"), {label: `Yours: ${name}`, id: "yours"});
  group.append(...[...own.keys()].slice(0, 100).map(dataset => new Option(dataset, `own:${dataset}`)));
  find("#yours")?.remove();
  form.elements.data.append(group);
  form.reset();
  form.elements.data.value = group.firstChild.value;
  remember();
  restore(location.hash);
}

/** Reads a dropped or chosen file; nothing of it leaves the page. */
async function readFile(file) {
  try {
    if (file.size > MAX_FILE) {
      const [size, most] = [file.size, MAX_FILE].map(bytes => Math.round(bytes / 2 ** 20));
      throw new Error(`it has ${size} MB, and this page reads up to ${most}: rank it with bvm rank ${file.name}`);
    }
    open(file.name, summarise(readRuns(await file.text())));
  } catch (error) {
    say(`${file.name}: ${error.message}`);
  }
}

async function openFolder(name, files) {
  try {
    open(name, await readFolder(files));
  } catch (error) {
    say(`${name}: ${error.message}`);
  }
}

/** The files in a dropped folder, each with its path. */
async function filesIn(folder) {
  const reader = folder.createReader(), found = [];
  for (let some; (some = await new Promise((yes, no) => reader.readEntries(yes, no))).length;) found.push(...some);
  const files = found.map(async entry => entry.isDirectory ? filesIn(entry) : [Object.assign(
    await new Promise((yes, no) => entry.file(yes, no)), {path: entry.fullPath})]);
  return (await Promise.all(files)).flat();
}

function readDropped({items, files}) {
  const folder = items[0]?.webkitGetAsEntry?.();
  if (folder?.isDirectory) filesIn(folder).then(files => openFolder(folder.name, files));
  else if (files[0]) readFile(files[0]);
}

form.addEventListener("input", event => {
  if (event.target.type === "file") return;
  if (event.target.name === "by") form.elements.down.value = "";
  say("");
  if (event.target.name === "data") form.elements.offset.value = form.elements.price.value = "";
  if (["data", "weights"].includes(event.target.name)) listFamilies(chosenFamilies());
  update();
});
form.addEventListener("change", event => {
  const {id, files} = event.target;
  if (event.target.type !== "file") remember();
  else if (files[0] && id === "folder") openFolder(files[0].webkitRelativePath.split("/")[0], [...files]);
  else if (files[0]) readFile(files[0]);
});
form.addEventListener("submit", event => event.preventDefault());
window.addEventListener("popstate", () => restore(location.hash));
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, event => {
    event.preventDefault();
    page.classList.toggle("dropping", kind === "dragover");
    if (kind === "drop") readDropped(event.dataTransfer);
  });
}
restore(location.hash);
find("#csv").onclick = downloadCSV;
new IntersectionObserver(async ([seen], watch) => {
  if (!seen.isIntersecting) return;
  watch.disconnect();
  await loadPlotly();
  const chart = find("#chart"), placeOf = ({points}) => points[0].customdata;
  drawChart(current.ranked, current.table, current.chosen);
  keepWidth(chart);
  chart.on("plotly_click", event => copyLine(current.ranked[placeOf(event)], current.table));
  chart.on("plotly_hover", event => showInTable(placeOf(event)));
  chart.on("plotly_unhover", () => showInTable(-1));
}).observe(find("#chart"));
