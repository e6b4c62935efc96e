// Figures by layer, in the order of the network: a chart (uPlot), what is under the pointer in words, and the
// same as a table.

const HEIGHT = 190;
const MOST_ROWS = 1000;

function decodeCharts(charts) {
  const fields = ["node", "name", "low", "high", "perTensor", "perChannel"];
  charts.weights = (charts.weights || []).map((row) => decoded(row, fields)).map((row) => ({ ...row, name: textOf(row.name) }));
  charts.weights.sort((a, b) => a.node - b.node);
  const layers = ["node", "name", "bits", "alone", "arrived", "low", "high", "causes"];
  charts.engines = charts.engines || [];
  for (const engine of charts.engines) {
    engine.layers = engine.layers.map((row) => decoded(row, layers));
    for (const row of engine.layers) { row.name = textOf(row.name); row.causes = row.causes.map(textOf); }
    engine.layers.sort((a, b) => (a.node ?? 1e9) - (b.node ?? 1e9));
  }
  charts.cuts = charts.cuts || [];
  return charts;
}

// The layers as the first engine measured them.
function measured(file) {
  return file.charts.engines && file.charts.engines.length ? file.charts.engines[0].layers : [];
}

// An SQNR in words: a number, or "exact" where nothing differs and "lost" where nothing is left.
function sqnrText(value) {
  return typeof value === "number" ? `${Number(value.toPrecision(4))} dB` : value;
}

function finite(value) {
  return typeof value === "number" ? value : null;
}

function layerText(row) {
  const parts = [`arrived ${sqnrText(row.arrived)}`];
  if (row.alone !== null) parts.unshift(`alone ${sqnrText(row.alone)}`);
  parts.push(row.bits === null ? "in float" : `${row.bits} bits`, ...row.causes);
  return parts.join("; ");
}

class Chart {
  // series: { label, color, values, points, step }; rows: what the table and the words show.
  constructor(settings) {
    this.settings = settings;
    this.host = make("div", { class: "plot" });
    this.words = make("p", { class: "reading", "aria-live": "off", text: settings.hint });
    const legend = make("ul", { class: "legend" }, settings.series.map((item) => (
      make("li", {}, [make("span", { class: `swatch ${item.color}`, "aria-hidden": "true" }), item.label])
    )));
    this.element = make("figure", { class: "chart", "data-chart": settings.id }, [
      make("figcaption", {}, [make("h3", { text: settings.title }), make("p", { text: settings.about })]),
      legend, this.host, this.words, this.table(),
    ]);
    new ResizeObserver(() => this.resize()).observe(this.host);
  }

  table() {
    const { head, rows, onPick } = this.settings;
    const body = make("tbody");
    const made = make("details", { class: "values" }, [make("summary", { text: "The values as a table" })]);
    const scroll = make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${this.settings.title}: values` }, [
      make("table", {}, [make("thead", {}, [make("tr", {}, head.map((text) => make("th", { scope: "col", text })))]), body]),
    ]);
    made.append(scroll);
    made.addEventListener("toggle", () => {
      if (!made.open || body.childElementCount) return;
      rows.slice(0, MOST_ROWS).forEach((row, place) => {
        const cells = row.map((text, column) => make("td", {}, column || !onPick ? [text] : [button(text, () => onPick(place))]));
        body.append(make("tr", {}, cells));
      });
      if (rows.length > MOST_ROWS) scroll.append(make("p", { text: `and ${rows.length - MOST_ROWS} more` }));
    });
    return made;
  }

  resize() {
    const width = Math.floor(this.host.clientWidth);
    if (!width) return;
    if (this.plot) this.plot.setSize({ width, height: HEIGHT });
    else this.paint();
  }

  paint() {
    const width = Math.floor(this.host.clientWidth);
    if (!width) return;
    if (this.plot) this.plot.destroy();
    const { series, unit, bars, onPick, rows } = this.settings;
    const pick = colors();
    const axis = { stroke: pick("faint"), grid: { stroke: pick("grid"), width: 1 }, ticks: { stroke: pick("grid") }, font: SMALL };
    const count = series[0].values.length;
    const made = series.map((item) => ({
      label: item.label, stroke: pick(item.color), width: bars ? 0 : 1.5, spanGaps: false,
      fill: bars ? pick(item.color) : undefined,
      paths: bars ? uPlot.paths.bars({ size: [0.8, 40] }) : this.settings.stepped ? uPlot.paths.stepped({ align: 1 }) : undefined,
      points: { show: !bars && count < 120, size: 4 },
    }));
    const x = [...Array(count).keys()];
    this.plot = new uPlot({
      width, height: HEIGHT, legend: { show: false }, cursor: { y: false, drag: { x: true, y: false } },
      scales: { x: { time: false, range: bars ? (_, low, high) => [low - 0.6, high + 0.6] : undefined } },
      axes: [{ ...axis, size: 28, values: (_, places) => places.map((place) => (Number.isInteger(place) ? String(place + 1) : "")) },
        { ...axis, size: 62, values: (_, ticks) => ticks.map((tick) => unit(tick)) }],
      series: [{}, ...made],
      bands: this.settings.band ? [{ series: [2, 1], fill: pick("band") }] : undefined,
      hooks: {
        setCursor: [(plot) => {
          const place = plot.cursor.idx;
          this.words.textContent = place === null || place === undefined ? this.settings.hint : rows[place].filter(Boolean).join(" \u00b7 ");
        }],
        ready: [(plot) => {
          plot.over.addEventListener("click", () => {
            const place = plot.cursor.idx;
            if (onPick && place !== null && place !== undefined) onPick(place);
          });
        }],
      },
    }, [x, ...series.map((item) => item.values)], this.host);
  }
}

function chartsOf(file, goNode) {
  const { weights, engines, cuts, bits } = file.charts;
  const made = [];
  const decibels = (value) => `${Number(value.toPrecision(4))} dB`;
  const plain = (value) => String(Number(value.toPrecision(4)));
  const name = (row) => (row.node === null ? row.name : file.nodes[row.node] ? `${file.nodes[row.node].op} ${file.nodes[row.node].title}` : row.name);
  const hint = "Point at the chart to read a layer; click to show it in the network; drag to look closer, and double-click to see all.";
  const goes = (rows) => (file.nodes.length ? (place) => rows[place].node !== null && goNode(file.nodes[rows[place].node]) : null);
  for (const { engine, layers } of engines) {
    const alone = layers.some((row) => row.alone !== null);
    made.push(new Chart({
      id: "error", title: `Error of each layer, ${engine}`, hint, unit: decibels, onPick: goes(layers),
      about: "SQNR of what each layer makes, by itself on float inputs and as it arrives through all before it. More is better.",
      series: [
        ...(alone ? [{ label: "alone", color: "series-1", values: layers.map((row) => finite(row.alone)) }] : []),
        { label: "arrived", color: "series-2", values: layers.map((row) => finite(row.arrived)) },
      ],
      head: ["layer", "bits", ...(alone ? ["alone"] : []), "arrived", "range", "why"],
      rows: layers.map((row) => [
        name(row), row.bits === null ? "float" : `${row.bits} bits`, ...(alone ? [`alone ${sqnrText(row.alone)}`] : []),
        `arrived ${sqnrText(row.arrived)}`, `${plain(row.low)} to ${plain(row.high)}`, row.causes.join("; "),
      ]),
    }));
  }
  if (weights.length) {
    const rows = weights.map((row) => [name(row), `${plain(row.low)} to ${plain(row.high)}`, `per tensor ${number(row.perTensor)} dB`, `per channel ${number(row.perChannel)} dB`]);
    const head = ["layer", "range", "per tensor", "per channel"];
    made.push(new Chart({
      id: "ranges", title: "Weight ranges", hint, unit: plain, onPick: goes(weights), band: true,
      about: "Smallest and largest weight of each layer, batch normalization folded in.",
      series: [
        { label: "largest", color: "series-1", values: weights.map((row) => row.high) },
        { label: "smallest", color: "series-2", values: weights.map((row) => row.low) },
      ],
      stepped: true, head, rows,
    }));
    made.push(new Chart({
      id: "sqnr", title: `Weights at ${bits} bits`, hint, unit: decibels, onPick: goes(weights),
      about: "Predicted SQNR of each layer's weights, with one grid for the tensor and with one for each channel. More is better.",
      series: [
        { label: "per channel", color: "series-1", values: weights.map((row) => row.perChannel) },
        { label: "per tensor", color: "series-2", values: weights.map((row) => row.perTensor) },
      ],
      head, rows,
    }));
  }
  for (const item of cuts) {
    const ends = item.borders.map((border, place) => [textOf(item.firsts[place]), textOf(item.firsts[place + 1])]);
    const found = ends.map(([, to]) => file.nodes.find((node) => node.title === to || `${node.op}#${node.index}` === to));
    made.push(new Chart({
      id: "cuts", title: `Bytes across cuts, ${item.runtime}`, unit: bytesText, bars: true,
      hint: "Point at a cut to read it; click to show where it is.",
      about: `${counted(item.borders.length, "time")} execution changes between ${item.runtime} and the CPU; what has to be handed over each time.`,
      series: [{ label: "bytes", color: "series-1", values: item.borders.map((border) => border[0]) }],
      onPick: (place) => found[place] && goNode(found[place]),
      head: ["before", "bytes", "tensors"],
      rows: item.borders.map(([bytes, tensors, unknown], place) => [
        ends[place][1], bytesText(bytes), counted(tensors, "tensor") + (unknown ? `, ${unknown} of unknown size` : ""),
      ]),
    }));
  }
  return made;
}
