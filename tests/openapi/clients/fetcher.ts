// How the client that orval makes asks: the daemon's address and the key added, files as they are.
declare const process: { env: Record<string, string | undefined> };

export const call = async <T>(path: string, options: RequestInit): Promise<T> => {
  const headers = new Headers(options.headers);
  headers.set("X-Api-Key", process.env.WASUP_KEY ?? "");
  const answer = await fetch(`${process.env.WASUP_URL}${path}`, { ...options, headers });
  const type = answer.headers.get("Content-Type") ?? "";
  const data = type.includes("json") ? await answer.json() : type.startsWith("text/") ? await answer.text() : await answer.blob();
  return { data, status: answer.status, headers: answer.headers } as T;
};
