// Making and changing elements. Every text from the daemon goes in as text; nothing here takes markup.

export const byId = (id) => document.getElementById(id);

export function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined && text !== null) made.textContent = text;
  if (className) made.className = className;
  return made;
}

// Writing what is there already would still cost a layout, and disturb a selection.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttribute(node, name, value) {
  if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

export function setClass(node, className) {
  if (node.className !== className) node.className = className;
}

export function button(text, action, className) {
  const made = element("button", text, className);
  made.type = "button";
  made.addEventListener("click", action);
  return made;
}

export function definition(name, value, className) {
  const holder = element("div", undefined, className);
  const content = element("dd");
  content.append(value instanceof Node ? value : String(value));
  holder.append(element("dt", name), content);
  return holder;
}

// A state is told by word, shape and colour; CSS gives the last two.
export function state(word) {
  return element("span", words(word), `state ${word}`);
}

export function setState(node, word, more) {
  setText(node, more ? `${words(word)}, ${more}` : words(word));
  setClass(node, `state ${word}`);
}

const words = (word) => String(word).replaceAll("_", " ");

export const byName = new Intl.Collator("en", { numeric: true }).compare;
export const number = (value) => value.toLocaleString("en");

// Keeps `body`'s children to exactly `wanted`, in order, moving as few as possible.
export function arrange(body, wanted) {
  const focused = body.contains(document.activeElement) ? document.activeElement : null;
  const keep = new Set(wanted);
  for (const child of [...body.children]) if (!keep.has(child)) child.remove();
  let at = body.firstElementChild;
  for (const node of wanted) {
    if (node === at) at = at.nextElementSibling;
    else body.insertBefore(node, at);
  }
  if (focused?.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
}
