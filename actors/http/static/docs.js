"use strict";

function element(name, text) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  return made;
}

function resolve(schema, document_) {
  const reference = schema && schema.$ref;
  return reference ? reference.slice(2).split("/").reduce((at, part) => at[part], document_) : schema;
}

function typeOf(schema, document_) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.oneOf) return schema.oneOf.map((one) => typeOf(one, document_)).join(" or ");
  if (schema.type === "array") return `list of ${typeOf(schema.items, document_)}`;
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" or ");
  return Array.isArray(schema.type) ? schema.type.join(" or ") : schema.type || "any";
}

function fieldTable(title, rows) {
  const holder = element("div");
  holder.append(element("h4", title));
  const table = element("table");
  for (const cells of rows) {
    const line = element("tr");
    for (const cell of cells) line.append(element("td", cell));
    table.append(line);
  }
  holder.append(table);
  return holder;
}

function fields(title, schema, document_) {
  const found = resolve(schema, document_);
  const properties = Object.entries((found && found.properties) || {});
  return fieldTable(title, properties.map(([name, one]) => [name, typeOf(one, document_), one.description || ""]));
}

function operation(path, method, one, document_) {
  const section = element("section");
  section.append(element("h2", `${method.toUpperCase()} ${path}`));
  section.append(element("p", one.description || one.summary || ""));
  if (one.parameters && one.parameters.length) {
    const rows = one.parameters.map((p) => [p.name, p.in, typeOf(p.schema, document_), p.description || ""]);
    section.append(fieldTable("Parameters", rows));
  }
  const body = one.requestBody && one.requestBody.content["application/json"];
  if (body) {
    const schema = body.schema.oneOf ? body.schema.oneOf.find((choice) => choice.$ref) : body.schema;
    section.append(fields("Body", schema, document_));
  }
  const ok = one.responses && one.responses["200"];
  const content = ok && ok.content && ok.content["application/json"];
  if (content) section.append(fields("Answer", content.schema, document_));
  return section;
}

async function show() {
  const document_ = await (await fetch("/docs/openapi.json")).json();
  for (const [path, methods] of Object.entries(document_.paths)) {
    for (const [method, one] of Object.entries(methods)) byIdOperations().append(operation(path, method, one, document_));
  }
}

function byIdOperations() {
  return document.getElementById("operations");
}

show().catch((error) => byIdOperations().append(element("p", error.message)));
