// The daemon as a whole, in one line.
import { age } from "./ages.js";
import { byId, definition, number } from "./dom.js";

const MIB = 1024 * 1024;

export function showFacts(facts) {
  const { postgres, rateLimit, engines, totals } = facts;
  const memory = engines.reduce((sum, engine) => sum + engine.rssBytes, 0);
  const takesWrites = { true: "takes writes", false: "takes no writes", null: "does not answer" }[postgres.available];
  const last = totals.lastError;
  const errors = document.createElement("span");
  errors.append(number(totals.errors));
  if (last) errors.append(`, last ${last.code.replaceAll("_", " ")} `, age(last.timestamp), " ago");
  byId("facts").replaceChildren(
    definition("wasup", facts.version),
    definition("Up for", age(facts.startedAt)),
    definition("Postgres", `${postgres.version ?? ""} ${postgres.kind}, ${takesWrites}`.trim(), postgres.available ? "" : "bad"),
    definition("Rate limit", `${number(rateLimit.messages)} in ${number(rateLimit.windowS)} s, counted in ${rateLimit.backend}`),
    definition("Engines", engines.length ? `${engines.length}, ${number(Math.round(memory / MIB))} MiB` : "none needed yet"),
    definition("Sent", number(totals.messagesSent)),
    definition("Received", number(totals.messagesReceived)),
    definition("Errors", errors),
  );
  byId("facts").hidden = false;
}
