// The API as this page calls it. The key is kept for this tab only and travels in a header, never in an address.
const KEY = "wasup-key";

// Where the daemon is: one level above this file, also when a proxy serves it in a sub-path. Paths here begin with a slash.
export const at = (path) => new URL(`..${path}`, import.meta.url).href;

export class Failure extends Error {
  constructor(problem, status) {
    super(problem.error || `the daemon answered ${status}`);
    this.code = problem.code || "";
    this.status = status;
    this.retryAfter = problem.retryAfter || null;
  }
}

export const key = () => sessionStorage.getItem(KEY);
export const keepKey = (value) => sessionStorage.setItem(KEY, value);
export const dropKey = () => sessionStorage.removeItem(KEY);

export async function request(path, options = {}) {
  try {
    const headers = { ...options.headers, Authorization: `Bearer ${key()}` };
    return await fetch(at(path), { ...options, headers, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure({ error: "The daemon cannot be reached." }, 0);
  }
}

export async function failureOf(answer) {
  const problem = await answer.json().catch(() => ({}));
  return new Failure(problem, answer.status);
}

export async function call(method, path, body) {
  const sends = body !== undefined;
  const headers = sends ? { "Content-Type": "application/json" } : {};
  const answer = await request(path, { method, headers, body: sends ? JSON.stringify(body) : undefined });
  if (!answer.ok) throw await failureOf(answer);
  return answer.json();
}

export const session = (company) => `/api/whatsapp/sessions/${encodeURIComponent(company)}`;
