// The API's documentation, made in the browser from its OpenAPI document.
import { at } from "./api.js";
import { byId, element } from "./dom.js";

const JSON_TYPE = "application/json";
const PROBLEM_TYPE = "application/problem+json";

let api;
const wanted = []; // names of types that something links to, in the order of their first mention

const nameOf = (schema) => schema.$ref.split("/").pop();
const resolved = (schema) => (schema.$ref ? api.components.schemas[nameOf(schema)] : schema);

function link(text, target) {
  const made = element("a", text);
  made.href = target;
  return made;
}

function typeLink(schema) {
  const name = nameOf(schema);
  if (!wanted.includes(name)) wanted.push(name);
  return link(name, `#type-${name}`);
}

// What a value may be, with links to the types that have a name.
function typeOf(schema) {
  if (schema.$ref) return [typeLink(schema)];
  const choices = schema.oneOf || schema.anyOf;
  if (choices && !schema.properties) return choices.flatMap((one, place) => (place ? [" or ", ...typeOf(one)] : typeOf(one)));
  if (schema.type === "array") return ["list of ", ...typeOf(schema.items || {})];
  if (schema.enum) return [schema.enum.map((one) => JSON.stringify(one)).join(" or ")];
  if (schema.const !== undefined) return [JSON.stringify(schema.const)];
  return [[schema.type || "any"].flat().join(" or ")];
}

function table(rows) {
  const made = element("table");
  for (const cells of rows) {
    const line = element("tr");
    for (const cell of cells) {
      const holder = element("td");
      holder.append(...[cell].flat());
      line.append(holder);
    }
    made.append(line);
  }
  return made;
}

const field = (name) => element("code", name, "field");
const described = (schema, isOptional) => [...typeOf(schema), isOptional ? ", optional" : ""];

// What is answered is always there; what is sent may be left out where it is not required.
function fields(schema, isSent) {
  const needed = new Set(schema.required || []);
  return table(Object.entries(schema.properties || {}).map(([name, one]) => [
    field(name), described(one, isSent && !needed.has(name)), one.description || "",
  ]));
}

function example(schema) {
  const found = schema.examples && schema.examples[0];
  return found === undefined ? [] : [element("pre", JSON.stringify(found, null, 2))];
}

// Of a body or an answer: what it has, and an example.
function content(title, kinds, isSent, note) {
  const made = [];
  for (const [kind, { schema }] of Object.entries(kinds)) {
    const whole = (schema && schema.oneOf && schema.oneOf.find((one) => one.$ref)) || schema || {};
    const found = resolved(whole);
    made.push(element("h4", kind === JSON_TYPE ? title : `${title}: ${kind}`));
    if (found.properties) made.push(fields(found, isSent), ...example(found));
    else if (note || found.format === "binary") made.push(element("p", note || "The file itself."));
  }
  return made;
}

function problems(responses) {
  const rows = Object.entries(responses).filter(([, one]) => one.content && one.content[PROBLEM_TYPE]);
  const links = ([status, one]) => {
    const codes = Object.keys(one.content[PROBLEM_TYPE].examples || {});
    return [status, codes.flatMap((code, place) => [place ? ", " : "", link(code, at(`/docs/errors#${code}`))])];
  };
  return rows.length ? [element("h4", "Errors"), table(rows.map(links))] : [];
}

function answers(responses) {
  return Object.entries(responses)
    .filter(([status]) => status.startsWith("2"))
    .flatMap(([status, one]) => content(`Answer ${status}`, one.content || {}, false, one.description));
}

function operation(path, method, one) {
  const section = element("section");
  section.id = one.operationId;
  section.append(element("h3", `${method.toUpperCase()} ${path}`), element("p", one.description || one.summary || ""));
  if ((one.parameters || []).length) {
    const rows = one.parameters.map((given) => [
      field(given.name), element("span", given.in, "field"), described(given.schema, !given.required), given.description || "",
    ]);
    section.append(element("h4", "Parameters"), table(rows));
  }
  if (one.requestBody) section.append(...content("Body", one.requestBody.content, true));
  section.append(...answers(one.responses), ...problems(one.responses));
  return section;
}

function byTag() {
  const groups = new Map();
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, one] of Object.entries(methods)) {
      const tag = (one.tags || ["other"])[0];
      groups.set(tag, [...(groups.get(tag) || []), { path, method, one }]);
    }
  }
  return groups;
}

function contents(groups) {
  const made = element("nav", undefined, "contents");
  made.setAttribute("aria-label", "Calls");
  for (const [tag, calls] of groups) {
    const list = element("ul");
    for (const { path, method, one } of calls) {
      const line = element("li");
      line.append(link(`${method.toUpperCase()} ${path}`, `#${one.operationId}`), ` ${one.summary || ""}`);
      list.append(line);
    }
    made.append(element("h3", tag), list);
  }
  return made;
}

function type(name) {
  const schema = api.components.schemas[name];
  const section = element("section");
  section.id = `type-${name}`;
  section.append(element("h3", name), element("p", schema.description || ""), fields(schema, name.endsWith("Body") || name.endsWith("Options")), ...example(schema));
  return section;
}

async function show() {
  api = await (await fetch(at("/docs/openapi.json"))).json();
  const groups = byTag();
  const place = byId("operations");
  place.append(contents(groups));
  for (const [tag, calls] of groups) {
    place.append(element("h2", tag));
    for (const { path, method, one } of calls) place.append(operation(path, method, one));
  }
  place.append(element("h2", "Types"));
  for (let next = 0; next < wanted.length; next += 1) place.append(type(wanted[next])); // a type may mention further ones
  // The part of the address after # was not there yet when the browser looked for it.
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target) target.scrollIntoView();
}

show().catch((error) => byId("operations").append(element("p", error.message)));
