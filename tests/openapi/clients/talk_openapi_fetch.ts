// What an application does, with openapi-fetch on the types that openapi-typescript made. Prints what it found as one line of JSON.
import createClient from "openapi-fetch";
import type { components, paths } from "./openapi_typescript";

declare const process: { argv: string[]; env: Record<string, string> };

const SEND = "/api/whatsapp/sessions/{company_id}/send";
// A message needs its recipient and its content, and nothing else.
const TEXT: components["schemas"]["SendBody"] = { phone: "", message: "from openapi-fetch" };

async function main(): Promise<void> {
  const [company = "", phone = "", mediaId = ""] = process.argv.slice(2);
  const client = createClient<paths>({ baseUrl: process.env.WASUP_URL, headers: { "X-Api-Key": process.env.WASUP_KEY } });
  const path = { company_id: company };
  const status = await client.GET("/api/whatsapp/sessions/{company_id}/status", { params: { path } });
  const sent = await client.POST(SEND, { params: { path }, body: { ...TEXT, phone } });
  const refused = await client.POST(SEND, { params: { path }, body: { phone: "12", message: "to nobody" } });
  const linked = await client.POST("/api/whatsapp/sessions/{company_id}/initialize", { params: { path }, body: {} });
  const file = await client.GET("/api/whatsapp/sessions/{company_id}/media/{media_id}", {
    params: { path: { ...path, media_id: mediaId } }, parseAs: "arrayBuffer",
  });
  const metrics = await client.GET("/metrics", { parseAs: "text" });
  const events = await client.GET("/api/whatsapp/events", { params: { query: { limit: 1 } } });
  console.log(JSON.stringify({
    state: status.data?.status,
    messageId: sent.data?.messageId,
    refused: refused.error?.code,
    linked: linked.error?.code,
    bytes: file.data?.byteLength,
    metrics: metrics.data?.slice(0, 6),
    events: events.data?.events.length,
  }));
}

void main();
