// What is selected: the node with its surroundings and its findings, or the block with what it holds.

function described(rows) {
  const list = make("dl", { class: "facts" });
  for (const [label, value] of rows) {
    if (value === "" || value === null || value === undefined) continue;
    list.append(make("dt", { text: label }), make("dd", {}, value instanceof Node ? [value] : [String(value)]));
  }
  return list;
}

function nodeLinks(file, ids, go) {
  if (!ids.length) return "";
  const list = make("ul", { class: "links" });
  for (const id of ids.slice(0, 12)) {
    const node = file.nodes[id];
    list.append(make("li", {}, [button(`${node.op} ${node.title}`, () => go(node))]));
  }
  if (ids.length > 12) list.append(make("li", { text: `and ${ids.length - 12} more` }));
  return list;
}

function path(file, blockId, choose) {
  const list = make("ol", { class: "path" });
  const chain = [];
  for (let at = blockId; at > 0; at = file.blocks[at].parent) chain.unshift(file.blocks[at]);
  for (const block of chain) list.append(make("li", {}, [button(block.name, () => choose(block))]));
  return chain.length ? list : "";
}

function findingCard(finding, file, actions) {
  const card = make("article", { class: `card-finding ${finding.severity}` }, [
    make("h4", {}, [make("span", { class: `dot ${finding.severity}`, "aria-hidden": "true" }), finding.rule]),
    make("p", { text: finding.message }),
  ]);
  if (finding.help) card.append(make("p", { class: "help", text: finding.help }));
  if (finding.fix) card.append(make("p", { class: "help", text: `dlclint fix: ${finding.fix}` }));
  for (const other of finding.related) {
    const line = make("p", { class: "related" });
    if (other.node === null) line.textContent = other.what;
    else line.append(button(other.what, () => actions.goNode(file.nodes[other.node])));
    card.append(line);
  }
  if (finding.cause !== null) {
    const cause = file.findings[finding.cause];
    card.append(make("p", { class: "related" }, [button(`follows from ${cause.rule}: ${cause.message}`, () => actions.goFinding(cause))]));
  }
  if (finding.source) card.append(make("p", { class: "source", text: finding.source }));
  card.append(make("p", {}, [button("Show in the list", () => actions.backTo(finding), { class: "back" })]));
  return card;
}

function nodeDetails(file, node, coloring, actions) {
  const kind = coloring.classes.find((item) => item.key === coloring.of(node));
  const weight = (file.charts.weights || []).find((row) => row.node === node.id);
  const layers = measured(file);
  const layer = layers.find((row) => row.node === node.id);
  const made = [
    make("h3", { text: node.op }),
    make("p", { class: "name", text: node.title }),
    described([
      ["Block", path(file, node.block, actions.goBlock)],
      [coloring.label, kind.label],
      ["Graph", node.graph],
      ["Index", node.index],
      ["Type", node.type],
      ["Precision", node.precision],
      ["Attributes", node.attributes],
      ["Makes", node.outputs.join(", ")],
      ["Weight", weight && `${weight.name}: ${number(weight.low)} to ${number(weight.high)}, SQNR ${number(weight.perTensor)} dB per tensor, ${number(weight.perChannel)} dB per channel at ${file.charts.bits} bits`],
      ["Error", layer && layerText(layer)],
      ["Reads", nodeLinks(file, node.sources, actions.goNode)],
      ["Read by", nodeLinks(file, node.readers, actions.goNode)],
    ]),
  ];
  if (node.findings.length) made.push(make("h3", { text: counted(node.findings.length, file.words.item) }));
  made.push(...node.findings.map((finding) => findingCard(finding, file, actions)));
  return made;
}

function blockDetails(file, block, view, actions) {
  const ops = new Map();
  const counts = new Map();
  const walk = (inner) => {
    for (const node of inner.nodes) {
      ops.set(node.op, (ops.get(node.op) || 0) + 1);
      for (const finding of node.findings) counts.set(finding.rule, (counts.get(finding.rule) || 0) + 1);
    }
    inner.blocks.forEach(walk);
  };
  walk(block);
  const ranked = (map) => [...map].sort((a, b) => b[1] - a[1]).slice(0, 12).map(([name, count]) => `${name} \u00d7 ${count}`).join(", ");
  return [
    make("h3", { text: block.name || "The whole model" }),
    described([
      ["In", path(file, block.parent, actions.goBlock)],
      ["Nodes", block.count.toLocaleString("en")],
      ["Ops", ranked(ops)],
      [file.words.title, ranked(counts) || "none"],
    ]),
    make("p", {}, [button(block.open ? "Close the block" : "Open the block", () => { view.toggle(block); view.select({ block }); })]),
  ];
}

function number(value) {
  return typeof value === "number" ? String(Number(value.toPrecision(3))) : value || "exact";
}
