// Apollo Client: HttpLink for queries and mutations, GraphQLWsLink for subscriptions.
import { ApolloClient, ApolloLink, CombinedGraphQLErrors, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { OperationTypeNode } from "graphql";
import { createClient } from "graphql-ws";
import WebSocket from "ws";

import { API_KEY, SERVICE_URL, SOCKET_URL, WRONG_KEY, play } from "./scenario.mjs";

const socket = createClient({
  url: SOCKET_URL,
  webSocketImpl: WebSocket,
  connectionParams: { "X-API-Key": API_KEY },
});

function clientWith(key) {
  return new ApolloClient({
    cache: new InMemoryCache(),
    link: ApolloLink.split(
      ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
      new GraphQLWsLink(socket),
      new HttpLink({ uri: SERVICE_URL, headers: { "X-API-Key": key } }),
    ),
    defaultOptions: {
      query: { fetchPolicy: "no-cache", errorPolicy: "all" },
      mutate: { fetchPolicy: "no-cache", errorPolicy: "all" },
    },
  });
}

async function execute(client, text, variables) {
  const document = gql(text);
  const isMutation = document.definitions[0].operation === "mutation";
  const { data, error } = await (isMutation
    ? client.mutate({ mutation: document, variables })
    : client.query({ query: document, variables }));
  return { data, errors: CombinedGraphQLErrors.is(error) ? error.errors : error && [error] };
}

const client = clientWith(API_KEY);
await play("apollo", {
  run: (text, variables) => execute(client, text, variables),
  follow: (text, variables) =>
    new Promise((resolve, reject) => {
      const subscription = client.subscribe({ query: gql(text), variables }).subscribe({
        next: ({ data, error }) => {
          subscription.unsubscribe();
          return error ? reject(error) : resolve(data);
        },
        error: reject,
      });
    }),
  refused: async (text) => (await execute(clientWith(WRONG_KEY), text)).errors[0].extensions.code,
});
await socket.dispose();
client.stop();
