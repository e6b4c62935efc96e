// Elements: what they show is set as text, so that no name of a model can become markup.

function make(tag, settings = {}, children = []) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(settings)) {
    if (name === "text") made.textContent = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, String(value));
  }
  made.append(...children);
  return made;
}

function button(label, action, settings = {}) {
  return make("button", { type: "button", text: label, onclick: action, ...settings });
}

function labeled(label, control, settings = {}) {
  return make("label", settings, [make("span", { text: label }), control]);
}

function choice(options, chosen, action) {
  const made = make("select", { onchange: () => action(made.value) });
  for (const [value, label] of options) made.append(make("option", { value, text: label, selected: value === chosen }));
  return made;
}

function counted(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

function bytesText(count) {
  let size = count;
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (size < 1000 || unit === "GB") return `${unit === "B" ? size : size.toFixed(1)} ${unit}`;
    size /= 1000;
  }
  return "";
}

// The colors that the style sheet gives, which are others in the dark and on paper.
function colors() {
  const style = getComputedStyle(document.documentElement);
  return (name) => style.getPropertyValue(`--${name}`).trim();
}

// Calls an action whenever the page's colors change.
function onColors(action) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", action);
  addEventListener("beforeprint", () => { document.documentElement.classList.add("paper"); action(); });
  addEventListener("afterprint", () => { document.documentElement.classList.remove("paper"); action(); });
}
