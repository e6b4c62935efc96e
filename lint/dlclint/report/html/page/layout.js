// Where everything stands. Each open block is laid out by itself (dagre) and takes part as one box in the
// layout of the block around it, so that opening one lays out that one and those around it, whatever the
// size of the network.

const HEAD = 26;
const PAD = 14;
const FONT = "12px system-ui, sans-serif";
const BOLD = "600 12px system-ui, sans-serif";
const SMALL = "10.5px system-ui, sans-serif";

const measuring = document.createElement("canvas").getContext("2d");
const widths = new Map();

function widthOf(text, font) {
  const key = font + text;
  if (!widths.has(key)) {
    measuring.font = font;
    widths.set(key, measuring.measureText(text).width);
  }
  return widths.get(key);
}

// The text, cut in the middle where it is wider than it may be.
function fitted(text, font, most) {
  if (widthOf(text, font) <= most) return text;
  let size = Math.max(1, Math.floor(text.length * most / widthOf(text, font)) - 1);
  while (size > 1 && widthOf(shortened(text, size), font) > most) size -= 1;
  return shortened(text, size);
}

function shortened(text, size) {
  const head = Math.ceil(size / 2);
  return `${text.slice(0, head)}\u2026${text.slice(text.length - (size - head))}`;
}

class Layout {
  constructor(file) {
    this.file = file;
    this.made = new Map();
    // For each block: edges among its members, and those that come from and go to what is around it.
    this.edges = file.blocks.map(() => new Map());
    for (const node of file.nodes) for (const source of node.sources) this.addEdge(file.nodes[source], node);
    if (file.blocks.length) this.openFirst();
  }

  chain(node) {
    const found = [];
    for (let at = node.block; at >= 0; at = this.file.blocks[at].parent) found.push(at);
    return found.reverse();
  }

  addEdge(source, node) {
    const one = [...this.chain(source).map((id) => `b${id}`), `n${source.id}`];
    const other = [...this.chain(node).map((id) => `b${id}`), `n${node.id}`];
    let depth = 0;
    while (one[depth] === other[depth] && depth < one.length) depth += 1;
    if (depth === 0 || depth >= one.length || depth >= other.length) return;
    this.count(one[depth - 1], one[depth], other[depth]);
    for (let at = depth + 1; at < one.length; at += 1) this.count(one[at - 1], one[at], "out");
    for (let at = depth + 1; at < other.length; at += 1) this.count(other[at - 1], "in", other[at]);
  }

  count(block, from, to) {
    const edges = this.edges[Number(block.slice(1))];
    const key = `${from}>${to}`;
    edges.set(key, (edges.get(key) || 0) + 1);
  }

  // What a reader sees first: as deep as there is room for.
  openFirst() {
    const { blocks } = this.file;
    blocks[0].open = true;
    let shown = blocks[0].blocks.length + blocks[0].nodes.length;
    let pending = [...blocks[0].blocks];
    while (pending.length) {
      const next = [];
      for (const block of pending) {
        const more = block.blocks.length + block.nodes.length - 1;
        if (shown + more > 36) continue;
        block.open = true;
        shown += more;
        next.push(...block.blocks);
      }
      pending = next;
    }
  }

  // A block was opened or closed: it and those around it are laid out anew.
  changed(block) {
    for (let at = block.id; at >= 0; at = this.file.blocks[at].parent) this.made.delete(at);
  }

  all() {
    this.made.clear();
  }

  of(block) {
    if (!this.made.has(block.id)) this.made.set(block.id, this.lay(block));
    return this.made.get(block.id);
  }

  lay(block) {
    const items = new Map();
    for (const child of block.blocks) {
      const inner = child.open ? this.of(child) : null;
      const title = widthOf(child.name, BOLD) + 46;
      const width = inner ? Math.max(inner.width + 2 * PAD, Math.min(title, 260)) : Math.min(Math.max(title, 120), 240);
      const height = inner ? inner.height + HEAD + PAD : 50;
      items.set(`b${child.id}`, { block: child, width, height, inner });
    }
    for (const node of block.nodes) {
      const wide = Math.max(widthOf(node.index === null ? node.title : node.op, BOLD) + 44, widthOf(node.type, SMALL) + 30);
      items.set(`n${node.id}`, { node, width: Math.min(Math.max(wide, 84), 210), height: 38 });
    }
    const graph = new dagre.graphlib.Graph();
    graph.setGraph({ rankdir: "TB", nodesep: 18, edgesep: 8, ranksep: 26, marginx: 4, marginy: 6 });
    graph.setDefaultEdgeLabel(() => ({}));
    for (const [id, item] of items) graph.setNode(id, { width: item.width, height: item.height });
    for (const key of this.edges[block.id].keys()) {
      const [from, to] = key.split(">");
      for (const end of [from, to]) if (!items.has(end)) graph.setNode(end, { width: 1, height: 1 });
      graph.setEdge(from, to);
    }
    dagre.layout(graph);
    for (const [id, item] of items) {
      const { x, y } = graph.node(id);
      item.x = x - item.width / 2;
      item.y = y - item.height / 2;
    }
    const edges = graph.edges().map((edge) => (
      { points: graph.edge(edge).points, outer: !items.has(edge.v) || !items.has(edge.w), from: edge.v, to: edge.w }
    ));
    const { width, height } = graph.graph();
    const list = [...items.values()].sort((a, b) => a.y - b.y || a.x - b.x);
    return { width: Number.isFinite(width) ? width : 100, height: Number.isFinite(height) ? height : 40, items: list, edges };
  }
}
