// What the network can be colored by. A class has a key, a label, a color of the style sheet, and a mark that
// says the same to whoever does not see the color.

const SEVERITIES = ["error", "warning", "info"];

function worst(node) {
  return SEVERITIES.find((severity) => node.findings.some((finding) => finding.severity === severity)) || "none";
}

const FINDING_CLASSES = [
  { key: "error", label: "error", color: "bad", mark: "\u2715" },
  { key: "warning", label: "warning", color: "risk", mark: "!" },
  { key: "info", label: "note", color: "note", mark: "i" },
  { key: "none", label: "no finding", color: "plain", mark: "" },
];

const PLACED_CLASSES = [
  { key: "y", label: "runs here", color: "good", mark: "" },
  { key: "u", label: "not settled", color: "note", mark: "?" },
  { key: "n", label: "on the CPU", color: "risk", mark: "\u21c4" },
  { key: "x", label: "on no runtime", color: "bad", mark: "\u2715" },
  { key: "-", label: "folded, or no op", color: "plain", mark: "" },
];

const ERROR_CLASSES = [
  { key: "lost", label: "below 10 dB", color: "bad", mark: "\u2715" },
  { key: "low", label: "10 to 20 dB", color: "risk", mark: "!" },
  { key: "fair", label: "20 to 30 dB", color: "note", mark: "" },
  { key: "fine", label: "30 dB or more", color: "good", mark: "" },
  { key: "none", label: "not measured", color: "plain", mark: "" },
];

function errorClass(value) {
  if (value === undefined || value === null) return "none";
  if (typeof value === "string") return value === "lost" ? "lost" : "fine";
  return value < 10 ? "lost" : value < 20 ? "low" : value < 30 ? "fair" : "fine";
}

function colorings(file) {
  const made = file.words.counts ? [{ id: "findings", label: "Findings", classes: FINDING_CLASSES, of: worst }] : [];
  const alone = new Map(measured(file).map((row) => [row.node, row.alone ?? row.arrived]));
  if (alone.size) {
    const of = (node) => errorClass(alone.get(node.id));
    made.unshift({ id: "error", label: "Error of each layer", classes: ERROR_CLASSES, of });
  }
  file.runtimes.forEach((runtime, place) => {
    const of = (node) => node.placed[place] || "-";
    made.push({ id: `runtime-${place}`, label: `Runtime ${runtime}`, classes: PLACED_CLASSES, of });
  });
  made.push(precisionColoring(file));
  return made;
}

function precisionColoring(file) {
  const counts = new Map();
  for (const node of file.nodes) counts.set(node.precision, (counts.get(node.precision) || 0) + 1);
  const plain = (key) => key === "" || key === "folded";
  const keys = [...counts.keys()].sort((a, b) => plain(a) - plain(b) || counts.get(b) - counts.get(a));
  const named = keys.filter((key) => !plain(key)).slice(0, 7);
  const classes = named.map((key, place) => ({ key, label: key, color: `series-${place + 1}`, mark: "" }));
  if (keys.some((key) => !plain(key) && !named.includes(key))) {
    classes.push({ key: "other", label: "other", color: "series-8", mark: "" });
  }
  classes.push({ key: "plain", label: "folded or unknown", color: "plain", mark: "" });
  const of = (node) => (plain(node.precision) ? "plain" : named.includes(node.precision) ? node.precision : "other");
  return { id: "precision", label: "Precision", classes, of };
}
