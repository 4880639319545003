// graphql-ws alone: every operation over one websocket.
import { createClient } from "graphql-ws";
import WebSocket from "ws";

import { API_KEY, SOCKET_URL, WRONG_KEY, play } from "./scenario.mjs";

function clientWith(key, options = {}) {
  return createClient({
    ...options,
    url: SOCKET_URL,
    webSocketImpl: WebSocket,
    connectionParams: { Authorization: `Bearer ${key}` },
  });
}

async function first(client, query, variables) {
  for await (const result of client.iterate({ query, variables })) return result;
  throw new Error("nothing came");
}

const client = clientWith(API_KEY);
await play("graphql-ws", {
  run: (text, variables) => first(client, text, variables),
  follow: async (text, variables) => (await first(client, text, variables)).data,
  refused: async (text) => {
    // By default this client tries five more times: the server might have changed its mind.
    const stranger = clientWith(WRONG_KEY, { retryAttempts: 0 });
    try {
      return await first(stranger, text);
    } catch (closed) {
      return `${closed.code} ${closed.reason}`;
    }
  },
});
await client.dispose();
