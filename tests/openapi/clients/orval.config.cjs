// Two clients: what orval makes by itself, and one whose requests go through fetcher.ts, which knows files from JSON.
const input = { target: "openapi.json" };
const made = (target, more) => ({ input, output: { target, client: "fetch", mode: "single", ...more } });

module.exports = {
  plain: made("orval_plain.ts", { baseUrl: "http://127.0.0.1" }),
  wasup: made("orval.ts", { override: { mutator: { path: "./fetcher.ts", name: "call" } } }),
};
