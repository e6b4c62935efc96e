// The list of findings: grouped by what they stop or cost and by rule, filtered by rule, severity and place.

const FIRST = 25;

class FindingList {
  constructor(file, onPick, inBlock) {
    this.file = file;
    this.onPick = onPick;
    this.inBlock = inBlock; // whether a node lies in the block that is selected, if one is
    this.rule = "";
    this.place = "";
    this.severities = new Set(SEVERITIES);
    this.here = false;
    this.chosen = null;
    this.opened = new Set();
    this.shown = new Map();
    this.count = make("p", { class: "count", role: "status" });
    this.list = make("div", { class: "list" });
    this.element = make("div", { class: "findings" }, [this.filters(), this.count, this.list]);
    const first = file.findings[0];
    if (first) this.opened.add(groupOf(first));
    this.fill();
  }

  filters() {
    const rules = [...new Set(this.file.findings.map((item) => item.rule))].sort();
    const { words } = this.file;
    const options = [["", `every ${words.rule}`], ...rules.map((rule) => [rule, rule])];
    const rule = choice(options, "", (value) => { this.rule = value; this.fill(); });
    const place = make("input", {
      type: "search", placeholder: "node, tensor or words", autocomplete: "off", spellcheck: "false",
      oninput: () => { this.place = place.value.trim().toLowerCase(); this.fill(); },
    });
    const boxes = SEVERITIES.map((severity) => {
      const found = this.file.findings.filter((item) => item.severity === severity).length;
      const box = make("input", {
        type: "checkbox", checked: true,
        onchange: () => { this.severities[box.checked ? "add" : "delete"](severity); this.fill(); },
      });
      const level = words.levels[severity];
      const label = words.counts ? counted(found, level) : `${level} (${found})`;
      return make("label", { class: `severity ${severity}` }, [box, make("span", { text: label })]);
    });
    const here = make("input", { type: "checkbox", onchange: () => { this.here = here.checked; this.fill(); } });
    const within = make("label", { class: "severity" }, [here, make("span", { text: "in the selected block" })]);
    return make("form", { class: "filters", role: "search", "aria-label": `Filter ${words.title.toLowerCase()}`, onsubmit: (event) => event.preventDefault() }, [
      labeled(words.rule[0].toUpperCase() + words.rule.slice(1), rule), labeled("Place", place),
      make("fieldset", {}, [make("legend", { class: "hidden", text: "Severity" }), ...boxes, ...(this.file.nodes.length ? [within] : [])]),
    ]);
  }

  keeps(item) {
    if (this.rule && item.rule !== this.rule) return false;
    if (!this.severities.has(item.severity)) return false;
    if (this.here && !this.inBlock(item.node)) return false;
    return !this.place || `${item.place}\n${item.message}`.toLowerCase().includes(this.place);
  }

  fill() {
    const kept = this.file.findings.filter((item) => this.keeps(item));
    const all = this.file.findings.length;
    this.count.textContent = kept.length === all ? counted(all, this.file.words.item) : `${kept.length} of ${counted(all, this.file.words.item)}`;
    const stages = new Map();
    for (const item of kept) {
      if (!stages.has(item.stage)) stages.set(item.stage, new Map());
      const groups = stages.get(item.stage);
      const key = groupOf(item);
      if (!groups.has(key)) groups.set(key, []);
      groups.get(key).push(item);
    }
    const filtered = kept.length < all && kept.length <= FIRST;
    const made = [];
    for (const [stage, groups] of stages) {
      made.push(make("h3", { text: stage[0].toUpperCase() + stage.slice(1) }));
      for (const [key, items] of groups) made.push(this.group(key, items, filtered));
    }
    this.list.replaceChildren(...made);
    if (!kept.length) this.list.append(make("p", { class: "empty", text: all ? `No ${this.file.words.item} is left by these filters.` : `No ${this.file.words.title.toLowerCase()}.` }));
  }

  group(key, items, opened) {
    const first = items[0];
    const places = make("ul");
    const fill = () => {
      const most = this.shown.get(key) || FIRST;
      places.replaceChildren(...items.slice(0, most).map((item) => this.entry(item)));
      if (items.length > most) {
        const more = button(`${items.length - most} more`, () => { this.shown.set(key, most + 200); fill(); }, { class: "more" });
        places.append(make("li", {}, [more]));
      }
    };
    const summary = make("summary", {}, [
      make("span", { class: `dot ${first.severity}`, "aria-hidden": "true" }),
      make("span", { class: "hidden", text: `${this.file.words.levels[first.severity]}: ` }),
      make("span", { class: "rule", text: first.rule }),
      make("span", { class: "times", text: items.length > 1 ? `\u00d7 ${items.length}` : "" }),
    ]);
    const made = make("details", { class: "group", "data-rule": first.rule }, [summary, places]);
    made.open = opened || this.opened.has(key);
    if (made.open) fill();
    made.addEventListener("toggle", () => {
      this.opened[made.open ? "add" : "delete"](key);
      if (made.open && !places.childElementCount) fill();
    });
    return made;
  }

  entry(item) {
    const cause = item.cause === null ? null : this.file.findings[item.cause];
    const pick = button("", () => { this.choose(item); this.onPick(item); }, {
      class: "finding", "data-finding": item.id, "aria-pressed": String(this.chosen === item),
    });
    pick.append(make("span", { class: "message", text: item.message }));
    if (item.place) pick.append(make("span", { class: "place", text: item.place }));
    if (cause) pick.append(make("span", { class: "place", text: `follows from ${cause.rule}` }));
    return make("li", {}, [pick]);
  }

  choose(item) {
    this.chosen = item;
    for (const other of this.list.querySelectorAll("button.finding")) {
      other.setAttribute("aria-pressed", String(Number(other.dataset.finding) === item.id));
    }
  }

  // Brings a finding into view, whatever the filters leave out, and gives it the focus.
  show(item) {
    if (!this.keeps(item)) this.reset();
    const key = groupOf(item);
    this.opened.add(key);
    const group = this.file.findings.filter((other) => groupOf(other) === key && this.keeps(other));
    this.shown.set(key, Math.max(this.shown.get(key) || FIRST, group.indexOf(item) + 1));
    this.fill();
    this.choose(item);
    const made = this.list.querySelector(`[data-finding="${item.id}"]`);
    if (made) { made.scrollIntoView({ block: "nearest" }); made.focus(); }
  }

  reset() {
    this.rule = "";
    this.place = "";
    this.here = false;
    this.severities = new Set(SEVERITIES);
    const form = this.element.querySelector("form");
    form.replaceWith(this.filters());
  }

  // On paper everything that the filters leave is there.
  openAll() {
    for (const group of this.list.querySelectorAll("details")) group.open = true;
  }
}

function groupOf(item) {
  return `${item.stage} ${item.severity} ${item.rule}`;
}
