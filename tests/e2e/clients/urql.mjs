// urql: fetchExchange for queries and mutations, subscriptionExchange over graphql-ws.
import { Client, fetchExchange, subscriptionExchange } from "@urql/core";
import { createClient } from "graphql-ws";
import WebSocket from "ws";

import { API_KEY, SERVICE_URL, SOCKET_URL, WRONG_KEY, play } from "./scenario.mjs";

const socket = createClient({
  url: SOCKET_URL,
  webSocketImpl: WebSocket,
  connectionParams: { "X-API-Key": API_KEY },
});

function clientWith(key) {
  return new Client({
    url: SERVICE_URL,
    preferGetMethod: false,
    requestPolicy: "network-only",
    fetchOptions: { headers: { "X-API-Key": key } },
    exchanges: [
      fetchExchange,
      subscriptionExchange({
        forwardSubscription: ({ query, variables }) => ({
          subscribe: (sink) => ({ unsubscribe: socket.subscribe({ query, variables }, sink) }),
        }),
      }),
    ],
  });
}

async function execute(client, text, variables) {
  const isMutation = text.trim().startsWith("mutation");
  const { data, error } = await (isMutation
    ? client.mutation(text, variables)
    : client.query(text, variables));
  return { data, errors: error?.graphQLErrors, status: error?.response?.status };
}

const client = clientWith(API_KEY);
await play("urql", {
  run: (text, variables) => execute(client, text, variables),
  follow: (text, variables) =>
    new Promise((resolve, reject) => {
      const subscription = client.subscription(text, variables).subscribe(({ data, error }) => {
        subscription.unsubscribe();
        return error ? reject(error) : resolve(data);
      });
    }),
  refused: async (text) => {
    const { errors, status } = await execute(clientWith(WRONG_KEY), text);
    return `${status} ${errors[0].extensions.code}`;
  },
});
await socket.dispose();
