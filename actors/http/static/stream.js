// The daemon's stream of server-sent events, read with fetch so that the key can go into a header. Comes back by itself.
import { Failure, failureOf, request } from "./api.js";

const PATH = "/dashboard/stream";
const QUIET_MS = 15000; // the daemon says something at least every five seconds
const FIRST_WAIT_MS = 400;
const LONGEST_WAIT_MS = 10000;

export class Stream {
  #lastId = null;
  #abort = null;
  #wait = FIRST_WAIT_MS;
  #isWanted = true;
  #wake = null;

  // onMessage(kind, data), onState("connecting" | "live" | "waiting", seconds, why), onRefused(failure)
  constructor(on) {
    this.on = on;
    this.#run();
  }

  stop() {
    this.#isWanted = false;
    this.#abort?.abort();
    this.#wake?.();
  }

  // Try now instead of at the end of the wait.
  hurry() {
    this.#wake?.();
  }

  async #run() {
    while (this.#isWanted) {
      this.on.onState("connecting");
      let why = "The connection was lost.";
      try {
        why = await this.#read();
      } catch (error) {
        if (!this.#isWanted) return;
        if (error instanceof Failure) {
          if ([401, 403].includes(error.status)) return this.on.onRefused(error);
          why = error.message;
          if (error.retryAfter) this.#wait = Math.max(this.#wait, Math.min(error.retryAfter * 1000, LONGEST_WAIT_MS));
        }
      }
      if (this.#isWanted) await this.#pause(why);
    }
  }

  async #pause(why) {
    const wait = this.#wait * (0.75 + Math.random() / 2);
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT_MS);
    this.on.onState("waiting", wait / 1000, why);
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, wait);
      this.#wake = () => { clearTimeout(timer); resolve(); };
    });
    this.#wake = null;
  }

  async #read() {
    this.#abort = new AbortController();
    let watchdog = null;
    const heard = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => this.#abort.abort(), QUIET_MS);
    };
    try {
      heard();
      const headers = this.#lastId === null ? {} : { "Last-Event-ID": this.#lastId };
      const answer = await request(PATH, { headers, signal: this.#abort.signal });
      if (!answer.ok) throw await failureOf(answer);
      this.on.onState("live");
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return "The daemon closed the connection.";
        heard();
        const parts = (text + value).split("\n\n");
        text = parts.pop();
        for (const part of parts) {
          const why = this.#take(part);
          if (why) return why;
        }
      }
    } finally {
      clearTimeout(watchdog);
      this.#abort.abort();
    }
  }

  // One message; returns why the stream ends when that is what it says.
  #take(text) {
    let kind = "";
    let data = "";
    for (const line of text.split("\n")) {
      if (line.startsWith("event: ")) kind = line.slice(7);
      else if (line.startsWith("data: ")) data = line.slice(6);
      else if (line.startsWith("id: ")) this.#lastId = line.slice(4);
    }
    if (!kind) return null;
    this.#wait = FIRST_WAIT_MS;
    const found = JSON.parse(data);
    if (kind === "bye") return found.reason === "restarting" ? "The HTTP server restarts." : `Closed: ${found.reason}.`;
    this.on.onMessage(kind, found);
    return null;
  }
}
