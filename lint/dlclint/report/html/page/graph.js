// The network on a canvas: drawn, moved, and walked by mouse and keyboard.

class GraphView {
  constructor(file, onSelect) {
    this.file = file;
    this.layout = new Layout(file);
    this.onSelect = onSelect;
    this.scale = 1;
    this.x = 0;
    this.y = 0;
    this.selected = null; // { node } or { block }
    this.shares = new Map();
    const about = `Network of ${counted(file.nodes.length, "node")} in ${counted(file.blocks.length, "block")}`;
    this.canvas = make("canvas", {
      tabindex: "0", role: "application", "aria-roledescription": "network graph", "aria-label": about,
      "aria-describedby": "graph-keys",
    });
    this.said = make("p", { class: "hidden", "aria-live": "polite" });
    this.element = make("div", { class: "stage" }, [this.canvas, this.said]);
    this.listen();
    new ResizeObserver(() => { this.resize(); }).observe(this.element);
  }

  color(coloring) {
    this.coloring = coloring;
    this.classes = new Map(coloring.classes.map((item) => [item.key, item]));
    this.shares.clear();
    this.draw();
  }

  // How many nodes of a block are of each class.
  share(block) {
    if (!this.shares.has(block.id)) {
      const counts = new Map();
      for (const node of block.nodes) {
        const key = this.coloring.of(node);
        counts.set(key, (counts.get(key) || 0) + 1);
      }
      for (const child of block.blocks) {
        for (const [key, count] of this.share(child)) counts.set(key, (counts.get(key) || 0) + count);
      }
      this.shares.set(block.id, counts);
    }
    return this.shares.get(block.id);
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.element;
    if (!width || !height) return;
    const ratio = devicePixelRatio || 1;
    const first = !this.width;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.width = width;
    this.height = height;
    if (first) this.fit(true);
    else this.draw();
  }

  whole() {
    return this.layout.of(this.file.blocks[0]);
  }

  // All of it, however small; at first as much as can be read, from its beginning.
  fit(readable = false) {
    const whole = this.whole();
    const wide = this.width / (whole.width + 24);
    const all = Math.min(wide, this.height / (whole.height + 24), 1.15);
    this.scale = readable ? Math.min(Math.max(all, Math.min(wide, 0.9), 0.45), 1.15) : Math.max(all, 0.02);
    this.x = (this.width - whole.width * this.scale) / 2;
    this.y = whole.height * this.scale < this.height ? (this.height - whole.height * this.scale) / 2 : 12;
    this.draw();
  }

  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const scale = Math.min(Math.max(this.scale * factor, 0.02), 4);
    this.x = x - (x - this.x) * scale / this.scale;
    this.y = y - (y - this.y) * scale / this.scale;
    this.scale = scale;
    this.draw();
  }

  // Everything that is to be seen, with its place: the outer before the inner, in the order of the network.
  * boxes(block = this.file.blocks[0], x = 0, y = 0) {
    for (const item of this.layout.of(block).items) {
      const box = { item, x: x + item.x, y: y + item.y, width: item.width, height: item.height, parent: block };
      yield box;
      if (item.inner) yield* this.boxes(item.block, box.x + (item.width - item.inner.width) / 2, box.y + HEAD);
    }
  }

  boxOf(wanted) {
    for (const box of this.boxes()) if (this.isThis(box.item, wanted)) return box;
    return null;
  }

  isThis(item, wanted) {
    return wanted !== null && (item.node ? item.node === wanted.node : item.block === wanted.block);
  }

  at(x, y) {
    let found = null;
    const inX = (x - this.x) / this.scale;
    const inY = (y - this.y) / this.scale;
    for (const box of this.boxes()) {
      if (inX >= box.x && inX <= box.x + box.width && inY >= box.y && inY <= box.y + box.height) found = box;
    }
    return found && { ...found, onHead: inY <= found.y + HEAD };
  }

  toggle(block, open = !block.open) {
    if (block.open === open || block.id === 0) return;
    const before = this.boxOf({ block });
    block.open = open;
    this.layout.changed(block);
    const after = this.boxOf({ block });
    if (before && after) {
      this.x += (before.x + before.width / 2 - after.x - after.width / 2) * this.scale;
      this.y += (before.y - after.y) * this.scale;
    }
    this.draw();
    this.say({ block });
  }

  setAll(open) {
    for (const block of this.file.blocks) block.open = open || block.id === 0;
    this.layout.all();
    this.fit(true);
  }

  select(wanted, center = false) {
    this.selected = wanted;
    if (center && wanted) this.center(wanted);
    this.draw();
    this.say(wanted);
    this.onSelect(wanted);
  }

  // Opens what a node lies in, and brings it into view.
  reveal(node) {
    for (let at = node.block; at > 0; at = this.file.blocks[at].parent) {
      const block = this.file.blocks[at];
      if (!block.open) { block.open = true; this.layout.changed(block); }
    }
    this.select({ node }, true);
  }

  center(wanted) {
    const box = this.boxOf(wanted);
    if (!box || !this.width) return;
    this.scale = Math.max(this.scale, 0.9);
    this.x = this.width / 2 - (box.x + box.width / 2) * this.scale;
    const tall = box.height * this.scale > this.height * 0.8;
    this.y = tall ? 20 - box.y * this.scale : this.height / 2 - (box.y + box.height / 2) * this.scale;
  }

  say(wanted) {
    if (!wanted) return;
    const { node, block } = wanted;
    const found = node && node.findings.length ? `, ${counted(node.findings.length, this.file.words.item)}` : "";
    const label = node && this.coloring ? this.classes.get(this.coloring.of(node)).label : "";
    this.said.textContent = node
      ? `${node.op} ${node.title}, ${label}${found}`
      : `Block ${block.name || "model"}, ${counted(block.count, "node")}, ${block.open ? "open" : "closed"}`;
  }

  listen() {
    const { canvas } = this;
    const fingers = new Map();
    let moved = 0;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, [event.offsetX, event.offsetY]);
      moved = 0;
    });
    canvas.addEventListener("pointermove", (event) => {
      const last = fingers.get(event.pointerId);
      if (!last) return;
      const here = [event.offsetX, event.offsetY];
      if (fingers.size === 2) {
        const [other] = [...fingers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
        const before = Math.hypot(last[0] - other[0], last[1] - other[1]);
        const after = Math.hypot(here[0] - other[0], here[1] - other[1]);
        if (before > 0) this.zoom(after / before, other[0], other[1]);
      } else {
        this.x += here[0] - last[0];
        this.y += here[1] - last[1];
        this.draw();
      }
      moved += Math.abs(here[0] - last[0]) + Math.abs(here[1] - last[1]);
      fingers.set(event.pointerId, here);
    });
    canvas.addEventListener("pointerup", (event) => {
      fingers.delete(event.pointerId);
      if (moved > 4) return;
      const box = this.at(event.offsetX, event.offsetY);
      if (!box) return;
      if (box.item.block && (box.onHead || !box.item.inner)) this.toggle(box.item.block);
      this.select(box.item.node ? { node: box.item.node } : { block: box.item.block });
    });
    canvas.addEventListener("pointercancel", (event) => fingers.delete(event.pointerId));
    canvas.addEventListener("wheel", (event) => {
      // The page scrolls on over a graph that nobody works with.
      if (document.activeElement !== canvas && !event.ctrlKey) return;
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)), event.offsetX, event.offsetY);
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      if (event.altKey || event.metaKey || event.ctrlKey || !this.press(event.key)) return;
      event.preventDefault();
    });
  }

  press(key) {
    const block = this.selected && this.selected.block;
    if (key === "+" || key === "=") this.zoom(1.25);
    else if (key === "-") this.zoom(0.8);
    else if (key === "0") this.fit();
    else if (key === "ArrowDown" || key === "ArrowUp") this.step(key === "ArrowDown" ? 1 : -1);
    else if (key === "Home" || key === "End") this.end(key === "Home");
    else if (key === "Enter" || key === " ") {
      if (block) this.toggle(block);
    } else if (key === "ArrowRight" && block && !block.open) this.toggle(block, true);
    else if (key === "ArrowRight") this.step(1);
    else if (key === "ArrowLeft" && block && block.open) this.toggle(block, false);
    else if (key === "ArrowLeft") this.out();
    else return false;
    return true;
  }

  step(by) {
    const boxes = [...this.boxes()];
    const place = boxes.findIndex((box) => this.isThis(box.item, this.selected));
    const next = boxes[place < 0 ? 0 : Math.min(Math.max(place + by, 0), boxes.length - 1)];
    if (next) this.select(next.item.node ? { node: next.item.node } : { block: next.item.block }, true);
  }

  end(first) {
    const boxes = [...this.boxes()];
    const box = boxes[first ? 0 : boxes.length - 1];
    if (box) this.select(box.item.node ? { node: box.item.node } : { block: box.item.block }, true);
  }

  out() {
    if (!this.selected) return;
    const parent = this.selected.node ? this.selected.node.block : this.selected.block.parent;
    if (parent > 0) this.select({ block: this.file.blocks[parent] }, true);
  }

  draw() {
    if (!this.width || !this.coloring || this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.paint(); });
  }

  paint() {
    const context = this.canvas.getContext("2d");
    const ratio = this.canvas.width / this.width;
    this.pick = colors();
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = this.pick("stage");
    context.fillRect(0, 0, this.width, this.height);
    context.translate(this.x, this.y);
    context.scale(this.scale, this.scale);
    this.seen = {
      left: -this.x / this.scale, top: -this.y / this.scale,
      right: (this.width - this.x) / this.scale, bottom: (this.height - this.y) / this.scale,
    };
    this.paintBlock(context, this.file.blocks[0], 0, 0);
    this.canvas.dataset.painted = String(Number(this.canvas.dataset.painted || 0) + 1);
  }

  isSeen(x, y, width, height) {
    const { left, top, right, bottom } = this.seen;
    return x < right && y < bottom && x + width > left && y + height > top;
  }

  paintBlock(context, block, x, y) {
    const made = this.layout.of(block);
    const near = this.selected && this.selected.node ? `n${this.selected.node.id}` : "";
    for (const edge of made.edges) {
      if (!this.isSeen(x, y, made.width, made.height)) break;
      const strong = near && (edge.from === near || edge.to === near);
      context.strokeStyle = this.pick(strong ? "accent" : "edge");
      context.lineWidth = strong ? 2 : 1;
      context.setLineDash(edge.outer ? [2, 3] : []);
      this.paintEdge(context, edge, x, y);
    }
    context.setLineDash([]);
    for (const item of made.items) {
      const left = x + item.x;
      const top = y + item.y;
      if (!this.isSeen(left, top, item.width, item.height)) continue;
      if (item.node) this.paintNode(context, item, left, top);
      else this.paintBox(context, item, left, top);
    }
  }

  paintEdge(context, edge, x, y) {
    const points = edge.points;
    context.beginPath();
    context.moveTo(x + points[0].x, y + points[0].y);
    for (let place = 1; place < points.length - 1; place += 1) {
      const next = points[place + 1];
      const middle = place === points.length - 2 ? next : { x: (points[place].x + next.x) / 2, y: (points[place].y + next.y) / 2 };
      context.quadraticCurveTo(x + points[place].x, y + points[place].y, x + middle.x, y + middle.y);
    }
    const last = points[points.length - 1];
    if (points.length === 2) context.lineTo(x + last.x, y + last.y);
    context.stroke();
    if (edge.outer || this.scale < 0.3) return;
    context.fillStyle = context.strokeStyle;
    context.beginPath();
    context.moveTo(x + last.x, y + last.y);
    context.lineTo(x + last.x - 3.5, y + last.y - 6);
    context.lineTo(x + last.x + 3.5, y + last.y - 6);
    context.fill();
  }

  outline(context, item, x, y, radius, wanted) {
    const chosen = this.isThis(item, wanted);
    context.beginPath();
    context.roundRect(x, y, item.width, item.height, radius);
    context.fill();
    context.strokeStyle = this.pick(chosen ? "accent" : "line");
    context.lineWidth = chosen ? 3 / Math.min(this.scale, 1) : 1;
    context.stroke();
  }

  paintNode(context, item, x, y) {
    const { node } = item;
    const kind = this.classes.get(this.coloring.of(node));
    const isEnd = node.index === null;
    context.fillStyle = this.pick("paper");
    this.outline(context, item, x, y, isEnd ? 19 : 5, this.selected);
    context.fillStyle = this.pick(kind.color);
    context.beginPath();
    context.roundRect(x, y, 6, item.height, [5, 0, 0, 5]);
    if (!isEnd) context.fill();
    if (this.scale < 0.32) return;
    context.textBaseline = "alphabetic";
    context.textAlign = "left";
    context.fillStyle = this.pick("ink");
    context.font = BOLD;
    context.fillText(fitted(isEnd ? node.title : node.op, BOLD, item.width - 32), x + 14, y + 16);
    context.fillStyle = this.pick("faint");
    context.font = SMALL;
    context.fillText(fitted(node.type || node.title, SMALL, item.width - 22), x + 14, y + 30);
    if (kind.mark) this.paintMark(context, kind, x + item.width - 12, y + 12);
  }

  paintMark(context, kind, x, y) {
    context.fillStyle = this.pick(kind.color);
    context.beginPath();
    context.arc(x, y, 7, 0, 2 * Math.PI);
    context.fill();
    context.fillStyle = this.pick("paper");
    context.font = "700 10px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(kind.mark, x, y + 0.5);
    context.textAlign = "left";
    context.textBaseline = "alphabetic";
  }

  paintBox(context, item, x, y) {
    const { block } = item;
    context.fillStyle = this.pick(item.inner ? "block" : "paper");
    this.outline(context, item, x, y, 8, this.selected);
    if (this.scale >= 0.18) {
      context.fillStyle = this.pick("ink");
      context.font = BOLD;
      context.fillText(`${block.open ? "\u2212" : "+"}  ${fitted(block.name, BOLD, item.width - 42)}`, x + 10, y + 18);
      context.fillStyle = this.pick("faint");
      context.font = SMALL;
      if (!item.inner) context.fillText(counted(block.count, "node"), x + 26, y + 33);
    }
    this.paintShares(context, item, x, y);
    if (item.inner) this.paintBlock(context, block, x + (item.width - item.inner.width) / 2, y + HEAD);
  }

  // A bar of the block's classes, the worst first, and the mark of the worst.
  paintShares(context, item, x, y) {
    if (item.inner) return;
    const shares = this.share(item.block);
    const width = item.width - 20;
    let left = x + 10;
    let marked = false;
    const order = this.coloring.id.startsWith("runtime") ? ["x", "n", "u", "y", "-"] : this.coloring.classes.map((kind) => kind.key);
    for (const key of order) {
      const count = shares.get(key) || 0;
      if (!count) continue;
      const kind = this.classes.get(key);
      const part = Math.max(width * count / item.block.count, 2);
      context.fillStyle = this.pick(kind.color);
      context.fillRect(left, y + item.height - 10, Math.min(part, x + 10 + width - left), 4);
      left += part;
      if (kind.mark && !marked && this.scale >= 0.32) this.paintMark(context, kind, x + item.width - 14, y + 14);
      marked = true;
    }
  }
}
