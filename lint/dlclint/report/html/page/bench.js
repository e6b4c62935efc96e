// The page at work: one file's findings, network and charts, side by side.

const bench = document.getElementById("bench");
const charts = document.getElementById("charts");
const files = DATA.files.map(() => null);
let current = null;

function opened(place) {
  if (!files[place]) {
    const file = decodeFile(DATA.files[place]);
    decodeCharts(file.charts);
    files[place] = file;
  }
  return files[place];
}

function keysText() {
  return "Arrow keys walk the network, Enter opens and closes a block, + and - zoom, 0 shows all. "
    + "Drag to move; once the graph has the focus, the wheel zooms.";
}

function showFile(place) {
  const file = opened(place);
  const hasNetwork = file.nodes.length > 0;
  const details = make("aside", { class: "panel details", "aria-label": "What is selected" });
  let view = null;
  let coloring = null;
  let selected = null;

  const inBlock = (id) => {
    if (id === null || !selected) return false;
    const wanted = selected.block ? selected.block.id : selected.node.block;
    for (let at = file.nodes[id].block; at >= 0; at = file.blocks[at].parent) if (at === wanted) return true;
    return false;
  };
  const list = new FindingList(file, (finding) => {
    if (finding.node !== null && view) view.reveal(file.nodes[finding.node]);
    else fillDetails({ finding });
  }, inBlock);
  const actions = {
    goNode: (node) => { if (view) view.reveal(node); },
    goBlock: (block) => {
      for (let at = block.parent; at > 0; at = file.blocks[at].parent) view.toggle(file.blocks[at], true);
      view.select({ block }, true);
    },
    goFinding: (finding) => { list.show(finding); if (finding.node !== null && view) view.reveal(file.nodes[finding.node]); },
    backTo: (finding) => list.show(finding),
  };

  function fillDetails(wanted) {
    selected = wanted && !wanted.finding ? wanted : null;
    if (list.here) list.fill();
    if (!wanted) details.replaceChildren(make("p", { class: "empty", text: hasNetwork ? `Choose a ${file.words.item} or a node.` : `Choose a ${file.words.item}.` }));
    else if (wanted.finding) details.replaceChildren(findingCard(wanted.finding, file, actions));
    else if (wanted.node) details.replaceChildren(...nodeDetails(file, wanted.node, coloring, actions));
    else details.replaceChildren(...blockDetails(file, wanted.block, view, actions));
  }

  const panels = [make("section", { class: "panel list-panel", "aria-label": file.words.title }, [make("h2", { text: file.words.title }), list.element])];
  if (hasNetwork) {
    view = new GraphView(file, fillDetails);
    const kinds = colorings(file);
    const first = file.color || kinds[0].id;
    const legend = make("ul", { class: "legend" });
    const recolor = (id) => {
      coloring = kinds.find((item) => item.id === id);
      const used = new Set(file.nodes.map(coloring.of));
      legend.replaceChildren(...coloring.classes.filter((kind) => used.has(kind.key)).map((kind) => (
        make("li", {}, [make("span", { class: `swatch ${kind.color}`, "aria-hidden": "true", text: kind.mark }), kind.label])
      )));
      view.color(coloring);
      if (selected) fillDetails(selected);
    };
    const tools = make("div", { class: "tools", role: "group", "aria-label": "Network view" }, [
      labeled("Color by", choice(kinds.map((item) => [item.id, item.label]), first, recolor)),
      legend,
      make("span", { class: "buttons" }, [
        button("\u2212", () => view.zoom(0.8), { "aria-label": "Zoom out" }),
        button("+", () => view.zoom(1.25), { "aria-label": "Zoom in" }),
        button("Fit", () => view.fit(), { "aria-label": "Fit the whole network" }),
        button("Close all", () => view.setAll(false), { "aria-label": "Close all blocks" }),
        button("Open all", () => view.setAll(true), { "aria-label": "Open all blocks" }),
      ]),
    ]);
    panels.push(make("section", { class: "panel network", "aria-label": "Network" }, [
      make("h2", { text: "Network" }), tools, view.element, make("p", { id: "graph-keys", class: "hint", text: keysText() }),
    ]));
    recolor(first);
  }
  panels.push(details);
  fillDetails(null);
  bench.className = hasNetwork ? "bench" : "bench without-network";
  bench.replaceChildren(...panels);
  bench.hidden = !hasNetwork && !file.findings.length;
  const made = chartsOf(file, (node) => { actions.goNode(node); bench.scrollIntoView({ block: "start" }); });
  charts.replaceChildren(...(made.length ? [make("h2", { text: "Charts" }), make("div", { class: "charts" }, made.map((chart) => chart.element))] : []));
  charts.hidden = !made.length;
  current = { file, view, list, charts: made, place };
}

function choose(place, focus) {
  for (const sheet of document.querySelectorAll("[data-sheet]")) sheet.hidden = Number(sheet.dataset.sheet) !== place;
  for (const link of document.querySelectorAll("[data-file]")) {
    if (Number(link.dataset.file) === place) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  showFile(place);
  if (focus) document.getElementById(`file-${place}-title`).focus();
}

for (const link of document.querySelectorAll("[data-file]")) {
  link.addEventListener("click", (event) => { event.preventDefault(); choose(Number(link.dataset.file), true); });
}
for (const made of document.querySelectorAll("[data-copy]")) {
  made.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(made.dataset.copy);
      made.textContent = "Copied";
    } catch {
      const range = document.createRange();
      range.selectNodeContents(made.previousElementSibling);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      made.textContent = "Selected";
    }
    setTimeout(() => { made.textContent = "Copy"; }, 1500);
  });
}
onColors(() => {
  if (!current) return;
  if (document.documentElement.classList.contains("paper")) current.list.openAll();
  if (current.view) { current.view.waiting = false; current.view.paint(); }
  for (const chart of current.charts) chart.paint();
});
if (DATA.files.length) choose(0, false);
document.documentElement.dataset.ready = "true";
