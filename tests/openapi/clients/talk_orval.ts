// What an application does, with the client that orval made. Prints what it found as one line of JSON.
import { checkAlive, fetchMedia, getPrometheusMetrics, getSessionStatus, initializeSession, readEvents, sendMessage } from "./orval";

declare const process: { argv: string[] };

async function main(): Promise<void> {
  const [company = "", phone = "", mediaId = ""] = process.argv.slice(2);
  await checkAlive();
  const status = await getSessionStatus(company);
  if (status.status !== 200) throw new Error(status.data.code);
  const sent = await sendMessage(company, { phone, message: "from orval" });
  if (sent.status !== 200) throw new Error(sent.data.detail);
  const refused = await sendMessage(company, { phone: "12", message: "to nobody" });
  const linked = await initializeSession(company, { method: "qr" });
  const file = await fetchMedia(company, mediaId);
  if (file.status !== 200) throw new Error(file.data.detail);
  const metrics = await getPrometheusMetrics();
  const events = await readEvents({ limit: 1 });
  console.log(JSON.stringify({
    state: status.data.status,
    messageId: sent.data.messageId,
    refused: refused.status === 200 ? null : refused.data.code,
    linked: linked.status === 200 ? null : linked.data.code,
    bytes: file.data.size,
    metrics: metrics.status === 200 ? metrics.data.slice(0, 6) : null,
    events: events.status === 200 ? events.data.events.length : null,
  }));
}

void main();
